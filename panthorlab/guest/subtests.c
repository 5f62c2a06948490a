// SPDX-License-Identifier: GPL-2.0-or-later

#include "subtests.h"

#include <stdio.h>
#include <string.h>

#include "ktap.h"

static void parse_line(struct subtests *tests)
{
	char *line = tests->line;
	long plan;

	line[tests->length] = '\0';
	if (!strncmp(line, "KTAP version ", 13))
		tests->version = true;
	else if (!strncmp(line, "ok ", 3))
		tests->ok++;
	else if (!strncmp(line, "not ok ", 7) || !strncmp(line, "Bail out!", 9))
		tests->not_ok++;
	else if (sscanf(line, "1..%ld", &plan) == 1)
		tests->planned = plan;
}

void subtests_feed(struct subtests *tests, const char *data, size_t size)
{
	for (; size; data++, size--) {
		if (*data != '\n') {
			if (tests->length < sizeof(tests->line) - 1)
				tests->line[tests->length++] = *data;
			continue;
		}
		parse_line(tests);
		out("    %s\n", tests->line);
		tests->length = 0;
	}
}

bool subtests_ok(const struct subtests *tests, int expect_signal)
{
	if (tests->not_ok)
		return false;
	if (tests->version || tests->planned >= 0)
		return tests->planned == tests->ok;
	return !expect_signal || tests->ok;
}

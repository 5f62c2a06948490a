// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Have kmemleak look for memory that nothing points to any more, and print what it reports. It
 * reports what is old enough and was the same in two scans; each report comes once.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "files.h"
#include "ktap.h"
#include "util.h"

#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
#define MIN_AGE_US	5100000	/* MSECS_MIN_AGE of mm/kmemleak.c, and a tick */
#define REPORT_MAX	(64 * 1024)

/* As `# ` lines; what does not fit is only counted. */
static int print(void)
{
	FILE *file = fopen(KMEMLEAK, "re");
	size_t length = 0, left = 0;
	char line[256];
	int ret = 0;

	if (!file)
		return fail(-errno, "open " KMEMLEAK);
	while (fgets(line, sizeof(line), file)) {
		length += strlen(line);
		line[strcspn(line, "\n")] = '\0';
		if (length < REPORT_MAX)
			out("# %s\n", line);
		else
			left++;
	}
	if (ferror(file))
		ret = fail(-errno, "read " KMEMLEAK);
	fclose(file);
	out("# info lines_left_out=%zu\n", left);
	return ret;
}

int main(int argc, char **argv)
{
	int64_t begin;
	int ret;

	if (argc != 1) {
		fprintf(!strcmp(argv[1], "--help") ? stdout : stderr, "usage: memleak\n");
		return strcmp(argv[1], "--help") ? 2 : 0;
	}
	ktap_start(1);
	begin = now_us();
	ret = write_text(KMEMLEAK, "scan");
	if (!ret) {
		while (now_us() < begin + MIN_AGE_US)
			sleep_us(begin + MIN_AGE_US - now_us());
		ret = write_text(KMEMLEAK, "scan");
	}
	ret = ret ?: print();
	ret = ret ?: write_text(KMEMLEAK, "clear");
	ktap_result(1, !ret, "scan", last_error());
	return ret ? 1 : 0;
}

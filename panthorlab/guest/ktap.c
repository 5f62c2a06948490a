// SPDX-License-Identifier: GPL-2.0-or-later

#include "ktap.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "util.h"

static char buffer[32768];
static size_t used;

void out_flush(void)
{
	size_t done = 0;

	while (done < used) {
		ssize_t n = write(STDOUT_FILENO, buffer + done, used - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			_exit(2);	/* nobody reads: there is no result */
		done += n;
	}
	used = 0;
}

void out(const char *format, ...)
{
	va_list args;
	int n;

	if (used > sizeof(buffer) / 2)
		out_flush();
	va_start(args, format);
	n = vsnprintf(buffer + used, sizeof(buffer) - used, format, args);
	va_end(args);
	if (n > 0)
		used += (size_t)n < sizeof(buffer) - used ? (size_t)n : sizeof(buffer) - used - 1;
}

void ktap_start(unsigned int plan)
{
	out("KTAP version 1\n1..%u\n", plan);
}

/* One test result; @why goes into a diagnostic line above a failure. */
void ktap_result(unsigned int number, bool ok, const char *name, const char *why)
{
	if (!ok)
		out("# %s\n", why);
	out("%s %u %s\n", ok ? "ok" : "not ok", number, name);
	out_flush();
}

static unsigned int checks, failed;

void ktap_check(int ret, const char *format, ...)
{
	char name[160];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	failed += ret != 0;
	ktap_result(++checks, !ret, name, last_error());
}

int ktap_status(void)
{
	return failed ? 1 : 0;
}

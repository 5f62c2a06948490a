// SPDX-License-Identifier: GPL-2.0-or-later

#include "util.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

static char error_text[192];

const char *last_error(void)
{
	return error_text;
}

int fail(int error, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(error_text, sizeof(error_text), format, args);
	va_end(args);
	if (error && n >= 0 && (size_t)n < sizeof(error_text))
		snprintf(error_text + n, sizeof(error_text) - n, ": %s", strerror(-error));
	return error ?: -EIO;
}

int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

void sleep_us(unsigned int us)
{
	struct timespec ts = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000L };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

int wait_for_child(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* What init and the agent of an emulated board need, both of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "board.h"

void say(const char *fmt, ...)
{
	char line[256] = "panthorlab-init: ";
	const int head = strlen(line);
	va_list args;
	int n, fd;

	va_start(args, fmt);
	n = vsnprintf(line + head, sizeof(line) - head - 1, fmt, args);
	va_end(args);
	n = head + (n < (int)sizeof(line) - head - 1 ? n : (int)sizeof(line) - head - 2);
	line[n++] = '\n';

	fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, line, n) != n)
		errno = EIO;	/* a console that takes no more: there is nowhere left to say so */
	close(fd);
}

void msleep(int ms)
{
	struct timespec ts = { ms / 1000, (ms % 1000) * 1000000L };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

uint64_t uptime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

int write_all(int fd, const void *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data = (const char *)data + n;
		size -= n;
	}
	return 0;
}

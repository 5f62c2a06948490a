// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Write every record of /dev/kmsg to stdout, from the oldest the kernel still has, as read:
 * "prio,seq,usec,flags;text" and its " KEY=value" lines. Where the kernel overwrote records before
 * they were read it says "panthorlab-overrun". Ends when nobody reads stdout any more.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RECORD_MAX	8192	/* above the kernel's PRINTK_MESSAGE_MAX */
#define GATHER_US	30000	/* every wake-up takes time from what is measured: few, with more in each */
#define OVERRUN		"panthorlab-overrun\n"

static char buffer[8 * RECORD_MAX];

static int write_all(const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(STDOUT_FILENO, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		size -= n;
	}
	return 0;
}

/* Read what is there, as much as fits. Returns bytes, or -1. */
static ssize_t drain(int fd)
{
	size_t used = 0;

	while (sizeof(buffer) - used >= RECORD_MAX) {
		ssize_t n = read(fd, buffer + used, RECORD_MAX);

		if (n > 0) {
			used += n;
		} else if (n < 0 && errno == EPIPE) {
			memcpy(buffer + used, OVERRUN, strlen(OVERRUN));
			used += strlen(OVERRUN);
		} else if (!n || errno == EAGAIN) {
			break;
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return used;
}

int main(int argc, char **argv)
{
	struct pollfd fds[2] = {
		{ .events = POLLIN },
		{ .fd = STDOUT_FILENO },	/* only for POLLERR and POLLHUP */
	};
	ssize_t n;

	(void)argv;
	if (argc != 1) {
		fputs("usage: kmsg-follow\n", stderr);
		return 2;
	}
	fds[0].fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fds[0].fd < 0) {
		perror("kmsg-follow: /dev/kmsg");
		return 1;
	}
	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			return 0;
		n = drain(fds[0].fd);
		if (n < 0)
			break;
		if (write_all(buffer, n))
			return 0;
		if (n)
			usleep(GATHER_US);
	}
	perror("kmsg-follow");
	return 1;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Write every record of /dev/kmsg to stdout, from the oldest the kernel still has, as read:
 * "prio,seq,usec,flags;text" and its " KEY=value" lines. Where the kernel overwrote records before
 * they were read it says "panthorlab-overrun". Ends when nobody reads stdout any more.
 *
 * --from SEQ leaves out the records before that sequence number: they belong to an earlier load of the driver.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD_MAX	8192	/* above the kernel's PRINTK_MESSAGE_MAX */
#define GATHER_US	30000	/* every wake-up takes time from what is measured: few, with more in each */
#define OVERRUN		"panthorlab-overrun\n"

static char buffer[8 * RECORD_MAX];
static uint64_t from;	/* records before it are not wanted; 0 once the first wanted one was read */

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

/*
 * Whether the record just read, of @size bytes at @record, is before the first one wanted. If that one
 * itself is gone, the log has a hole in front, which *@hole tells.
 */
static int too_early(char *record, ssize_t size, int *hole)
{
	uint64_t seq;

	record[size] = 0;
	if (!from || sscanf(record, "%*u,%" SCNu64, &seq) != 1)
		return 0;
	if (seq < from)
		return 1;
	*hole = seq > from;
	from = 0;
	return 0;
}

/* Read what is there, as much as fits. Returns bytes, or -1. */
static ssize_t drain(int fd)
{
	size_t used = 0;
	int hole = 0;

	while (sizeof(buffer) - used >= RECORD_MAX + strlen(OVERRUN)) {
		ssize_t n = read(fd, buffer + used, RECORD_MAX - 1);

		if (n > 0) {
			if (too_early(buffer + used, n, &hole))
				continue;
			if (hole) {
				memmove(buffer + used + strlen(OVERRUN), buffer + used, n);
				memcpy(buffer + used, OVERRUN, strlen(OVERRUN));
				used += strlen(OVERRUN);
				hole = 0;
			}
			used += n;
		} else if (n < 0 && errno == EPIPE && from) {
			continue;	/* the first wanted record will tell whether it matters */
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

	if (argc == 3 && !strcmp(argv[1], "--from")) {
		from = strtoull(argv[2], NULL, 10);
	} else if (argc != 1) {
		fputs("usage: kmsg-follow [--from SEQ]\n", stderr);
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

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the agent lets children do for it, because it may hang in the kernel: reading and writing files of a stuck
 * driver, loading modules. Their stdin and stdout are the file's contents.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent-main.h"
#include "board.h"

int get_main(const void *arg)
{
	static char buf[65536];
	int fd = open(arg, O_RDONLY | O_NONBLOCK);

	if (fd < 0)
		return errno;
	for (;;) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0 && (errno == EINTR || errno == EPIPE))
			continue;	/* EPIPE: /dev/kmsg was overrun */
		if (n == 0 || (n < 0 && errno == EAGAIN))
			return 0;
		if (n < 0)
			return errno;
		if (write_all(1, buf, n))
			return errno;
	}
}

/* Files of the kernel take what they are given at once; there is nothing to make and to rename. */
static bool in_place(const char *path)
{
	struct stat st;

	return !strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5) ||
	       (!stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

int put_main(const void *arg)
{
	static char buf[65536], temp[4096];
	const struct put *put = arg;
	const bool direct = in_place(put->path);
	uint64_t size = 0;
	int fd, error = 0;

	if (snprintf(temp, sizeof(temp), "%s.%d~", put->path, getpid()) >= (int)sizeof(temp))
		return ENAMETOOLONG;
	fd = direct ? open(put->path, O_WRONLY) : open(temp, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return errno;
	while (!error) {
		ssize_t n = read(0, buf, sizeof(buf));

		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || write_all(fd, buf, n))
			error = errno;
		else
			size += n;
	}
	if (!error && size != put->size)
		error = EIO;
	if (direct)
		return error;
	if (!error && (fchmod(fd, put->mode & 07777) || close(fd) || rename(temp, put->path)))
		error = errno;
	if (error)
		unlink(temp);
	return error;
}

/* Load the modules that the list names, in its order: lines of `path parameters...`. */
int loader_main(const void *arg)
{
	FILE *list = fopen(arg, "re");
	char *line = NULL;
	size_t room = 0;
	int failed = 0;

	if (!list)
		return errno == ENOENT ? 0 : errno;
	while (getline(&line, &room, list) > 0) {
		char *params = strchr(line, ' ');
		int fd;

		line[strcspn(line, "\n")] = 0;
		if (params)
			*params++ = 0;
		fd = open(line, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, params ? params : "", 0)) {
			fprintf(stderr, "%s: %s\n", line, strerror(errno));
			failed = 1;
		}
		if (fd >= 0)
			close(fd);
	}
	free(line);
	fclose(list);
	return failed;
}

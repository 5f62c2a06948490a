// SPDX-License-Identifier: GPL-2.0-or-later

#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

#define FILE_MAX	(64u << 20)	/* bytes: a pack of images; Arm's have about 300 KiB each */

int write_file(const char *path, const void *data, size_t size, int flags)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);
	size_t done = 0;
	int ret = 0;

	if (fd < 0)
		return fail(-errno, "open %s", path);
	while (!ret && done < size) {
		const ssize_t n = write(fd, (const char *)data + done, size - done);

		if (n < 0 && errno != EINTR)
			ret = fail(-errno, "write %s", path);
		else if (!n)
			ret = fail(-EIO, "write %s", path);
		else if (n > 0)
			done += n;
	}
	close(fd);
	return ret;
}

int write_text(const char *path, const char *text)
{
	return write_file(path, text, strlen(text), 0);
}

int read_text(const char *path, char *text, size_t size)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n = 0;
	int ret = 0;

	*text = '\0';
	if (fd < 0)
		return fail(-errno, "open %s", path);
	while (used < size - 1 && (n = read(fd, text + used, size - 1 - used)) > 0)
		used += n;
	if (n < 0)
		ret = fail(-errno, "read %s", path);
	close(fd);
	text[used] = '\0';
	return ret;
}

void *read_file(const char *path, size_t *size)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *data = malloc(FILE_MAX);
	ssize_t n = -1;

	*size = 0;
	while (fd >= 0 && data && *size < FILE_MAX) {
		n = read(fd, data + *size, FILE_MAX - *size);
		if (n <= 0)
			break;
		*size += n;
	}
	if (n) {
		fail(n < 0 ? -errno : -EFBIG, "read %s", path);
		free(data);
		data = NULL;
	}
	if (fd >= 0)
		close(fd);
	return data;
}

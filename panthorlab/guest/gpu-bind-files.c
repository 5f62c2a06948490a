// SPDX-License-Identifier: GPL-2.0-or-later

#include "gpu-bind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
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
		else if (n > 0)
			done += n;
	}
	close(fd);
	return ret;
}

/* Contents of a file, to be freed; NULL if it cannot be read. */
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

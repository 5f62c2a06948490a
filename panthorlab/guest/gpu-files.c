// SPDX-License-Identifier: GPL-2.0-or-later

#include "gpu-files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int gpu_sysfs(const struct gpu *gpu, const char *name, char path[GPU_PATH_SIZE])
{
	struct stat st;

	if (fstat(gpu->fd, &st))
		return fail(-errno, "fstat of the render node");
	snprintf(path, GPU_PATH_SIZE, "/sys/dev/char/%u:%u/device/%s", major(st.st_rdev), minor(st.st_rdev), name);
	return 0;
}

int gpu_debugfs(const struct gpu *gpu, const char *name, char path[GPU_PATH_SIZE])
{
	struct stat st;

	if (fstat(gpu->fd, &st))
		return fail(-errno, "fstat of the render node");
	snprintf(path, GPU_PATH_SIZE, "/sys/kernel/debug/dri/%u/%s", minor(st.st_rdev), name);
	return 0;
}

int fdinfo_read(const struct gpu *gpu, char text[FDINFO_SIZE])
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", gpu->fd);
	return read_text(path, text, FDINFO_SIZE);
}

static bool number(const char *line, const char *key, long long *value)
{
	char unit[8] = "";
	size_t length = strlen(key);

	if (strncmp(line, key, length) || sscanf(line + length, ": %lld%*[ ]%7[a-zA-Z]", value, unit) < 1)
		return false;
	if (!strcmp(unit, "KiB"))
		*value *= 1024;
	else if (!strcmp(unit, "MiB"))
		*value *= 1024 * 1024;
	return true;
}

bool fdinfo_number(const char *text, const char *key, long long *value)
{
	bool found = false;

	while (!found && *text) {
		found = number(text, key, value);
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return found;
}

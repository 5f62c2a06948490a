// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which GPUs there are, which of them is meant, and its render node.
 */

#define _GNU_SOURCE
#include "gpu.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "files.h"

#define RENDER_MINOR_FIRST	128
#define RENDER_MINORS		64
#define DEVICES			"/sys/bus/platform/devices"
#define GPU_ALIAS		"mali-valhall-csf"
#define GPU_NAME		"gpu"	/* what a GPU's node is called, and so a part of its device's name */

static int chosen = -1;	/* by gpu_choose() */

static bool file_contains(const char *path, const char *text)
{
	char contents[512];

	return !read_text(path, contents, sizeof(contents)) && strstr(contents, text);
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Of those devices whose names say that they are GPUs, or of those whose names do not. */
static unsigned int devices_named(bool gpu, char (*paths)[PATH_MAX])
{
	char path[sizeof(DEVICES) + NAME_MAX + 12];
	struct dirent *entry;
	unsigned int count = 0;
	DIR *dir = opendir(DEVICES);

	while (dir && count < GPU_MOST && (entry = readdir(dir))) {
		if (*entry->d_name == '.' || !!strstr(entry->d_name, GPU_NAME) != gpu)
			continue;
		snprintf(path, sizeof(path), DEVICES "/%s/modalias", entry->d_name);
		if (!file_contains(path, GPU_ALIAS))
			continue;
		*strrchr(path, '/') = '\0';
		count += realpath(path, paths[count]) != NULL;
	}
	if (dir)
		closedir(dir);
	return count;
}

/*
 * Paths in sysfs of the GPUs, with or without a driver, at most GPU_MOST, in the order of their places on the bus;
 * returns how many there are.
 *
 * Others than those with the name of one are asked only if there is none with it: that is some forty devices on a bus,
 * and on a kernel that proves its locks it was most of what a program did that takes the driver off its GPU.
 */
unsigned int gpu_devices(char (*paths)[PATH_MAX])
{
	const unsigned int count = devices_named(true, paths) ?: devices_named(false, paths);

	qsort(paths, count, sizeof(*paths), compare_paths);
	return count;
}

/* One of them; @path has PATH_MAX bytes. */
int gpu_device(unsigned int number, char *path)
{
	char paths[GPU_MOST][PATH_MAX];
	unsigned int count = gpu_devices(paths);

	if (number >= count)
		return fail(-ENODEV, "GPU %u of %u", number, count);
	strcpy(path, paths[number]);
	return 0;
}

/* Of several GPUs, which one gpu_open() opens from now on; without this, GPU_CHOICE in the environment says it. */
void gpu_choose(unsigned int number)
{
	chosen = number;
}

/* Where the chosen GPU is; an empty path: any will do. */
static int chosen_device(char *path)
{
	const char *word = getenv(GPU_CHOICE);

	*path = '\0';
	if (chosen >= 0)
		return gpu_device(chosen, path);
	return word && *word ? gpu_device(strtoul(word, NULL, 10), path) : 0;
}

/* Whether this render node is of the GPU at @device. */
static bool node_is_of(int minor, const char *device)
{
	char link[64], path[PATH_MAX];

	snprintf(link, sizeof(link), "/sys/class/drm/renderD%d/device", minor);
	return realpath(link, path) && !strcmp(path, device);
}

/* Is this fd panthor's? The version is kept. */
static bool gpu_is_panthor(struct gpu *gpu)
{
	char name[16] = "";
	struct drm_version version = { .name = name, .name_len = sizeof(name) - 1 };

	if (ioctl(gpu->fd, DRM_IOCTL_VERSION, &version) || strcmp(name, "panthor"))
		return false;
	gpu->version[0] = version.version_major;
	gpu->version[1] = version.version_minor;
	gpu->version[2] = version.version_patchlevel;
	return true;
}

/* Open the first render node whose driver is panthor, of the GPU that was chosen if one was. */
int gpu_open(struct gpu *gpu)
{
	struct drm_panthor_gpu_info info;
	char device[PATH_MAX];
	int i, ret, opened = 0;

	gpu->fd = -1;
	ret = chosen_device(device);
	if (ret)
		return ret;
	for (i = 0; i < RENDER_MINORS; i++) {
		char path[32];

		if (*device && !node_is_of(RENDER_MINOR_FIRST + i, device))
			continue;
		snprintf(path, sizeof(path), "/dev/dri/renderD%d", RENDER_MINOR_FIRST + i);
		gpu->fd = open(path, O_RDWR | O_CLOEXEC);
		if (gpu->fd < 0) {
			if (errno != ENOENT && errno != EACCES && errno != ENODEV && errno != ENXIO)
				return fail(-errno, "open %s", path);
			continue;
		}
		opened++;
		if (gpu_is_panthor(gpu))
			break;
		close(gpu->fd);
	}
	if (i == RENDER_MINORS)
		gpu->fd = -1;
	if (gpu->fd < 0)
		return fail(-ENODEV, "no panthor among the %d render nodes that open", opened);

	ret = gpu_query(gpu, DRM_PANTHOR_DEV_QUERY_GPU_INFO, &info, sizeof(info));
	if (ret) {
		gpu_close(gpu);
		return ret;
	}
	gpu->shader_cores = info.shader_present;
	gpu->tilers = info.tiler_present;
	return 0;
}

void gpu_close(struct gpu *gpu)
{
	if (gpu->fd >= 0)
		close(gpu->fd);
	gpu->fd = -1;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The GPU as sysfs has it, the driver that is on it or off it, and its interrupts.
 */

#define _GNU_SOURCE
#include "gpu-bind.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "gpu.h"
#include "irqs.h"

/* Of several GPUs the one that was chosen, or the first; whoever opens one opens that. */
static bool find_of_several(struct bind *b, char (*paths)[PATH_MAX], unsigned int count)
{
	const char *word = getenv(GPU_CHOICE);
	const unsigned long number = word ? strtoul(word, NULL, 10) : 0;

	if (count < 2 || number >= count)
		return false;
	gpu_choose(number);
	snprintf(b->device, sizeof(b->device), "%s", strrchr(paths[number], '/') + 1);
	return true;
}

/* What the driver has, as sysfs calls it; nothing if it has none. */
static int bound_device(struct bind *b)
{
	char path[sizeof(PLATFORM_DRIVERS) + NAME_SIZE];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), PLATFORM_DRIVERS "/%s", b->driver->name);
	dir = opendir(path);
	if (!dir)
		return fail(-errno, "%s", path);
	while ((entry = readdir(dir)))
		if (entry->d_type == DT_LNK && strcmp(entry->d_name, "module"))
			snprintf(b->device, sizeof(b->device), "%s", entry->d_name);
	closedir(dir);
	return 0;
}

/* Else the one that the driver has, else one that it could drive. */
int find_device(struct bind *b)
{
	char paths[GPU_MOST][PATH_MAX];
	unsigned int count;
	int ret;

	b->driver = gpu_driver_here();
	if (!b->driver)
		return fail(-ENODEV, "the kernel has no driver for the GPU");
	count = gpu_devices(paths);
	if (find_of_several(b, paths, count))
		return 0;
	ret = bound_device(b);
	if (ret || *b->device)
		return ret;
	if (!count)
		return fail(0, "no GPU that %s could drive", b->driver->name);
	snprintf(b->device, sizeof(b->device), "%s", strrchr(paths[0], '/') + 1);
	return 0;
}

/* Its whole path in sysfs; while it is not there (replug), an empty one. */
void device_place(const struct bind *b, char *place)
{
	char path[sizeof(DEVICES) + NAME_SIZE + 2];

	snprintf(path, sizeof(path), DEVICES "/%s", b->device);
	if (!realpath(path, place))
		*place = '\0';
}

bool driver_bound(const struct bind *b)
{
	char path[sizeof(PLATFORM_DRIVERS) + 2 * NAME_SIZE];

	snprintf(path, sizeof(path), PLATFORM_DRIVERS "/%s/%s", b->driver->name, b->device);
	return !access(path, F_OK);
}

static int tell_driver(const struct bind *b, const char *file)
{
	char path[sizeof(PLATFORM_DRIVERS) + NAME_SIZE];

	snprintf(path, sizeof(path), PLATFORM_DRIVERS "/%s/%s", b->driver->name, file);
	return write_text(path, b->device);
}

int driver_unbind(const struct bind *b)
{
	return driver_bound(b) ? tell_driver(b, "unbind") : 0;
}

/* What the probe returned. */
int driver_bind(const struct bind *b)
{
	return tell_driver(b, "bind");
}

/* Off the GPU it has no interrupt; at work, as many as the first time. */
int driver_lines(struct bind *b, bool at_work)
{
	char prefix[NAME_SIZE], place[PATH_MAX];
	int lines;

	snprintf(prefix, sizeof(prefix), "%s-", b->driver->name);
	device_place(b, place);
	lines = device_interrupts(place, prefix, NULL);
	if (at_work && b->irqs < 0 && lines >= b->driver->interrupts)
		b->irqs = lines;
	if (lines < 0 || lines == (at_work ? b->irqs : 0))
		return lines < 0 ? lines : 0;
	return fail(0, "%d interrupts are %s's, expected %d", lines, b->driver->name,
		    !at_work ? 0 : b->irqs < 0 ? b->driver->interrupts : b->irqs);
}

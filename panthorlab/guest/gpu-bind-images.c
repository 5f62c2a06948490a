// SPDX-License-Identifier: GPL-2.0-or-later
/* Mode images: each of a pack in turn as the firmware. */

#define _GNU_SOURCE
#include "gpu-bind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "files.h"
#include "gpu.h"
#include "held.h"
#include "ktap.h"

#define FW_PATH		"/sys/module/firmware_class/parameters/path"
#define FW_ROOT		"/tmp/panthorlab-firmware"
#define KEPT_KIB	1024	/* of some seventy probes; a VM with its sections has 100 KiB */

/* One of a pack: "NAME SIZE\n", then SIZE bytes. */
struct image {
	char name[NAME_SIZE];
	size_t size;
	const char *data;
};

/* The image at @at and where the next one is; NULL at the end, or if the pack is broken. */
static const char *next_image(const char *at, const char *end, struct image *image)
{
	const char *line = at < end ? memchr(at, '\n', end - at) : NULL;

	if (!line || sscanf(at, "%100[^ \n] %zu", image->name, &image->size) != 2 ||
	    image->size > (size_t)(end - line - 1))
		return NULL;
	image->data = line + 1;
	return line + 1 + image->size;
}

static int mark(const char *name)
{
	char line[NAME_SIZE + 32];
	const int n = snprintf(line, sizeof(line), "panthorlab: image %.200s\n", name);

	return write_file("/dev/kmsg", line, n, 0);
}

/*
 * Make the kernel look for firmware below @root first. It forgets that at a reboot, so a board that dies of an image
 * comes back with its own.
 */
static int look_below(struct bind *b, const char *root)
{
	struct drm_panthor_gpu_info info;
	struct gpu gpu;
	char *slash;
	int ret;

	ret = gpu_open(&gpu);
	if (ret)
		return ret;
	ret = gpu_query(&gpu, DRM_PANTHOR_DEV_QUERY_GPU_INFO, &info, sizeof(info));
	gpu_close(&gpu);
	if (ret)
		return ret;
	snprintf(b->image, sizeof(b->image), "%s/arm/mali/arch%u.%u/mali_csffw.bin", root, info.gpu_id >> 28,
		 info.gpu_id >> 24 & 0xf);
	for (slash = strchr(b->image + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(b->image, 0755) && errno != EEXIST)
			return fail(-errno, "mkdir %s", b->image);
		*slash = '/';
	}
	return write_text(FW_PATH, root);
}

/*
 * Renamed into place: a driver that still reads the old one goes on doing so. Last read when 1970 began, so that it
 * shows when it is read, also within the first second of a board that has no clock.
 */
static int install(const struct bind *b, const void *data, size_t size)
{
	const struct timespec times[2] = { { 0 }, { .tv_nsec = UTIME_OMIT } };
	char other[256];
	int ret;

	snprintf(other, sizeof(other), "%.240s.new", b->image);
	ret = write_file(other, data, size, O_CREAT | O_TRUNC);
	if (!ret && utimensat(AT_FDCWD, other, times, 0))
		ret = fail(-errno, "utimensat %s", other);
	if (!ret && rename(other, b->image))
		ret = fail(-errno, "rename %s", other);
	return ret;
}

/* Whether somebody has read it; false, too, where the file system does not note that. */
static bool was_read(const struct bind *b)
{
	struct stat file;

	return !stat(b->image, &file) && (file.st_atim.tv_sec || file.st_atim.tv_nsec);
}

static int try_image(struct bind *b, const struct image *image)
{
	int probed, ret = driver_unbind(b) ?: driver_lines(b, false) ?: install(b, image->data, image->size);

	ret = ret ?: mark(image->name);
	if (ret)
		return ret;
	probed = driver_bind(b);
	out("# info image.%s=%d\n# info read.%s=%d\n", image->name, probed, image->name, was_read(b));
	if (!probed != driver_bound(b))
		return fail(0, "bind returned %d, and the driver is%s bound", probed, driver_bound(b) ? "" : " not");
	return probed ? driver_lines(b, false) : driver_lines(b, true) ?: b->hang ? revives(b) : works(b);
}

/* That the kernel holds no more than it did @before (held_kib()): objects of its own, and buffers of the driver's. */
static int keeps_nothing(const struct bind *b, long before)
{
	const long more = held_more(before, KEPT_KIB, SETTLE_MS);

	out("# info kept_kb=%ld\n", more);
	return more > KEPT_KIB && !b->lenient ? fail(0, "%ld KiB are kept", more) : 0;
}

int bind_images(struct bind *b)
{
	size_t pack_size, size = 0;
	const char *pack = read_file(b->pack, &pack_size), *end = pack ? pack + pack_size : NULL, *at;
	char *before = read_file(FW_PATH, &size);
	struct image image;
	unsigned int count = 0;
	long held;
	int ret;

	for (at = pack; (at = next_image(at, end, &image));)
		count++;
	ktap_start(count + 2);
	ret = pack && before ? look_below(b, FW_ROOT) : -EIO;
	held = held_kib();
	for (at = pack; !ret && (at = next_image(at, end, &image));)
		ktap_check(try_image(b, &image), "%s", image.name);
	ret = ret ?: driver_unbind(b) ?: write_file(FW_PATH, before, size, 0) ?: mark("none");
	ret = ret ?: driver_bind(b) ?: works(b);
	ktap_check(ret, "the board's own image again");
	ktap_check(ret ?: keeps_nothing(b, held), "no image leaves anything behind");
	return ktap_status();
}

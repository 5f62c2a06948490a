// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A disk to swap to, and what debugfs and fdinfo say of buffers.
 */

#define _GNU_SOURCE
#include "gpu-evict.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include "gpu-files.h"

#define SWAP_DISK	"/dev/ram0"
#define SWAP_VERSION	1u
#define SWAP_MAGIC	"SWAPSPACE2"
#define GEM_EVICTED	0x4u	/* state */
#define GEMS_MAX	65536
#define DROP_CACHES	"/proc/sys/vm/drop_caches"
#define DROP_SHRINKABLE	"2"
#define CGROUPS		"/sys/fs/cgroup"
#define CGROUP		CGROUPS "/gpu-evict"	/* of this process and its buffers */

/* The first page of a disk to swap to: include/linux/swap.h, union swap_header. */
struct swap_header {
	char boot[1024];
	uint32_t version, last_page, bad_pages;
	char rest[GPU_PAGE - 1024 - 3 * sizeof(uint32_t) - (sizeof(SWAP_MAGIC) - 1)];
	char magic[sizeof(SWAP_MAGIC) - 1];
};

_Static_assert(sizeof(struct swap_header) == GPU_PAGE, "a header is a page");

static int cgroup_begin(void)
{
	if (mount("none", CGROUPS, "cgroup2", 0, NULL) && errno != EBUSY)
		return fail(-errno, "mount of " CGROUPS);
	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		return fail(-errno, CGROUP);
	return write_text(CGROUPS "/cgroup.subtree_control", "+memory") ?: write_text(CGROUP "/cgroup.procs", "0");
}

int swap_begin(void)
{
	static struct swap_header header = { .version = SWAP_VERSION };
	uint64_t size = 0;
	ssize_t written;
	int fd = open(SWAP_DISK, O_RDWR | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size))
		return fail(-errno, SWAP_DISK);
	header.last_page = size / GPU_PAGE - 1;
	memcpy(header.magic, SWAP_MAGIC, sizeof(header.magic));
	written = write(fd, &header, sizeof(header));
	if (written != sizeof(header) || fsync(fd))
		return fail(-errno, "the header of " SWAP_DISK);
	close(fd);
	return swapon(SWAP_DISK, 0) && errno != EBUSY ? fail(-errno, "swapon") : cgroup_begin();
}

int swap_end(void)
{
	int ret = write_text(CGROUPS "/cgroup.procs", "0");

	return ret ?: swapoff(SWAP_DISK) ? fail(-errno, "swapoff") : 0;
}

static int swapped_kib(long *kib)
{
	char text[32];
	int ret = read_text(CGROUP "/memory.swap.current", text, sizeof(text));

	*kib = ret ? 0 : atol(text) / 1024;
	return ret;
}

/* All that the cgroup has is asked for, of which some is always in use: that this fails says nothing. */
int swap_out(size_t bytes)
{
	long before, after;
	int ret = swapped_kib(&before);

	if (!ret)
		ret = write_text(CGROUP "/memory.reclaim", "1G swappiness=200");
	if (ret && ret != -EAGAIN)
		return ret;
	ret = swapped_kib(&after);
	if (!ret && (size_t)(after - before) * 1024 < bytes)
		ret = fail(0, "%ld KiB are on the disk, %ld before: a buffer of %zu is not among them", after, before,
			   bytes / 1024);
	return ret;
}

bool evict_can(const struct gpu *gpu)
{
	char path[GPU_PATH_SIZE];

	return !gpu_debugfs(gpu, "shrink", path) && !access(path, F_OK);
}

int evict_pages(const struct gpu *gpu, unsigned int pages, unsigned long *gone)
{
	char path[GPU_PATH_SIZE], text[32];
	int ret = gpu_debugfs(gpu, "shrink", path);

	snprintf(text, sizeof(text), "%u", pages);
	ret = ret ?: write_text(path, text) ?: read_text(path, text, sizeof(text));
	*gone = ret ? 0 : strtoul(text, NULL, 0);
	return ret;
}

int evict_by_kernel(void)
{
	return write_text(DROP_CACHES, DROP_SHRINKABLE);
}

int evict_row(const struct gpu *gpu, size_t size, struct gem *gem)
{
	static char text[GEMS_MAX];
	char path[GPU_PATH_SIZE], creator[32], *line, *rest = text;
	unsigned int found = 0;
	int ret = gpu_debugfs(gpu, "gems", path) ?: read_text(path, text, sizeof(text));

	if (ret)
		return ret;
	snprintf(creator, sizeof(creator), "/%d ", getpid());
	while ((line = strsep(&rest, "\n"))) {
		unsigned int evictions, state;
		size_t bytes, resident;

		if (!strstr(line, creator))
			continue;
		if (sscanf(line, "%*s %*d %*d %u %zu %zu %*x %x", &evictions, &bytes, &resident, &state) != 4)
			return fail(0, "%s: “%s”", path, line);
		if (bytes != size)
			continue;
		*gem = (struct gem){ .evictions = evictions, .resident = resident, .evicted = state & GEM_EVICTED };
		found++;
	}
	return found == 1 ? 0 : fail(0, "%u buffers of %zu bytes in %s", found, size, path);
}

int evict_resident_kib(const struct gpu *gpu, long *kib)
{
	static char text[FDINFO_SIZE];
	long long resident = 0, total;
	int ret = fdinfo_read(gpu, text);

	/* The line is left out when no buffer has any. */
	if (!ret && !fdinfo_number(text, "drm-resident-memory", &resident) && !fdinfo_number(text, "drm-total-memory", &total))
		ret = fail(0, "fdinfo does not tell of memory");
	*kib = resident / 1024;
	return ret;
}

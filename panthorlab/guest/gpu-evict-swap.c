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
#include <sys/sysmacros.h>
#include <unistd.h>

#define SWAP_DISK	"/dev/ram0"
#define SWAP_VERSION	1u
#define SWAP_MAGIC	"SWAPSPACE2"
#define GEM_EVICTED	0x4u	/* state */
#define GEMS_MAX	65536
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

static int read_file(const char *path, char *text, size_t size)
{
	size_t used = 0;
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail(-errno, "%s", path);
	while (used < size - 1 && (n = read(fd, text + used, size - 1 - used)) > 0)
		used += n;
	if (n < 0)
		n = fail(-errno, "%s", path);
	close(fd);
	text[used] = '\0';
	return n < 0 ? n : 0;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return fail(-errno, "%s", path);
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret ? fail(ret, "%s, written", path) : 0;
}

static int cgroup_begin(void)
{
	if (mount("none", CGROUPS, "cgroup2", 0, NULL) && errno != EBUSY)
		return fail(-errno, "mount of " CGROUPS);
	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		return fail(-errno, CGROUP);
	return write_file(CGROUPS "/cgroup.subtree_control", "+memory") ?: write_file(CGROUP "/cgroup.procs", "0");
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
	int ret = write_file(CGROUPS "/cgroup.procs", "0");

	return ret ?: swapoff(SWAP_DISK) ? fail(-errno, "swapoff") : 0;
}

static int swapped_kib(long *kib)
{
	char text[32];
	int ret = read_file(CGROUP "/memory.swap.current", text, sizeof(text));

	*kib = ret ? 0 : atol(text) / 1024;
	return ret;
}

/* All that the cgroup has is asked for, of which some is always in use: that this fails says nothing. */
int swap_out(size_t bytes)
{
	long before, after;
	int ret = swapped_kib(&before);

	if (!ret)
		ret = write_file(CGROUP "/memory.reclaim", "1G swappiness=200");
	if (ret && ret != -EAGAIN)
		return ret;
	ret = swapped_kib(&after);
	if (!ret && (size_t)(after - before) * 1024 < bytes)
		ret = fail(0, "%ld KiB are on the disk, %ld before: a buffer of %zu is not among them", after, before,
			   bytes / 1024);
	return ret;
}

static int debugfs_path(const struct gpu *gpu, const char *name, char *path, size_t size)
{
	struct stat stat;

	if (fstat(gpu->fd, &stat))
		return fail(-errno, "fstat");
	snprintf(path, size, "/sys/kernel/debug/dri/%u/%s", minor(stat.st_rdev), name);
	return 0;
}

bool evict_can(const struct gpu *gpu)
{
	char path[64];

	return !debugfs_path(gpu, "shrink", path, sizeof(path)) && !access(path, F_OK);
}

int evict_pages(const struct gpu *gpu, unsigned int pages, unsigned long *gone)
{
	char path[64], text[32];
	int ret = debugfs_path(gpu, "shrink", path, sizeof(path));

	snprintf(text, sizeof(text), "%u", pages);
	ret = ret ?: write_file(path, text) ?: read_file(path, text, sizeof(text));
	*gone = ret ? 0 : strtoul(text, NULL, 0);
	return ret;
}

int evict_row(const struct gpu *gpu, size_t size, struct gem *gem)
{
	static char text[GEMS_MAX];
	char path[64], creator[32], *line, *rest = text;
	unsigned int found = 0;
	int ret = debugfs_path(gpu, "gems", path, sizeof(path)) ?: read_file(path, text, sizeof(text));

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
	static char text[4096];
	char path[64], unit[16] = "", *at;
	int ret;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", gpu->fd);
	ret = read_file(path, text, sizeof(text));
	if (ret)
		return ret;
	*kib = 0;
	at = strstr(text, "drm-resident-memory:");
	if (!at)	/* is left out when no buffer has any */
		return strstr(text, "drm-total-memory:") ? 0 : fail(0, "%s does not tell of memory", path);
	if (sscanf(at, "%*s %ld%15s", kib, unit) < 1 || (*kib && strcmp(unit, "KiB")))
		return fail(0, "%s: “%.40s”", path, at);
	return 0;
}

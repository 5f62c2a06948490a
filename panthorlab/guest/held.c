// SPDX-License-Identifier: GPL-2.0-or-later

#define _GNU_SOURCE
#include "held.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

#define CACHES		"/sys/kernel/slab"
#define CACHES_MAX	512u

static int open_to_write(int directory, const char *path)
{
	return openat(directory, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
}

static void write_to(int fd)
{
	if (fd >= 0)
		(void)!pwrite(fd, "1\n", 2, 0);
}

/* Open for good: files that come and go while the kernel is measured would be seen. */
static struct {
	bool open;
	int stat_refresh;
	unsigned int count;
	int shrink[CACHES_MAX];
} files;

/* A cache that goes by several names is a directory once and a link otherwise. */
static void open_files(void)
{
	DIR *dir = opendir(CACHES);
	struct dirent *entry;

	files.open = true;
	files.stat_refresh = open_to_write(AT_FDCWD, "/proc/sys/vm/stat_refresh");
	while (dir && files.count < CACHES_MAX && (entry = readdir(dir))) {
		char path[300];

		if (entry->d_type != DT_DIR || *entry->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "%s/shrink", entry->d_name);
		files.shrink[files.count++] = open_to_write(dirfd(dir), path);
	}
	if (dir)
		closedir(dir);
}

/*
 * Every cache keeps a stock of free objects and slabs, for each CPU and each node: it changes with
 * whatever runs, by more than a leak is to be seen from, until the cache is told to give it up.
 */
static void empty_stock(void)
{
	unsigned int i;

	for (i = 0; i < files.count; i++)
		write_to(files.shrink[i]);
}

void held_pause(void)
{
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

/* The sum of the fields of /proc/meminfo with these names, KiB. */
static long meminfo(const char *one, const char *other)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128], name[64];
	long sum = 0, kib;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%63[^:]: %ld kB", name, &kib) == 2 &&
		    (!strcmp(name, one) || !strcmp(name, other)))
			sum += kib;
	if (file)
		fclose(file);
	return sum;
}

long held_kib(void)
{
	if (!files.open)
		open_files();
	held_pause();
	empty_stock();
	/* The counters are spread over the CPUs until they are asked to be brought up to date. */
	write_to(files.stat_refresh);
	return meminfo("SUnreclaim", "Shmem");
}

long held_stacks(void)
{
	write_to(files.stat_refresh);
	return meminfo("KernelStack", "");
}

long held_more(long before, long tolerable, unsigned int settle_ms)
{
	long more = held_kib() - before, least = more;
	int64_t since = now_us();

	while (more > tolerable && now_us() < since + settle_ms * 1000LL) {
		sleep_us(1000);
		more = held_kib() - before;
		if (more < least) {
			least = more;
			since = now_us();
		}
	}
	return more;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A fence outlives what its names are of: the queue and its scheduler go with the group. Whoever holds the fence may ask
 * for its names all the time; they are what they were, or what the kernel says of any fence that has signalled.
 */

#include "gpu-sched.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sync_file.h>

#include "held.h"
#include "ktap.h"

#define ROUNDS		8u	/* of each kind at most; one in which names were read in time is enough */
#define AFTERWARDS	50u	/* reads when all is gone */
#define SIGNALLED	"signaled-timeline"	/* of any driver: drivers/dma-buf/dma-fence.c since 6.17 */
#define DETACHED	"detached-driver"

struct names {
	char timeline[32], driver[32];
	int status;
};

/**
 * struct reader - A thread that reads the names of @fd all the time
 * @first: what they were when all was well
 * @going: what they are of is about to go
 * @between: reads since then of a fence that had not signalled
 * @why: of a read that was wrong
 */
struct reader {
	pthread_t thread;
	int fd;
	struct names first;
	atomic_bool going, stop, wrong;
	atomic_uint between;
	char why[160];
};

static int read_names(int fd, struct names *names)
{
	struct sync_fence_info fence[4] = { 0 };
	struct sync_file_info info = {
		.num_fences = sizeof(fence) / sizeof(fence[0]),
		.sync_fence_info = (uintptr_t)fence,
	};

	if (ioctl(fd, SYNC_IOC_FILE_INFO, &info))
		return fail(-errno, "SYNC_IOC_FILE_INFO");
	if (info.num_fences != 1)
		return fail(0, "%u fences", info.num_fences);
	snprintf(names->timeline, sizeof(names->timeline), "%.31s", fence[0].obj_name);
	snprintf(names->driver, sizeof(names->driver), "%.31s", fence[0].driver_name);
	names->status = fence[0].status;
	return 0;
}

static bool right(const struct names *first, const struct names *names)
{
	if (names->status && !strcmp(names->timeline, SIGNALLED))
		return !strcmp(names->driver, DETACHED);
	return !strcmp(names->timeline, first->timeline) && !strcmp(names->driver, first->driver);
}

static void *read_on(void *arg)
{
	struct reader *reader = arg;
	struct names names;

	while (!atomic_load(&reader->stop)) {
		bool going = atomic_load(&reader->going);
		int ret = read_names(reader->fd, &names);

		if (!ret && right(&reader->first, &names)) {
			if (going && !names.status)
				atomic_fetch_add(&reader->between, 1);
			continue;
		}
		snprintf(reader->why, sizeof(reader->why), "a fence of “%s”, “%s” is said to be of “%.31s”, “%.31s”",
			 reader->first.driver, reader->first.timeline, ret ? "" : names.driver, ret ? "" : names.timeline);
		atomic_store(&reader->wrong, true);
		break;
	}
	return NULL;
}

static int destroy(struct lab *lab)
{
	return gpu_group_destroy(&lab->gpu, lab->group[0].handle) ?: gpu_vm_destroy(&lab->gpu, lab->vm[0].vm);
}

static int release(struct lab *lab)
{
	lab_release(lab);
	return 0;
}

/* The group, its VM or its file goes under a job that lasts; the fence is read before, meanwhile and long after. */
static int round_of(int (*go)(struct lab *lab), unsigned int *between)
{
	struct reader reader = { .fd = -1 };
	uint32_t syncobj;
	struct names names;
	struct lab lab;
	unsigned int i;
	int status, ret = lab_create(&lab, 1) ?: lab_groups(&lab, 1, PRIORITY_MEDIUM);

	ret = ret ?: gpu_syncobj_create(&lab.gpu, &syncobj) ?: lab_hold(&lab, 0, syncobj);
	ret = ret ?: lab_fence(&lab, syncobj, &reader.fd) ?: lab_wait_count(&lab, 0, 0);
	ret = ret ?: read_names(reader.fd, &reader.first);
	if (!ret && (!*reader.first.timeline || !*reader.first.driver || reader.first.status))
		ret = fail(0, "a fence of “%s”, “%s”, status %d", reader.first.driver, reader.first.timeline,
			   reader.first.status);
	if (!ret && pthread_create(&reader.thread, NULL, read_on, &reader))
		ret = fail(-EAGAIN, "pthread_create");
	if (ret)
		return ret;
	atomic_store(&reader.going, true);
	ret = go(&lab) ?: lab_status(reader.fd, GPU_TIMEOUT_MS, &status);
	for (i = 0; i < 3; i++)
		held_pause();	/* until the kernel's workers have freed it */
	for (i = 0; !ret && i < AFTERWARDS; i++) {
		ret = read_names(reader.fd, &names);
		if (!ret && !right(&reader.first, &names))
			ret = fail(0, "afterwards a fence of “%s” is said to be of “%s”", reader.first.timeline,
				   names.timeline);
	}
	atomic_store(&reader.stop, true);
	pthread_join(reader.thread, NULL);
	*between += atomic_load(&reader.between);
	if (atomic_load(&reader.wrong))
		ret = fail(0, "%s", reader.why);
	close(reader.fd);
	if (go != release)
		lab_release(&lab);
	return ret;
}

int sched_names(void)
{
	static const struct {
		const char *what;
		int (*go)(struct lab *lab);
	} kinds[] = { { "the group and its VM go", destroy }, { "the file goes", release } };
	unsigned int kind, i;

	ktap_start(sizeof(kinds) / sizeof(kinds[0]));
	for (kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
		unsigned int between = 0;
		int ret = 0;

		for (i = 0; !ret && i < ROUNDS && !between; i++)
			ret = round_of(kinds[kind].go, &between);
		out("# info between%u=%u\n", kind, between);
		ktap_check(ret, "a fence has its names when %s", kinds[kind].what);
	}
	return ktap_status();
}

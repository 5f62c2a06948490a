// SPDX-License-Identifier: GPL-2.0-or-later

#include "sched-lab.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/sync_file.h>

#define LAB_VA		0x1000000ull
#define STREAM		256u	/* bytes of each */
#define STREAMS_SIZE	(LAB_JOBS * STREAM)
#define LINE		64u	/* a word's cache line */
#define WORDS_SIZE	8192u

_Static_assert((2 * LAB_GROUPS + LAB_RESULTS) * LINE <= WORDS_SIZE, "words do not fit");

static int lab_vm_create(struct lab *lab, struct lab_vm *vm)
{
	int ret = gpu_vm_create(&lab->gpu, &vm->vm);

	if (!ret)
		ret = gpu_bo_create(&lab->gpu, vm->vm, LAB_VA, STREAMS_SIZE,
				    DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC, &vm->streams);
	if (!ret)
		ret = gpu_bo_create(&lab->gpu, vm->vm, LAB_VA + STREAMS_SIZE, WORDS_SIZE,
				    DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC |
				    DRM_PANTHOR_VM_BIND_OP_MAP_UNCACHED, &vm->words);
	return ret;
}

int lab_create(struct lab *lab, unsigned int vms)
{
	struct drm_panthor_csif_info csif;
	struct drm_panthor_gpu_info info;
	int ret;

	memset(lab, 0, sizeof(*lab));
	if (vms > LAB_VMS)
		return fail(-EINVAL, "%u address spaces", vms);
	ret = gpu_open(&lab->gpu);
	if (!ret)
		ret = gpu_query(&lab->gpu, DRM_PANTHOR_DEV_QUERY_CSIF_INFO, &csif, sizeof(csif));
	if (!ret)
		ret = gpu_query(&lab->gpu, DRM_PANTHOR_DEV_QUERY_GPU_INFO, &info, sizeof(info));
	if (ret)
		return ret;
	lab->slots = csif.csg_slot_count;
	lab->spaces = __builtin_popcount(info.as_present) - 1;
	for (; !ret && lab->vm_count < vms; lab->vm_count++)
		ret = lab_vm_create(lab, &lab->vm[lab->vm_count]);
	return ret;
}

/* Drop all mappings, which hold the file, too, and the file. */
void lab_release(struct lab *lab)
{
	unsigned int v;

	for (v = 0; v < lab->vm_count; v++) {
		munmap((void *)lab->vm[v].streams.map, lab->vm[v].streams.size);
		munmap((void *)lab->vm[v].words.map, lab->vm[v].words.size);
	}
	gpu_close(&lab->gpu);
}

/* Make a group in address space @vm; @g is its index. */
int lab_group(struct lab *lab, unsigned int vm, uint8_t priority, unsigned int *g)
{
	struct drm_panthor_queue_create queues[LAB_QUEUES];
	struct drm_panthor_group_create create;
	int ret;

	if (lab->group_count == LAB_GROUPS)
		return fail(-EINVAL, "more than %u groups", LAB_GROUPS);
	gpu_group_ask(&lab->gpu, lab->vm[vm].vm, queues, LAB_QUEUES, &create);
	create.priority = priority;
	ret = GPU_IOCTL(&lab->gpu, PANTHOR_GROUP_CREATE, &create);
	if (ret)
		return ret;
	*g = lab->group_count++;
	lab->group[*g] = (struct lab_group){ .handle = create.group_handle, .vm = vm };
	return 0;
}

/* @count more groups, spread over the address spaces. */
int lab_groups(struct lab *lab, unsigned int count, uint8_t priority)
{
	unsigned int g;
	int ret = 0;

	while (!ret && count--)
		ret = lab_group(lab, lab->group_count % lab->vm_count, priority, &g);
	return ret;
}

int lab_syncobjs(struct lab *lab, uint32_t *syncobj, unsigned int count)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < count; i++)
		ret = gpu_syncobj_create(&lab->gpu, &syncobj[i]);
	return ret;
}

/* One address space with @more groups than slots, and a syncobj for each. */
int lab_crowd(struct lab *lab, unsigned int more, uint8_t priority, uint32_t *syncobj)
{
	int ret = lab_create(lab, 1);

	ret = ret ?: lab_groups(lab, lab->slots + more, priority);
	return ret ?: lab_syncobjs(lab, syncobj, lab->group_count);
}

static volatile uint32_t *word(struct lab *lab, unsigned int vm, unsigned int index)
{
	return (volatile uint32_t *)lab->vm[vm].words.map + index * LINE / sizeof(uint32_t);
}

static uint64_t word_va(const struct lab *lab, unsigned int vm, unsigned int index)
{
	return lab->vm[vm].words.va + index * LINE;
}

/* Grows while the group's counting job is on the GPU. */
volatile uint32_t *lab_counter(struct lab *lab, unsigned int g)
{
	return word(lab, lab->group[g].vm, 2 * g);
}

uint64_t lab_counter_va(const struct lab *lab, unsigned int g)
{
	return word_va(lab, lab->group[g].vm, 2 * g);
}

/* 1: the group's job of lab_count() or lab_hold() ends. */
volatile uint32_t *lab_gate(struct lab *lab, unsigned int g)
{
	return word(lab, lab->group[g].vm, 2 * g + 1);
}

uint64_t lab_gate_va(const struct lab *lab, unsigned int g)
{
	return word_va(lab, lab->group[g].vm, 2 * g + 1);
}

volatile uint32_t *lab_result(struct lab *lab, unsigned int vm, unsigned int index)
{
	return word(lab, vm, 2 * LAB_GROUPS + index);
}

uint64_t lab_result_va(const struct lab *lab, unsigned int vm, unsigned int index)
{
	return word_va(lab, vm, 2 * LAB_GROUPS + index);
}

/* An empty stream for group @g, at @va for the GPU. */
struct cs lab_stream(struct lab *lab, unsigned int g, uint64_t *va)
{
	struct lab_vm *vm = &lab->vm[lab->group[g].vm];
	unsigned int place = vm->jobs++ % LAB_JOBS;

	*va = vm->streams.va + place * STREAM;
	return (struct cs){
		.words = (volatile uint64_t *)vm->streams.map + place * STREAM / 8,
		.capacity = STREAM / 8,
	};
}

/* Wait until the counter of @g is beyond @beyond. There is no event for it, so look every 200 us. */
int lab_wait_count(struct lab *lab, unsigned int g, uint32_t beyond)
{
	int64_t deadline = now_us() + LAB_SETTLE_MS * 1000LL;

	while (*lab_counter(lab, g) <= beyond) {
		if (now_us() > deadline)
			return fail(-ETIME, "group %u has made no progress for %u ms", g,
				    LAB_SETTLE_MS);
		sleep_us(200);
	}
	return 0;
}

/* Until each group from @first on has counted, so has had a slot. */
int lab_wait_all(struct lab *lab, unsigned int first)
{
	unsigned int g;
	int ret = 0;

	for (g = first; !ret && g < lab->group_count; g++)
		ret = lab_wait_count(lab, g, 0);
	return ret;
}

/* The fence that @syncobj has now, as a file: it outlives all else. */
int lab_fence(struct lab *lab, uint32_t syncobj, int *fd)
{
	return gpu_sync_file(&lab->gpu, syncobj, fd);
}

/* 1: success, negative errno: the job failed, 0: not signalled after @timeout_ms. */
int lab_status(int fd, unsigned int timeout_ms, int *status)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int64_t deadline = now_us() + timeout_ms * 1000LL;
	struct sync_file_info info = { 0 };
	int ret;

	do {
		int64_t left_us = deadline - now_us();

		ret = poll(&pfd, 1, left_us > 0 ? (int)((left_us + 999) / 1000) : 0);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0 || ioctl(fd, SYNC_IOC_FILE_INFO, &info))
		return fail(-errno, "status of a fence");
	*status = info.status;
	return 0;
}

/* @expected: 1 for success, 0 for "not signalled now", -1 for any error */
int lab_expect(struct lab *lab, uint32_t syncobj, int expected, const char *what)
{
	int status, fd;
	int ret = lab_fence(lab, syncobj, &fd);

	if (ret)
		return ret;
	ret = lab_status(fd, expected ? GPU_TIMEOUT_MS : 0, &status);
	close(fd);
	if (!ret && (expected < 0 ? status >= 0 : status != expected))
		ret = fail(0, "%s: fence status %d, expected %s", what, status,
			   expected < 0 ? "an error" : expected ? "success" : "unsignalled");
	return ret;
}

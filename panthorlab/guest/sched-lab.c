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

enum { REG_COUNTER = 0, REG_GATE = 2, REG_COUNT = 4, REG_OPEN = 5, REG_FLUSH = 6,
       REG_ADDR = 8, REG_VALUE = 10 };

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

static volatile uint32_t *word(struct lab *lab, unsigned int vm, unsigned int index)
{
	return (volatile uint32_t *)lab->vm[vm].words.map + index * LINE / sizeof(uint32_t);
}

static uint64_t word_va(const struct lab *lab, unsigned int vm, unsigned int index)
{
	return lab->vm[vm].words.va + index * LINE;
}

/* Grows while the group's spinning job is on the GPU. */
volatile uint32_t *lab_counter(struct lab *lab, unsigned int g)
{
	return word(lab, lab->group[g].vm, 2 * g);
}

/* 1: the group's job of lab_spin() ends. */
volatile uint32_t *lab_gate(struct lab *lab, unsigned int g)
{
	return word(lab, lab->group[g].vm, 2 * g + 1);
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

/* What both kinds of lasting job begin with. */
static void write_start(struct lab *lab, unsigned int g, struct cs *cs)
{
	unsigned int vm = lab->group[g].vm;

	cs_move48(cs, REG_COUNTER, word_va(lab, vm, 2 * g));
	cs_move48(cs, REG_GATE, word_va(lab, vm, 2 * g + 1));
	cs_load32(cs, REG_COUNT, REG_COUNTER);
	cs_wait(cs, CS_SB_ALL);
}

static void write_tick(struct cs *cs)
{
	cs_add_imm32(cs, REG_COUNT, REG_COUNT, 1);
	cs_store32(cs, REG_COUNTER, REG_COUNT);
}

/* Go back to @loop until the gate is at @opening or beyond. */
static void write_gate(struct cs *cs, uint32_t opening, unsigned int loop)
{
	cs_load32(cs, REG_OPEN, REG_GATE);
	cs_wait(cs, CS_SB_ALL);
	cs_add_imm32(cs, REG_OPEN, REG_OPEN, -(int32_t)opening);
	cs_branch(cs, CS_LESS, REG_OPEN, loop);
}

/* Count once, then do nothing until the gate is at @opening or beyond. */
void lab_write_hold(struct lab *lab, unsigned int g, uint32_t opening, struct cs *cs)
{
	write_start(lab, g, cs);
	write_tick(cs);
	write_gate(cs, opening, cs->count);
}

/* Store @value for the CPU to see. */
void lab_write_store_at(uint64_t va, uint32_t value, struct cs *cs)
{
	cs_move48(cs, REG_ADDR, va);
	cs_move32(cs, REG_VALUE, value);
	cs_store32(cs, REG_ADDR, REG_VALUE);
	cs_wait(cs, CS_SB_ALL);
	cs_move32(cs, REG_FLUSH, 0);
	cs_flush(cs, REG_FLUSH);
	cs_wait(cs, CS_SB_ALL);
}

/* In result @index of the group's address space. */
void lab_write_store(struct lab *lab, unsigned int g, unsigned int index, uint32_t value,
		     struct cs *cs)
{
	lab_write_store_at(lab_result_va(lab, lab->group[g].vm, index), value, cs);
}

/* @cs NULL: a submission without a stream, which only orders fences. */
int lab_submit(struct lab *lab, unsigned int g, uint64_t va, const struct cs *cs,
	       const struct lab_submit *how)
{
	struct drm_panthor_sync_op syncs[2];
	struct drm_panthor_queue_submit submit = {
		.queue_index = how->queue,
		.stream_size = cs ? cs_size(cs) : 0,
		.stream_addr = cs ? va : 0,
	};
	struct drm_panthor_group_submit call = {
		.group_handle = lab->group[g].handle,
		.queue_submits = DRM_PANTHOR_OBJ_ARRAY(1, &submit),
	};
	unsigned int count = 0;

	if (how->after)
		syncs[count++] = (struct drm_panthor_sync_op){ .handle = how->after };
	if (how->signals)
		syncs[count++] = (struct drm_panthor_sync_op){
			.flags = DRM_PANTHOR_SYNC_OP_SIGNAL, .handle = how->signals,
		};
	if (count)
		submit.syncs = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(count, syncs);
	return GPU_IOCTL(&lab->gpu, PANTHOR_GROUP_SUBMIT, &call);
}

/* A job on queue 0 that counts until its gate is opened. */
int lab_count(struct lab *lab, unsigned int g, uint32_t signals)
{
	struct lab_submit how = { .signals = signals };
	uint64_t va;
	struct cs cs = lab_stream(lab, g, &va);
	unsigned int loop;

	*lab_gate(lab, g) = 0;
	write_start(lab, g, &cs);
	loop = cs.count;
	write_tick(&cs);
	write_gate(&cs, 1, loop);
	return lab_submit(lab, g, va, &cs, &how);
}

/* A job on queue 0 that counts once and then lasts until its gate is opened. */
int lab_hold(struct lab *lab, unsigned int g, uint32_t signals)
{
	struct lab_submit how = { .signals = signals };
	uint64_t va;
	struct cs cs = lab_stream(lab, g, &va);

	*lab_gate(lab, g) = 0;
	lab_write_hold(lab, g, 1, &cs);
	return lab_submit(lab, g, va, &cs, &how);
}

int lab_store(struct lab *lab, unsigned int g, unsigned int index, uint32_t value,
	      const struct lab_submit *how)
{
	uint64_t va;
	struct cs cs = lab_stream(lab, g, &va);

	lab_write_store(lab, g, index, value, &cs);
	return lab_submit(lab, g, va, &cs, how);
}

int lab_nothing(struct lab *lab, unsigned int g, const struct lab_submit *how)
{
	return lab_submit(lab, g, 0, NULL, how);
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

/*
 * @count jobs of @ms each, all in the ring at once, so that the queue is never empty. The first is on
 * the GPU when this begins to count.
 */
int lab_row(struct lab *lab, unsigned int g, unsigned int count, unsigned int ms)
{
	uint32_t syncobj[LAB_ROW];
	unsigned int i;
	int ret = count > LAB_ROW ? fail(-EINVAL, "%u jobs in a row", count) : 0;

	*lab_gate(lab, g) = 0;
	for (i = 0; !ret && i < count; i++) {
		struct lab_submit how;
		uint64_t va;
		struct cs cs = lab_stream(lab, g, &va);

		ret = gpu_syncobj_create(&lab->gpu, &syncobj[i]);
		how = (struct lab_submit){ .signals = syncobj[i] };
		lab_write_hold(lab, g, i + 1, &cs);
		if (!ret)
			ret = lab_submit(lab, g, va, &cs, &how);
	}
	if (!ret)
		ret = lab_wait_count(lab, g, 0);
	for (i = 0; !ret && i < count; i++) {
		sleep_us(ms * 1000);
		*lab_gate(lab, g) = i + 1;
		ret = lab_expect(lab, syncobj[i], 1, "a job that ends in time");
	}
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

// SPDX-License-Identifier: GPL-2.0-or-later

#include "heap-scene.h"

#include <errno.h>
#include <sys/mman.h>

#include "client.h"
#include "ktap.h"

/* What is where in the page of a group. */
#define AT_HANDLER	2048u
#define AT_TILER	3072u	/* tiler context */
#define AT_DESCRIPTOR	3328u	/* of the heap, for the tiler */
#define AT_CALLS	3584u	/* stored by the handler: how often it ran */
#define AT_RESULT	3648u	/* stored when the pass is over */
#define AT_GATE		3680u	/* not zero: what is gated goes on */
#define AT_SCRATCH	3712u	/* 64 bytes: a heap context that no kernel gave out */

/* In the tiler context and the descriptor (Mesa: MALI_TILER_CONTEXT, MALI_TILER_HEAP). */
#define TILER_HEAP_POINTER	24u
#define TILER_COMPLETED		40u	/* the newest and the oldest chunk in use */
#define DESCRIPTOR_SIZE		4u
#define DESCRIPTOR_BASE		8u

enum {
	REG_HEAP = 0, REG_OPEN = 2, REG_TILINGS = 3, REG_HANDLER = 4, REG_LENGTH = 6, REG_CALLS = 7,
	REG_CALLS_VA = 8, REG_VALUE = 10, REG_FLUSH = 11, REG_RESULT = 12, REG_GATE = 14,
	REG_FIRST = 16, REG_LAST = 18,	/* side by side: what is at TILER_COMPLETED */
	REG_TILER = 40,			/* the tiler takes its context from here */
};

static volatile uint8_t *page_of(struct heap_scene *scene, unsigned int g)
{
	return (volatile uint8_t *)scene->bo.map + g * GPU_PAGE;
}

static uint64_t va_of(const struct heap_scene *scene, unsigned int g)
{
	return scene->bo.va + g * GPU_PAGE;
}

/* A file with a VM and room for the streams. @user_va_range: of the VM, 0: as the kernel likes it. */
int heap_open_range(struct heap_scene *scene, uint64_t user_va_range)
{
	struct drm_panthor_vm_create create = { .user_va_range = user_va_range };
	int ret;

	*scene = (struct heap_scene){ .gpu = { .fd = -1 } };
	ret = gpu_open(&scene->gpu);
	if (!ret)
		ret = GPU_IOCTL(&scene->gpu, PANTHOR_VM_CREATE, &create);
	scene->vm = create.id;
	scene->user_va_range = create.user_va_range;
	return ret ?: gpu_bo_create(&scene->gpu, scene->vm, HEAP_VA, HEAP_GROUPS * GPU_PAGE,
				    DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC |
				    DRM_PANTHOR_VM_BIND_OP_MAP_UNCACHED, &scene->bo);
}

int heap_open(struct heap_scene *scene)
{
	return heap_open_range(scene, 0);
}

int heap_add_group(struct heap_scene *scene)
{
	unsigned int g = scene->groups;
	int ret;

	if (g == HEAP_GROUPS)
		return fail(-ENOSPC, "a scene of more than %u groups", HEAP_GROUPS);
	ret = gpu_group_create(&scene->gpu, scene->vm, 1, &scene->group[g]);
	if (!ret && !scene->syncobj[g])
		ret = gpu_syncobj_create(&scene->gpu, &scene->syncobj[g]);
	scene->groups += !ret;
	return ret;
}

int heap_add_heap(struct heap_scene *scene, uint32_t chunks, uint32_t max_chunks,
		  uint32_t target_in_flight)
{
	struct drm_panthor_tiler_heap_create create = {
		.vm_id = scene->vm,
		.initial_chunk_count = chunks,
		.chunk_size = HEAP_CHUNK,
		.max_chunks = max_chunks,
		.target_in_flight = target_in_flight,
	};
	int ret;

	if (scene->heaps == HEAP_GROUPS)
		return fail(-ENOSPC, "a scene of more than %u heaps", HEAP_GROUPS);
	ret = GPU_IOCTL(&scene->gpu, PANTHOR_TILER_HEAP_CREATE, &create);
	if (ret)
		return ret;
	scene->heap[scene->heaps++] = (struct gpu_heap){
		.handle = create.handle,
		.context_va = create.tiler_heap_ctx_gpu_va,
		.chunk_va = create.first_heap_chunk_gpu_va,
		.chunk_size = HEAP_CHUNK,
	};
	return 0;
}

/* @groups groups, each with a heap that begins with @chunks chunks and may have @max_chunks. */
int heap_scene_create(struct heap_scene *scene, unsigned int groups, uint32_t chunks,
		      uint32_t max_chunks)
{
	int ret = heap_open(scene);

	while (!ret && scene->groups < groups) {
		ret = heap_add_group(scene);
		if (!ret)
			ret = heap_add_heap(scene, chunks, max_chunks, 65535);
	}
	return ret;
}

/* Drop the CPU mapping and the file, and with it all there is on the GPU. */
void heap_scene_close(struct heap_scene *scene)
{
	if (scene->bo.map)
		munmap((void *)scene->bo.map, scene->bo.size);
	scene->bo.map = NULL;
	gpu_close(&scene->gpu);
}

/* A pass that binds the group's heap; if it has none, a context in the group's own page. */
struct pass heap_pass(const struct heap_scene *scene, unsigned int g, unsigned int tilings)
{
	static uint32_t value = 0x4ea90000;
	bool heap = g < scene->heaps;

	return (struct pass){
		.context = heap ? scene->heap[g].context_va : va_of(scene, g) + AT_SCRATCH,
		.chunk = heap ? scene->heap[g].chunk_va : 0,
		.tilings = tilings,
		.value = ++value,
	};
}

/* The chunks in use become free ones. Tiler work may still be waiting for them. */
static void write_release(struct cs *cs)
{
	cs_load(cs, REG_FIRST, 4, REG_TILER, TILER_COMPLETED);
	cs_wait(cs, 1 << CS_SB_STORE);
	cs_finish_fragment(cs, REG_FIRST, REG_LAST);
	cs_move48(cs, REG_FIRST, 0);
	cs_move48(cs, REG_LAST, 0);
	cs_store(cs, REG_FIRST, 4, REG_TILER, TILER_COMPLETED);
	cs_wait(cs, 1 << CS_SB_STORE);
}

static uint32_t write_handler(struct heap_scene *scene, unsigned int g)
{
	struct cs cs = {
		.words = (volatile uint64_t *)(page_of(scene, g) + AT_HANDLER),
		.capacity = (AT_TILER - AT_HANDLER) / 8,
	};

	cs_add_imm32(&cs, REG_CALLS, REG_CALLS, 1);
	cs_store32(&cs, REG_CALLS_VA, REG_CALLS);
	write_release(&cs);
	return cs_size(&cs);
}

/* Tell the tiler where its heap is; nothing of it is in use. */
static void write_tiler(struct heap_scene *scene, unsigned int g, const struct pass *pass)
{
	volatile uint8_t *page = page_of(scene, g);
	volatile uint64_t *tiler = (volatile uint64_t *)(page + AT_TILER);
	unsigned int i;

	for (i = AT_TILER; i < GPU_PAGE; i += 8)
		*(volatile uint64_t *)(page + i) = 0;
	tiler[TILER_HEAP_POINTER / 8] = va_of(scene, g) + AT_DESCRIPTOR;
	*(volatile uint32_t *)(page + AT_DESCRIPTOR + DESCRIPTOR_SIZE) = pass->chunk ? HEAP_CHUNK : 0;
	*(volatile uint64_t *)(page + AT_DESCRIPTOR + DESCRIPTOR_BASE) = pass->chunk;
}

static void write_tilings(struct cs *cs, const struct pass *pass)
{
	unsigned int loop;

	if (!pass->tilings)
		return;
	cs_move32(cs, REG_TILINGS, pass->tilings);
	loop = cs->count;
	cs_run_tiling(cs);
	cs_wait(cs, CS_SB_ALL);
	cs_add_imm32(cs, REG_TILINGS, REG_TILINGS, -1);
	cs_branch(cs, CS_GREATER, REG_TILINGS, loop);
}

static uint32_t write_pass(struct heap_scene *scene, unsigned int g, const struct pass *pass)
{
	struct cs cs = {
		.words = (volatile uint64_t *)page_of(scene, g),
		.capacity = AT_HANDLER / 8,
	};
	unsigned int loop;

	write_tiler(scene, g, pass);
	cs_scoreboards(&cs, CS_SB_TILER, CS_SB_STORE);
	cs_move48(&cs, REG_HEAP, pass->context);
	cs_heap_set(&cs, REG_HEAP);
	cs_move48(&cs, REG_TILER, va_of(scene, g) + AT_TILER);
	cs_move32(&cs, REG_CALLS, 0);
	cs_move48(&cs, REG_CALLS_VA, va_of(scene, g) + AT_CALLS);
	if (pass->handler) {
		cs_move48(&cs, REG_HANDLER, va_of(scene, g) + AT_HANDLER);
		cs_move32(&cs, REG_LENGTH, write_handler(scene, g));
	} else {
		cs_move32(&cs, REG_LENGTH, 0);
	}
	cs_exception_handler(&cs, REG_HANDLER, REG_LENGTH);
	if (pass->gated) {
		cs_move48(&cs, REG_GATE, va_of(scene, g) + AT_GATE);
		loop = cs.count;
		cs_load32(&cs, REG_OPEN, REG_GATE);
		cs_wait(&cs, CS_SB_ALL);
		cs_branch(&cs, CS_EQUAL, REG_OPEN, loop);
	}
	if (pass->twice_done)
		cs_heap_operation(&cs, CS_FRAGMENT_COMPLETED);
	cs_req_resource(&cs, CS_RESOURCE_TILER | CS_RESOURCE_IDVS);
	if (!pass->unstarted)
		cs_heap_operation(&cs, CS_VERTEX_TILER_STARTED);
	write_tilings(&cs, pass);
	cs_finish_tiling(&cs);
	cs_wait(&cs, CS_SB_ALL);
	cs_req_resource(&cs, 0);
	cs_heap_operation(&cs, CS_VERTEX_TILER_COMPLETED);
	write_release(&cs);
	cs_heap_operation(&cs, CS_FRAGMENT_COMPLETED);
	cs_move48(&cs, REG_RESULT, va_of(scene, g) + AT_RESULT);
	cs_move32(&cs, REG_VALUE, pass->value);
	cs_store32(&cs, REG_RESULT, REG_VALUE);
	cs_wait(&cs, CS_SB_ALL);
	cs_move32(&cs, REG_FLUSH, 0);
	cs_flush(&cs, REG_FLUSH);
	cs_wait(&cs, CS_SB_ALL);
	return cs_size(&cs);
}

int heap_submit(struct heap_scene *scene, unsigned int g, const struct pass *pass)
{
	struct gpu_job job = {
		.va = va_of(scene, g),
		.size = write_pass(scene, g, pass),
		.syncobj = scene->syncobj[g],
	};

	return gpu_submit(&scene->gpu, scene->group[g], &job, 1);
}

static volatile uint32_t *result_of(struct heap_scene *scene, unsigned int g)
{
	return (volatile uint32_t *)(page_of(scene, g) + AT_RESULT);
}

/* The pass that is gated may go on. */
void heap_begin(struct heap_scene *scene, unsigned int g)
{
	*(volatile uint32_t *)(page_of(scene, g) + AT_GATE) = 1;
}

int heap_right(struct heap_scene *scene, unsigned int g, const struct pass *pass)
{
	return gpu_job_right(&scene->gpu, scene->syncobj[g], result_of(scene, g), pass->value);
}

int heap_run(struct heap_scene *scene, unsigned int g, const struct pass *pass)
{
	return heap_submit(scene, g, pass) ?: heap_right(scene, g, pass);
}

/* By the last pass of the group. */
uint32_t heap_handler_calls(struct heap_scene *scene, unsigned int g)
{
	return *(volatile uint32_t *)(page_of(scene, g) + AT_CALLS);
}

/*
 * The pass must not get to its end, and the group must be flagged for it, soon after its fence. The
 * status of the fence proves nothing: 6.12 says success of a job that a failed heap has ended.
 */
int heap_must_die(struct heap_scene *scene, unsigned int g, const struct pass *pass)
{
	const uint32_t fatal = DRM_PANTHOR_GROUP_STATE_FATAL_FAULT;
	const uint32_t timed_out = DRM_PANTHOR_GROUP_STATE_TIMEDOUT;
	uint32_t state, queues;
	int status, ret;

	ret = heap_submit(scene, g, pass);
	if (!ret)
		ret = gpu_fence_status(&scene->gpu, scene->syncobj[g], GPU_TIMEOUT_MS, &status);
	if (ret)
		return ret;
	if (*result_of(scene, g) == pass->value)
		return fail(0, "the pass got the memory it must not have");
	ret = gpu_wait_group_state(&scene->gpu, scene->group[g], fatal | timed_out, HEAP_FATAL_MS,
				   &state, &queues);
	if (!ret && state & fatal)
		out("# fence status %d\n", status);
	if (ret || state & fatal)
		return ret;
	if (state & timed_out)
		return fail(-ETIME, "the pass was not refused memory, it timed out");
	return fail(-ETIME, "fence status %d, but the group is not flagged fatal", status);
}

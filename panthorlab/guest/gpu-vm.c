// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Maps, remaps and unmaps of every alignment, against a table of what has to be mapped where. The
 * GPU itself says whether it is: it stores through the addresses, the CPU looks into the buffers.
 *
 *   --mode small    parts of 4 KiB mappings, at each page
 *   --mode huge     parts of mappings of 4 MiB, around each 2 MiB
 *   --mode huge-pages  the same with buffers of huge pages, if the kernel has any
 *   --mode random   --count operations drawn from --seed, several in one call, sync and async
 *   --mode holes    where nothing is mapped any more, a store must fault
 *   --mode spaces   more VMs than address spaces, --count rounds; all stores land in the right one
 *   --mode taken    one takes over another's address space during a mapping call, in --count rounds
 *   --mode kernel-range  the kernel's own addresses of a VM can be neither mapped nor unmapped
 *   --mode protection    what is read-only can be read and not written
 *   --mode zero     --count fresh buffers are zero for the CPU and the GPU
 *   --mode stuck    maps of a VM on the GPU, --count at most, until the MMU gets stuck: that one must fail
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client.h"
#include "gpu-job.h"
#include "gpu-vm.h"
#include "ktap.h"
#include "options.h"

#define ARENA_VA	0x40000000ull	/* of 1 GiB: page tables of all levels begin here */
#define ARENA_MAX	2048u		/* pages */
#define BOS		2u
#define PROBES_MAX	40u
#define OPS_MAX		4u
#define FATAL_MS	2000

enum { REG_PROBE = 0, REG_TOKEN = 2 };

/**
 * struct place - What is mapped at a page of the arena
 * @bo: index + 1, 0 for nothing
 * @page: of the BO
 */
struct place {
	uint16_t bo;
	uint16_t page;
};

/**
 * struct arena - A range of GPU addresses, buffers for it, and the table of what is where
 * @pages: of the arena
 * @bo_pages: of each BO
 * @at: the table
 * @async: bind by jobs of the VM's queue
 * @token: of the last probe
 * @ops: operations done
 */
struct arena {
	struct scene scene;
	struct gpu_bo bo[BOS];
	unsigned int pages, bo_pages;
	struct place at[ARENA_MAX];
	bool async;
	uint32_t token;
	unsigned int ops, probes;
};

/* A BO with a CPU mapping that no VM has yet. */
static int bo_make(struct gpu *gpu, uint32_t vm, size_t size, struct gpu_bo *bo)
{
	struct drm_panthor_bo_create create = { .size = size, .exclusive_vm_id = vm };
	struct drm_panthor_bo_mmap_offset offset = { 0 };
	int ret = GPU_IOCTL(gpu, PANTHOR_BO_CREATE, &create);

	bo->handle = offset.handle = create.handle;
	bo->size = size;
	if (!ret)
		ret = GPU_IOCTL(gpu, PANTHOR_BO_MMAP_OFFSET, &offset);
	if (ret)
		return ret;
	bo->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, gpu->fd, offset.offset);
	return bo->map == MAP_FAILED ? fail(-errno, "mmap of a buffer object") : 0;
}

static int arena_create(struct arena *arena, unsigned int bo_pages)
{
	unsigned int i;
	int ret = scene_create(&arena->scene, 1);

	arena->bo_pages = bo_pages;
	arena->pages = bo_pages * BOS;
	for (i = 0; !ret && i < BOS; i++)
		ret = bo_make(&arena->scene.gpu, arena->scene.vm, bo_pages * GPU_PAGE,
			      &arena->bo[i]);
	return ret;
}

static struct drm_panthor_vm_bind_op map_op(struct arena *arena, unsigned int page,
					    unsigned int count, unsigned int bo, unsigned int from)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		arena->at[page + i] = (struct place){ .bo = bo + 1, .page = from + i };
	return (struct drm_panthor_vm_bind_op){
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
		.bo_handle = arena->bo[bo].handle,
		.bo_offset = (uint64_t)from * GPU_PAGE,
		.va = ARENA_VA + (uint64_t)page * GPU_PAGE,
		.size = (uint64_t)count * GPU_PAGE,
	};
}

static struct drm_panthor_vm_bind_op unmap_op(struct arena *arena, unsigned int page,
					      unsigned int count)
{
	memset(&arena->at[page], 0, count * sizeof(arena->at[0]));
	return (struct drm_panthor_vm_bind_op){
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP,
		.va = ARENA_VA + (uint64_t)page * GPU_PAGE,
		.size = (uint64_t)count * GPU_PAGE,
	};
}

/* Do @ops in one call. Asynchronous ones have ended well when this returns. */
static int bind_ops(struct arena *arena, struct drm_panthor_vm_bind_op *ops, unsigned int count)
{
	struct gpu *gpu = &arena->scene.gpu;
	struct drm_panthor_sync_op signal = {
		.flags = DRM_PANTHOR_SYNC_OP_SIGNAL,
		.handle = arena->scene.syncobj[1],
	};
	struct drm_panthor_vm_bind bind = {
		.vm_id = arena->scene.vm,
		.flags = arena->async ? DRM_PANTHOR_VM_BIND_ASYNC : 0,
		.ops = DRM_PANTHOR_OBJ_ARRAY(count, ops),
	};
	int status, ret;

	arena->ops += count;
	if (arena->async)
		ops[count - 1].syncs = (struct drm_panthor_obj_array)
			DRM_PANTHOR_OBJ_ARRAY(1, &signal);
	ret = GPU_IOCTL(gpu, PANTHOR_VM_BIND, &bind);
	if (ret || !arena->async)
		return ret;
	ret = gpu_fence_status(gpu, signal.handle, GPU_TIMEOUT_MS, &status);
	return ret ?: status == 1 ? 0 : fail(status, "asynchronous VM_BIND");
}

static int bind_op(struct arena *arena, struct drm_panthor_vm_bind_op op)
{
	return bind_ops(arena, &op, 1);
}

static volatile uint32_t *word_of(struct arena *arena, struct place place)
{
	return (volatile uint32_t *)((char *)arena->bo[place.bo - 1].map +
				     (size_t)place.page * GPU_PAGE);
}

/* Let the GPU store a token of its own through each of @pages that is mapped, and look for them. */
static int probe(struct arena *arena, const unsigned int *pages, unsigned int count)
{
	struct cs cs = { .words = arena->scene.streams.map, .capacity = GPU_PAGE / 8 };
	uint32_t first = arena->token + 1;
	unsigned int i;
	int ret;

	for (i = 0; i < count; i++) {
		if (pages[i] >= arena->pages || !arena->at[pages[i]].bo)
			continue;
		cs_move48(&cs, REG_PROBE, ARENA_VA + (uint64_t)pages[i] * GPU_PAGE);
		cs_move32(&cs, REG_TOKEN, first + i);
		cs_store32(&cs, REG_PROBE, REG_TOKEN);
		arena->probes++;
	}
	scene_store(&cs, scene_result_va(&arena->scene, 0), first);
	ret = scene_submit(&arena->scene, arena->scene.group, 0, &cs, 0);
	if (!ret)
		ret = scene_right(&arena->scene, 0, first);
	for (i = 0; !ret && i < count; i++) {
		unsigned int later;
		uint32_t is, must = first + i;

		if (pages[i] >= arena->pages || !arena->at[pages[i]].bo)
			continue;
		for (later = i + 1; later < count; later++)	/* the same memory, twice mapped */
			if (pages[later] < arena->pages &&
			    !memcmp(&arena->at[pages[later]], &arena->at[pages[i]],
				    sizeof(struct place)))
				must = first + later;
		is = *word_of(arena, arena->at[pages[i]]);
		if (is != must)
			ret = fail(0, "page %u: a store did not reach page %u of buffer %u (0x%x, 0x%x)",
				   pages[i], arena->at[pages[i]].page, arena->at[pages[i]].bo - 1,
				   is, must);
	}
	arena->token += count;
	return ret;
}

/* The pages around the ends of an operation, and those of the whole. */
static int probe_around(struct arena *arena, unsigned int start, unsigned int end)
{
	unsigned int pages[] = {
		0, start - 1, start, start + 1, (start + end) / 2, end - 1, end, end + 1,
		start & ~511u, (start | 511) + 1, end & ~511u, arena->bo_pages - 1,
		arena->bo_pages, arena->pages - 1,
	};

	return probe(arena, pages, sizeof(pages) / sizeof(pages[0]));
}

/* Both BOs side by side; without [start, end); with the other BO there; with nothing. */
static int cut(struct arena *arena, unsigned int start, unsigned int end)
{
	unsigned int size = end - start, other = start < arena->bo_pages;
	int ret;

	ret = bind_op(arena, map_op(arena, 0, arena->bo_pages, 0, 0));
	if (!ret)
		ret = bind_op(arena, map_op(arena, arena->bo_pages, arena->bo_pages, 1, 0));
	if (!ret)
		ret = bind_op(arena, unmap_op(arena, start, size));
	if (!ret)
		ret = probe_around(arena, start, end);
	if (size > arena->bo_pages)
		size = arena->bo_pages;
	if (!ret)
		ret = bind_op(arena, map_op(arena, start, size, other, arena->bo_pages - size));
	if (!ret)
		ret = probe_around(arena, start, start + size);
	/* Over what is mapped by now, so that a map splits mappings, too. */
	if (!ret && size > 1)
		ret = bind_op(arena, map_op(arena, start + 1, size - 1, !other, 0));
	if (!ret)
		ret = probe_around(arena, start, start + size);
	return ret ?: bind_op(arena, unmap_op(arena, 0, arena->pages));
}

/* Huge pages for all of the buffers, as far as there are any. */
static int have_huge_pages(struct arena *arena)
{
	long before, after;
	unsigned int i, page;
	int ret = huge_pages_ask();

	before = ret ?: huge_pages_kib();
	for (i = 0; before >= 0 && i < BOS; i++)
		for (page = 0; page < arena->bo_pages; page++)
			*word_of(arena, (struct place){ .bo = i + 1, .page = page }) = 0;
	after = before < 0 ? before : huge_pages_kib();
	ret = huge_pages_end();
	if (after < 0 || ret)
		return after < 0 ? (int)after : ret;
	out("# info huge_kib=%ld\n", after - before);
	return 0;
}

/* Every pair of @points, synchronously and asynchronously. */
static int cuts(unsigned int bo_pages, bool huge_pages, const unsigned int *points, unsigned int count)
{
	static struct arena arena;
	unsigned int i, k, failed = 0;
	int way, ret;

	ktap_start(2);
	ret = arena_create(&arena, bo_pages);
	if (!ret && huge_pages)
		ret = have_huge_pages(&arena);
	for (way = 0; way < 2; way++) {
		char why[128];

		arena.async = way;
		for (i = 0; !ret && i < count; i++) {
			for (k = i + 1; !ret && k < count; k++) {
				ret = cut(&arena, points[i], points[k]);
				snprintf(why, sizeof(why), "[%u, %u): %s", points[i], points[k],
					 last_error());
			}
		}
		out("# operations %u\n# probes %u\n", arena.ops, arena.probes);
		if (!ret && !arena.probes)
			ret = fail(0, "nothing was probed");
		ktap_result(way + 1, !ret, way ? "asynchronously" : "synchronously",
			    arena.ops ? why : last_error());
		failed += ret != 0;
	}
	return failed ? 1 : 0;
}

static int mode_small(unsigned int count, unsigned int seed)
{
	static const unsigned int points[] = { 0, 1, 4, 7, 8, 9, 15, 16 };

	(void)count, (void)seed;
	return cuts(8, false, points, sizeof(points) / sizeof(points[0]));
}

static const unsigned int huge_points[] = { 0, 1, 511, 512, 1024, 1025, 1536, 2048 };

#define HUGE_POINTS	(sizeof(huge_points) / sizeof(huge_points[0]))

static int mode_huge(unsigned int count, unsigned int seed)
{
	(void)count, (void)seed;
	return cuts(1024, false, huge_points, HUGE_POINTS);
}

static int mode_huge_pages(unsigned int count, unsigned int seed)
{
	(void)count, (void)seed;
	return cuts(1024, true, huge_points, HUGE_POINTS);
}

static unsigned int draw(uint64_t *state, unsigned int below)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (*state >> 33) % below;
}

static int random_call(struct arena *arena, uint64_t *state)
{
	struct drm_panthor_vm_bind_op ops[OPS_MAX];
	unsigned int n = 1 + draw(state, OPS_MAX), pages[PROBES_MAX], probes = 0, i;
	int ret;

	arena->async = draw(state, 2);
	for (i = 0; i < n; i++) {
		unsigned int start = draw(state, arena->pages);
		unsigned int size = 1 + draw(state, arena->pages - start);
		unsigned int bo = draw(state, BOS);

		if (draw(state, 3)) {
			if (size > arena->bo_pages)
				size = arena->bo_pages;
			ops[i] = map_op(arena, start, size, bo,
					draw(state, arena->bo_pages - size + 1));
		} else {
			ops[i] = unmap_op(arena, start, size);
		}
		pages[probes++] = start - 1;
		pages[probes++] = start;
		pages[probes++] = start + size - 1;
		pages[probes++] = start + size;
		pages[probes++] = start + draw(state, size);
	}
	ret = bind_ops(arena, ops, n);
	return ret ?: probe(arena, pages, probes);
}

static int mode_random(unsigned int count, unsigned int seed)
{
	static struct arena arena;
	uint64_t state = seed;
	unsigned int i;
	char why[160];
	int ret;

	ktap_start(1);
	ret = arena_create(&arena, 64);
	for (i = 0; !ret && i < count; i++)
		ret = random_call(&arena, &state);
	snprintf(why, sizeof(why), "call %u of seed %u: %s", i, seed, last_error());
	out("# operations %u\n# probes %u\n", arena.ops, arena.probes);
	ktap_result(1, !ret && arena.probes, "random binds", why);
	return ret ? 1 : 0;
}

static int wait_fatal(struct arena *arena, uint32_t group)
{
	uint32_t state, queues;
	int ret = gpu_wait_group_state(&arena->scene.gpu, group, DRM_PANTHOR_GROUP_STATE_FATAL_FAULT,
				       FATAL_MS, &state, &queues);

	if (!ret && !(state & DRM_PANTHOR_GROUP_STATE_FATAL_FAULT))
		return fail(-ETIME, "the group is not flagged fatal after its fault, %u ms", FATAL_MS);
	return ret;
}

/*
 * A store to @page must fault and reach nothing, in a group of its own, which it costs. @was: what
 * was mapped there. The status of the fence does not tell: a kernel that hears of the end of the
 * job before the fault says success.
 */
static int must_fault(struct arena *arena, unsigned int page, struct place was)
{
	uint64_t va = ARENA_VA + (uint64_t)page * GPU_PAGE;
	struct cs cs = scene_stream(&arena->scene, 0);
	uint32_t before = *word_of(arena, was), group;
	int status, ret;

	ret = gpu_group_create(&arena->scene.gpu, arena->scene.vm, 1, &group);
	if (ret)
		return ret;
	scene_store(&cs, va, ~before);
	ret = scene_submit(&arena->scene, group, 0, &cs, 0);
	if (!ret)
		ret = gpu_fence_status(&arena->scene.gpu, arena->scene.syncobj[0], GPU_TIMEOUT_MS,
				       &status);
	if (!ret && *word_of(arena, was) != before)
		ret = fail(0, "page %u: a store reached the buffer that was unmapped", page);
	if (!ret)
		ret = wait_fatal(arena, group);
	if (!ret)
		out("# info fault%u=0x%llx\n# fence status %d\n", page, (unsigned long long)va, status);
	return ret ?: gpu_group_destroy(&arena->scene.gpu, group);
}

/* The middle, the end and all of what the GPU has just used: no translation may be left over. */
static int mode_holes(unsigned int count, unsigned int seed)
{
	static const struct { unsigned int start, size, faults; } holes[] = {
		{ 3, 2, 4 }, { 6, 4, 8 }, { 0, 1, 0 }, { 15, 1, 15 }, { 0, 16, 9 },
	};
	static struct arena arena;
	unsigned int i, failed = 0;
	int ret;

	(void)count, (void)seed;
	ktap_start(sizeof(holes) / sizeof(holes[0]));
	ret = arena_create(&arena, 8);
	for (i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
		struct place was;
		char name[64];

		arena.async = i % 2;
		if (!ret)
			ret = bind_op(&arena, map_op(&arena, 0, 8, 0, 0));
		if (!ret)
			ret = bind_op(&arena, map_op(&arena, 8, 8, 1, 0));
		if (!ret)
			ret = probe_around(&arena, holes[i].start, holes[i].start + holes[i].size);
		was = arena.at[holes[i].faults];
		if (!ret)
			ret = bind_op(&arena, unmap_op(&arena, holes[i].start, holes[i].size));
		if (!ret)
			ret = must_fault(&arena, holes[i].faults, was);
		/* A fault costs the VM its groups and, until all have gone, its address space. */
		if (!ret)
			ret = gpu_group_create(&arena.scene.gpu, arena.scene.vm, 1,
					       &arena.scene.group);
		if (!ret)
			ret = probe_around(&arena, holes[i].start, holes[i].start + holes[i].size);
		snprintf(name, sizeof(name), "pages %u to %u unmapped", holes[i].start,
			 holes[i].start + holes[i].size - 1);
		ktap_result(i + 1, !ret, name, last_error());
		failed += ret != 0;
	}
	return failed ? 1 : 0;
}

static const struct {
	const char *name;
	int (*run)(unsigned int count, unsigned int seed);
} modes[] = {
	{ "small", mode_small },
	{ "huge", mode_huge },
	{ "huge-pages", mode_huge_pages },
	{ "random", mode_random },
	{ "holes", mode_holes },
	{ "spaces", mode_spaces },
	{ "taken", mode_taken },
	{ "kernel-range", mode_kernel_range },
	{ "protection", mode_protection },
	{ "zero", mode_zero },
	{ "stuck", mode_stuck },
};

static void usage(FILE *stream)
{
	fputs("usage: gpu-vm --mode small|huge|huge-pages|random|holes|spaces|taken|kernel-range|protection|zero|"
	      "stuck [--count N] [--seed N]\n", stream);
}

int main(int argc, char **argv)
{
	unsigned int count = 200, seed = 1;
	const char *mode = "";
	const struct program_option options[] = {
		{ "mode", .word = &mode },
		{ "count", .number = &count, .least = 1, .most = UINT32_MAX },
		{ "seed", .number = &seed, .most = UINT32_MAX },
		{ 0 }
	};
	size_t i;

	read_options(argc, argv, options, usage);
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(mode, modes[i].name))
			return modes[i].run(count, seed);
	bad_usage(usage);
}

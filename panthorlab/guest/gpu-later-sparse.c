// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * VM_BIND MAP_SPARSE: what is stored there is nowhere to be seen, and what is loaded from there says nothing of anybody
 * else. Buffers are mapped over parts of it and it over parts of buffers.
 */

#include "gpu-later-sparse.h"

#include <stdlib.h>
#include <string.h>

#define TOUCHED		24u	/* places of a job */
#define TOKEN		0x5ba25e00u
#define OPERATIONS	40u
#define SEED		7u

enum { REG_AT = 0, REG_TOKEN = 2, REG_LOADED = 3 };
enum { STREAM = 3 };	/* of the scene, whose place goes on over those behind it */

/* Each alignment to 2 MiB, with fewer and more than that. */
static const struct sparse_range ranges[] = {
	{ 1, 1 }, { 511, 2 }, { 3, 700 }, { 512, 512 }, { 512, 513 }, { 511, 513 }, { 100, 1500 }, { 512, 1024 },
};

int sparse_bind(struct scene *scene, struct drm_panthor_vm_bind_op op, bool async)
{
	struct drm_panthor_sync_op signal = { .flags = DRM_PANTHOR_SYNC_OP_SIGNAL, .handle = scene->syncobj[4] };
	struct drm_panthor_vm_bind bind = {
		.vm_id = scene->vm,
		.flags = async ? DRM_PANTHOR_VM_BIND_ASYNC : 0,
		.ops = DRM_PANTHOR_OBJ_ARRAY(1, &op),
	};
	int status, ret;

	if (async)
		op.syncs = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(1, &signal);
	ret = GPU_IOCTL(&scene->gpu, PANTHOR_VM_BIND, &bind);
	if (ret || !async)
		return ret;
	ret = gpu_fence_status(&scene->gpu, signal.handle, GPU_TIMEOUT_MS, &status);
	return ret ?: status == 1 ? 0 : fail(status, "asynchronous VM_BIND");
}

struct drm_panthor_vm_bind_op sparse_map_op(struct sparse_range range)
{
	return (struct drm_panthor_vm_bind_op){
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC | LATER_MAP_SPARSE,
		.va = sparse_va(range.start),
		.size = (uint64_t)range.size * GPU_PAGE,
	};
}

struct drm_panthor_vm_bind_op sparse_unmap_op(struct sparse_range range)
{
	return (struct drm_panthor_vm_bind_op){
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP,
		.va = sparse_va(range.start),
		.size = (uint64_t)range.size * GPU_PAGE,
	};
}

int sparse_touch(struct scene *scene, const unsigned int *pages, unsigned int count)
{
	struct cs cs = scene_stream(scene, STREAM);
	unsigned int i;

	cs.capacity = (GPU_PAGE - STREAM * SCENE_STREAM) / 8;
	for (i = 0; i < count; i++) {
		cs_move48(&cs, REG_AT, sparse_va(pages[i]) + i * 4);
		cs_move32(&cs, REG_TOKEN, TOKEN + i);
		cs_store32(&cs, REG_AT, REG_TOKEN);
		cs_wait(&cs, CS_SB_ALL);
		cs_load32(&cs, REG_LOADED, REG_AT);
		cs_wait(&cs, CS_SB_ALL);
	}
	scene_store(&cs, scene_result_va(scene, STREAM), TOKEN + count);
	return scene_submit(scene, scene->group, 0, &cs, STREAM) ?: scene_right(scene, STREAM, TOKEN + count);
}

int sparse_touch_range(struct scene *scene, struct sparse_range range)
{
	unsigned int pages[TOUCHED], count = 0, end = range.start + range.size, block;

	pages[count++] = range.start;
	pages[count++] = range.start + range.size / 2;
	block = (range.start / SPARSE_BLOCK + 1) * SPARSE_BLOCK;
	for (; block < end && count < TOUCHED - 3; block += SPARSE_BLOCK) {
		pages[count++] = block - 1;
		pages[count++] = block;
	}
	pages[count++] = end - 1;
	return sparse_touch(scene, pages, count);
}

/* Whatever the GPU has stored elsewhere, nothing of it is in the buffer. */
static int untouched(const struct later *later, const char *what)
{
	unsigned int word;

	for (word = 0; word < LATER_BO_SIZE / 4; word++)
		if (later->words[word] != word)
			return fail(0, "%s: word %u of a buffer is 0x%x", what, word, later->words[word]);
	return 0;
}

static void number_words(struct later *later)
{
	unsigned int word;

	for (word = 0; word < LATER_BO_SIZE / 4; word++)
		later->words[word] = word;
}

/* The last page of the buffer, right before the range, and its first one, right behind it. */
static int between_buffers(struct later *later, struct sparse_range range, bool async)
{
	struct scene *scene = &later->scene;
	struct drm_panthor_vm_bind_op before = {
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
		.bo_handle = later->bo.handle,
		.bo_offset = LATER_BO_SIZE - GPU_PAGE,
		.va = sparse_va(range.start - 1),
		.size = GPU_PAGE,
	}, behind = before;
	int ret;

	behind.bo_offset = 0;
	behind.va = sparse_va(range.start + range.size);
	number_words(later);
	ret = sparse_bind(scene, before, async) ?: sparse_bind(scene, behind, async) ?:
	      sparse_bind(scene, sparse_map_op(range), async) ?: sparse_touch_range(scene, range);
	ret = ret ?: untouched(later, "beside") ?: later_loads(scene, behind.va + 4, 1);
	ret = ret ?: sparse_bind(scene, sparse_unmap_op((struct sparse_range){ range.start - 1, range.size + 2 }), async);
	return ret ?: untouched(later, "unmapped");
}

static int each_alignment(struct later *later, bool async)
{
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < LATER_COUNT(ranges); i++)
		ret = between_buffers(later, ranges[i], async);
	return ret;
}

static int at_once(struct later *later)
{
	return each_alignment(later, false);
}

static int by_the_queue(struct later *later)
{
	return each_alignment(later, true);
}

/* What one file's jobs have stored, none of another file's can load. */
static int kept_from_others(struct later *later)
{
	static const struct sparse_range range = { 256, 1024 };
	static struct scene other;
	struct scene *scene = &later->scene;
	uint32_t loaded;
	int ret = scene_create(&other, 1) ?: sparse_bind(scene, sparse_map_op(range), false);

	ret = ret ?: sparse_bind(&other, sparse_map_op(range), false);
	ret = ret ?: later_stores(scene, sparse_va(600), TOKEN) ?: later_loaded(&other, sparse_va(600), &loaded);
	if (!ret && loaded == TOKEN)
		ret = fail(0, "one file loads what another one has stored");
	/* Nor when it has the addresses for itself, in another VM. */
	ret = ret ?: sparse_touch_range(scene, range) ?: sparse_touch_range(&other, range);
	ret = ret ?: untouched(later, "another file");
	gpu_close(&other.gpu);
	return ret ?: sparse_touch_range(scene, range) ?: sparse_bind(scene, sparse_unmap_op(range), false);
}

/* Two VMs of this file, in one of which the range goes. */
static int of_each_vm(struct later *later)
{
	static const struct sparse_range range = { 300, 900 };
	struct scene *scene = &later->scene, second = later->scene;
	int ret = gpu_vm_create(&scene->gpu, &second.vm);

	ret = ret ?: later_map(&scene->gpu, second.vm, later->bo.handle, LATER_VA, LATER_BO_SIZE);
	ret = ret ?: sparse_bind(scene, sparse_map_op(range), false) ?: sparse_bind(&second, sparse_map_op(range), true);
	ret = ret ?: sparse_touch_range(scene, range) ?: sparse_bind(&second, sparse_unmap_op(range), false);
	ret = ret ?: sparse_touch_range(scene, range) ?: sparse_bind(&second, sparse_map_op(range), false);
	ret = ret ?: gpu_vm_destroy(&scene->gpu, second.vm) ?: sparse_touch_range(scene, range);
	return ret ?: untouched(later, "another VM") ?: sparse_bind(scene, sparse_unmap_op(range), true);
}

/* The table of an arena says which buffer is where; this, where there is none and no fault either. */
static bool is_sparse[ARENA_MAX];

static struct drm_panthor_vm_bind_op draw(struct arena *arena, unsigned int *state)
{
	struct drm_panthor_vm_bind_op op;
	unsigned int kind = rand_r(state) % 4, page = rand_r(state) % arena->pages, most = arena->pages - page, count;

	if (rand_r(state) % 3 == 0)
		page -= page % SPARSE_BLOCK, most = arena->pages - page;
	if (!kind && most > arena->bo_pages)
		most = arena->bo_pages;
	count = rand_r(state) % 3 && most > SPARSE_BLOCK ? SPARSE_BLOCK + rand_r(state) % (most - SPARSE_BLOCK) :
		1 + rand_r(state) % most;
	if (!kind)
		op = map_op(arena, page, count, rand_r(state) % BOS, rand_r(state) % (arena->bo_pages - count + 1));
	else
		op = unmap_op(arena, page, count);
	if (kind >= 2)
		op.flags = sparse_map_op((struct sparse_range){ 0, 1 }).flags;
	memset(&is_sparse[page], kind >= 2, count);
	return op;
}

/* Buffers, nothing, and less than nothing over each other: each store is where the table says. */
static int at_random(struct later *later)
{
	static struct arena arena;
	unsigned int state = SEED, i;
	int ret = arena_create(&arena, ARENA_MAX / BOS);

	(void)later;
	for (i = 0; !ret && i < OPERATIONS; i++) {
		struct drm_panthor_vm_bind_op op = draw(&arena, &state);
		unsigned int start = (op.va - ARENA_VA) / GPU_PAGE, end = start + op.size / GPU_PAGE;
		unsigned int near[] = { start - 1, start, (start + end) / 2, end - 1, end, start | (SPARSE_BLOCK - 1),
					end & ~(SPARSE_BLOCK - 1) }, sparse[LATER_COUNT(near)], count = 0, at;

		arena.async = i % 2;
		ret = bind_op(&arena, op) ?: probe_around(&arena, start, end);
		for (at = 0; at < LATER_COUNT(near); at++)
			if (near[at] < arena.pages && is_sparse[near[at]])
				sparse[count++] = near[at];
		ret = ret ?: sparse_touch(&arena.scene, sparse, count) ?: probe_around(&arena, start, end);
		if (ret)
			fail(0, "operation %u, pages %u to %u", i, start, end - 1);
	}
	gpu_close(&arena.scene.gpu);
	return ret;
}

static void make_sparse(struct later *later, struct later_call *call)
{
	call->request = DRM_IOCTL_PANTHOR_VM_BIND;
	call->arg.bind = (struct drm_panthor_vm_bind){
		.vm_id = later->scene.vm,
		.ops = DRM_PANTHOR_OBJ_ARRAY(1, &call->op),
	};
	call->op = sparse_map_op((struct sparse_range){ 3, 1100 });
}

static void make_sparse_async(struct later *later, struct later_call *call)
{
	make_sparse(later, call);
	call->arg.bind.flags = DRM_PANTHOR_VM_BIND_ASYNC;
	call->op.syncs = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(1, &call->signal);
	call->signal = (struct drm_panthor_sync_op){ DRM_PANTHOR_SYNC_OP_SIGNAL, later->scene.syncobj[4], 0 };
}

#define WRONG_BIND(field, value)	LATER_WRONG(make_sparse, field, value), LATER_WRONG(make_sparse_async, field, value)

static int wrong_operations(struct later *later)
{
	static const struct later_wrong wrong[] = {
		WRONG_BIND(op.flags, LATER_MAP_SPARSE),
		WRONG_BIND(op.flags, LATER_MAP_SPARSE | DRM_PANTHOR_VM_BIND_OP_MAP_READONLY),
		WRONG_BIND(op.flags, LATER_MAP_SPARSE | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC | 1 << 4),
		WRONG_BIND(op.flags, LATER_MAP_SPARSE | DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP),
		WRONG_BIND(op.flags, LATER_MAP_SPARSE | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC |
			   DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP),
		WRONG_BIND(op.flags, DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC),
		WRONG_BIND(op.bo_handle, 1),
		WRONG_BIND(op.bo_handle, 0x7777),
		WRONG_BIND(op.bo_offset, GPU_PAGE),
		WRONG_BIND(op.bo_offset, 2u << 20),
		WRONG_BIND(op.va, SPARSE_VA + 1),
		WRONG_BIND(op.va, -(uint64_t)GPU_PAGE),
		WRONG_BIND(op.size, GPU_PAGE + 1),
		WRONG_BIND(op.size, -(uint64_t)GPU_PAGE),
	};
	int ret = later_refused(later, wrong, LATER_COUNT(wrong));

	return ret ?: sparse_bind(&later->scene, sparse_unmap_op((struct sparse_range){ 3, 1100 }), true);
}

int later_sparse(void)
{
	static const struct later_check checks[] = {
		{ "ranges of each alignment", at_once },
		{ "ranges of each alignment, asynchronously", by_the_queue },
		{ "another file", kept_from_others },
		{ "another VM", of_each_vm },
		{ "buffers over them and they over buffers", at_random },
		{ "wrong operations", wrong_operations },
	};

	return LATER_RUN("sparse", 9, "MAP_SPARSE", checks);
}

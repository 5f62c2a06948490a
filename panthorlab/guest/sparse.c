// SPDX-License-Identifier: GPL-2.0-or-later

#include "sparse.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))
#define TOUCHED		24u	/* places of a job */
#define TOKEN		0x5ba25e00u

enum { REG_AT = 0, REG_TOKEN = 2, REG_LOADED = 3 };
enum { STREAM = 3 };	/* of the scene, whose place goes on over those behind it */

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
	cs_tell(&cs, scene_result_va(scene, STREAM), TOKEN + count);
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

int sparse_random(struct arena *arena, unsigned int operations, unsigned int seed, int (*between)(struct scene *scene))
{
	unsigned int state = seed, i;
	int ret = 0;

	for (i = 0; !ret && i < operations; i++) {
		struct drm_panthor_vm_bind_op op = draw(arena, &state);
		unsigned int start = (op.va - ARENA_VA) / GPU_PAGE, end = start + op.size / GPU_PAGE;
		unsigned int near[] = { start - 1, start, (start + end) / 2, end - 1, end, start | (SPARSE_BLOCK - 1),
					end & ~(SPARSE_BLOCK - 1) }, sparse[COUNT(near)], count = 0, at;

		arena->async = i % 2;
		ret = between && i & 2 ? between(&arena->scene) : 0;
		ret = ret ?: bind_op(arena, op) ?: between && i & 4 ? between(&arena->scene) : 0;
		ret = ret ?: probe_around(arena, start, end);
		for (at = 0; at < COUNT(near); at++)
			if (near[at] < arena->pages && is_sparse[near[at]])
				sparse[count++] = near[at];
		ret = ret ?: sparse_touch(&arena->scene, sparse, count) ?: probe_around(arena, start, end);
		if (ret)
			fail(0, "operation %u, pages %u to %u", i, start, end - 1);
	}
	return ret;
}

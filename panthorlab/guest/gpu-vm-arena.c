// SPDX-License-Identifier: GPL-2.0-or-later

#include "gpu-vm-arena.h"

#include <string.h>

enum { REG_PROBE = 0, REG_TOKEN = 2 };

int arena_create(struct arena *arena, unsigned int bo_pages)
{
	unsigned int i;
	int ret = scene_create(&arena->scene, 1);

	arena->bo_pages = bo_pages;
	arena->pages = bo_pages * BOS;
	for (i = 0; !ret && i < BOS; i++)
		ret = gpu_bo_make(&arena->scene.gpu, arena->scene.vm, bo_pages * GPU_PAGE,
				  &arena->bo[i]);
	return ret;
}

struct drm_panthor_vm_bind_op map_op(struct arena *arena, unsigned int page, unsigned int count, unsigned int bo,
				     unsigned int from)
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

struct drm_panthor_vm_bind_op unmap_op(struct arena *arena, unsigned int page, unsigned int count)
{
	memset(&arena->at[page], 0, count * sizeof(arena->at[0]));
	return (struct drm_panthor_vm_bind_op){
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP,
		.va = ARENA_VA + (uint64_t)page * GPU_PAGE,
		.size = (uint64_t)count * GPU_PAGE,
	};
}

/* Do @ops in one call. Asynchronous ones have ended well when this returns. */
int bind_ops(struct arena *arena, struct drm_panthor_vm_bind_op *ops, unsigned int count)
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

int bind_op(struct arena *arena, struct drm_panthor_vm_bind_op op)
{
	return bind_ops(arena, &op, 1);
}

volatile uint32_t *word_of(struct arena *arena, struct place place)
{
	return (volatile uint32_t *)((char *)arena->bo[place.bo - 1].map +
				     (size_t)place.page * GPU_PAGE);
}

/* Let the GPU store a token of its own through each of @pages that is mapped, and look for them. */
int probe(struct arena *arena, const unsigned int *pages, unsigned int count)
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
	cs_tell(&cs, scene_result_va(&arena->scene, 0), first);
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
int probe_around(struct arena *arena, unsigned int start, unsigned int end)
{
	unsigned int pages[] = {
		0, start - 1, start, start + 1, (start + end) / 2, end - 1, end, end + 1,
		start & ~511u, (start | 511) + 1, end & ~511u, arena->bo_pages - 1,
		arena->bo_pages, arena->pages - 1,
	};

	return probe(arena, pages, sizeof(pages) / sizeof(pages[0]));
}

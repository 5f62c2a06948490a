// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * VMs, buffers, groups, heaps and jobs without memory.
 *
 * Errors beside ENOMEM: an inode of tmpfs that cannot be made is ENOSPC, page tables are EINVAL (panthor_vm_create()).
 */

#include "gpu-scarce.h"

#include <errno.h>

#define HEAP_CHUNKS	2u
#define CHUNK_SIZE	(128u * 1024)

enum {
	SHARED = 1,	/* BO_CREATE: for any VM */
	FIRST = 1,	/* TILER_HEAP_CREATE: of its VM */
};

/* -- DEV_QUERY, VM_GET_STATE */

static int make_query(struct scarce *s)
{
	struct drm_panthor_csif_info info;

	return gpu_query(&s->scene.gpu, DRM_PANTHOR_DEV_QUERY_CSIF_INFO, &info, sizeof(info));
}

static int make_vm_state(struct scarce *s)
{
	return scarce_usable(s, s->scene.vm);
}

/* -- VM_CREATE */

static int make_vm(struct scarce *s)
{
	return gpu_vm_create(&s->scene.gpu, &s->vm);
}

static int destroy_vm(struct scarce *s)
{
	return gpu_vm_destroy(&s->scene.gpu, s->vm);
}

/* -- BO_CREATE, BO_MMAP_OFFSET */

static int make_bo(struct scarce *s)
{
	return scarce_bo(s, s->call->flavour & SHARED ? 0 : s->scene.vm, &s->bo);
}

static int make_offset(struct scarce *s)
{
	struct drm_panthor_bo_mmap_offset offset = { .handle = s->bo.handle };

	return GPU_IOCTL(&s->scene.gpu, PANTHOR_BO_MMAP_OFFSET, &offset);
}

/* -- GROUP_CREATE, GROUP_GET_STATE */

static int make_group(struct scarce *s)
{
	return gpu_group_create(&s->scene.gpu, s->scene.vm, 2, &s->group);
}

static int right_group(struct scarce *s)
{
	return scarce_stores(s, s->group, 1, scene_result_va(&s->scene, 1));
}

static int make_group_state(struct scarce *s)
{
	uint32_t state, fatal;

	return gpu_group_state(&s->scene.gpu, s->scene.group, &state, &fatal);
}

static int destroy_group(struct scarce *s)
{
	return gpu_group_destroy(&s->scene.gpu, s->group);
}

/* -- TILER_HEAP_CREATE */

static uint32_t heap_vm(const struct scarce *s)
{
	return s->call->flavour & FIRST ? s->vm : s->scene.vm;
}

static int make_heap(struct scarce *s)
{
	return gpu_heap_create(&s->scene.gpu, heap_vm(s), HEAP_CHUNKS, CHUNK_SIZE, 2 * HEAP_CHUNKS, &s->heap);
}

/* The first one, or one beside another. */
static int begin_heap(struct scarce *s)
{
	if (s->call->flavour & FIRST)
		return make_vm(s);
	return gpu_heap_create(&s->scene.gpu, s->scene.vm, 1, CHUNK_SIZE, 1, &s->beside);
}

/* Its chunks and its context are memory of the GPU. */
static int right_heap(struct scarce *s)
{
	int ret;

	if (s->call->flavour & FIRST)
		return scarce_usable(s, s->vm);
	ret = scarce_stores(s, s->scene.group, 0, s->heap.chunk_va + CHUNK_SIZE / 2);
	return ret ?: scarce_stores(s, s->scene.group, 0, s->heap.context_va);
}

static int destroy_heap(struct scarce *s)
{
	return gpu_heap_destroy(&s->scene.gpu, s->heap.handle);
}

static int end_heap(struct scarce *s)
{
	int ret = destroy_heap(s);

	return ret ?: s->call->flavour & FIRST ? destroy_vm(s) : gpu_heap_destroy(&s->scene.gpu, s->beside.handle);
}

const struct call scarce_objects[] = {
	{ "DEV_QUERY", 0, 0, 0, NULL, NULL, make_query, NULL, NULL, NULL },
	{ "VM_CREATE", 0, 0, -EINVAL, NULL, NULL, make_vm, NULL, scarce_vm_works, destroy_vm },
	{ "VM_GET_STATE", 0, 0, 0, NULL, NULL, make_vm_state, NULL, NULL, NULL },
	{ "BO_CREATE", 0, 0, -ENOSPC, NULL, NULL, make_bo, NULL, scarce_right_bo, scarce_drop_bo },
	{ "BO_CREATE-shared", 0, SHARED, -ENOSPC, NULL, NULL, make_bo, NULL, scarce_right_bo, scarce_drop_bo },
	{ "BO_MMAP_OFFSET", 0, 0, 0, NULL, scarce_begin_bo, make_offset, NULL, scarce_right_bo, scarce_drop_bo },
	{ "GROUP_CREATE", 0, 0, -ENOSPC, SCARCE_SCHED, NULL, make_group, NULL, right_group, destroy_group },
	{ "GROUP_GET_STATE", 0, 0, 0, NULL, NULL, make_group_state, NULL, NULL, NULL },
	{ "GROUP_SUBMIT", 0, 0, 0, NULL, scarce_begin_jobs, scarce_make_jobs, NULL, scarce_right_jobs, NULL },
	{ "GROUP_SUBMIT-both", 0, SCARCE_BOTH, 0, NULL, scarce_begin_jobs, scarce_make_jobs, NULL, scarce_right_jobs, NULL },
	{ "TILER_HEAP_CREATE", 0, 0, -ENOSPC, NULL, begin_heap, make_heap, NULL, right_heap, end_heap },
	{ "TILER_HEAP_CREATE-first", 0, FIRST, -ENOSPC, NULL, begin_heap, make_heap, NULL, right_heap, end_heap },
	{ 0 }
};

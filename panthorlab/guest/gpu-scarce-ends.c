// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the GPU has in use is taken away without memory.
 */

#include "gpu-scarce.h"

#include <errno.h>
#include <sys/mman.h>

/* docs/findings/0051. In its own file panthor_vm_unmap_range() may be inlined though it is there for others. */
#define UNMAP		"panthor_vm_unmap_range"
#define UNMAP_VM	"panthor_vm_destroy panthor_vm_pool_destroy_vm"
#define UNMAP_VMS	"panthor_vm_destroy panthor_vm_pool_destroy panthor_postclose"

/* -- VM_DESTROY */

static int destroy_vm(struct scarce *s)
{
	return gpu_vm_destroy(&s->scene.gpu, s->vm);
}

static int begin_vm_in_use(struct scarce *s)
{
	int ret = gpu_vm_create(&s->scene.gpu, &s->vm);

	return ret ?: scarce_vm_works(s);
}

static int right_vm_gone(struct scarce *s)
{
	return scarce_usable(s, s->vm) == -EINVAL ? 0 : fail(0, "the VM is still there");
}

/* -- GEM_CLOSE */

static int begin_bo_in_use(struct scarce *s)
{
	int ret = scarce_bo(s, 0, &s->bo);

	ret = ret ?: scarce_cpu(s, &s->bo);
	if (!ret)
		munmap((void *)s->bo.map, s->bo.size);
	s->bo.map = NULL;
	return ret;
}

static int drop_bo(struct scarce *s)
{
	return scarce_drop(s, &s->bo);
}

/* -- GROUP_DESTROY */

static int make_group(struct scarce *s)
{
	return gpu_group_create(&s->scene.gpu, s->scene.vm, 2, &s->group);
}

static int right_group(struct scarce *s)
{
	return scarce_stores(s, s->group, 1, scene_result_va(&s->scene, 1));
}

static int destroy_group(struct scarce *s)
{
	return gpu_group_destroy(&s->scene.gpu, s->group);
}

static int begin_group_in_use(struct scarce *s)
{
	int ret = make_group(s);

	return ret ?: right_group(s);
}

static int right_group_gone(struct scarce *s)
{
	uint32_t state, fatal;

	return gpu_group_state(&s->scene.gpu, s->group, &state, &fatal) == -EINVAL ? 0 :
	       fail(0, "the group is still there");
}

/* -- TILER_HEAP_DESTROY */

static int make_heap(struct scarce *s)
{
	return gpu_heap_create(&s->scene.gpu, s->scene.vm, 2, 128 * 1024, 4, &s->heap);
}

static int destroy_heap(struct scarce *s)
{
	return gpu_heap_destroy(&s->scene.gpu, s->heap.handle);
}

static int right_heap_gone(struct scarce *s)
{
	return destroy_heap(s) == -EINVAL ? 0 : fail(0, "the heap is still there");
}

/* -- close() */

/* With one of each in it, still in use. */
static int begin_open(struct scarce *s)
{
	struct gpu *gpu = &s->other;
	int ret = scarce_open(s);

	if (ret)
		return ret;
	gpu->shader_cores = s->scene.gpu.shader_cores;
	gpu->tilers = s->scene.gpu.tilers;
	ret = gpu_vm_create(gpu, &s->vm);
	ret = ret ?: gpu_bo_create(gpu, s->vm, SCENE_VA, SCARCE_PAGES * GPU_PAGE, 0, &s->bo);
	ret = ret ?: gpu_group_create(gpu, s->vm, 1, &s->group);
	ret = ret ?: gpu_heap_create(gpu, s->vm, 1, 128 * 1024, 2, &s->heap);
	if (!ret)
		munmap((void *)s->bo.map, s->bo.size);
	s->bo = (struct gpu_bo){ 0 };
	return ret;
}

/* The file is gone, whatever becomes of memory. */
static int make_close(struct scarce *s)
{
	gpu_close(&s->other);
	return 0;
}

const struct call scarce_ends[] = {
	{ "VM_DESTROY", 0, 0, 0, UNMAP_VM, begin_vm_in_use, destroy_vm, scarce_vm_works, right_vm_gone, NULL },
	{ "GEM_CLOSE", 0, 0, 0, NULL, begin_bo_in_use, drop_bo, NULL, NULL, NULL },
	{ "GROUP_DESTROY", 0, 0, 0, NULL, begin_group_in_use, destroy_group, right_group, right_group_gone, NULL },
	{ "TILER_HEAP_DESTROY", 0, 0, 0, UNMAP, make_heap, destroy_heap, NULL, right_heap_gone, NULL },
	{ "close", 0, 0, 0, UNMAP_VMS, begin_open, make_close, NULL, NULL, NULL },
	{ 0 }
};

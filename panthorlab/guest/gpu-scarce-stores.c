// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What calls are made with: buffers, and a job that stores where a mapping is.
 */

#include "gpu-scarce.h"

#include <errno.h>
#include <sys/mman.h>

#include "client.h"

/* Of SCARCE_PAGES, whose pages are not there yet. @vm: that alone may have it; 0: any. */
int scarce_bo(struct scarce *s, uint32_t vm, struct gpu_bo *bo)
{
	struct drm_panthor_bo_create create = { .size = SCARCE_PAGES * GPU_PAGE, .exclusive_vm_id = vm };
	int ret = GPU_IOCTL(&s->scene.gpu, PANTHOR_BO_CREATE, &create);

	*bo = (struct gpu_bo){ .handle = create.handle, .size = create.size };
	return ret;
}

/* Maps it for the CPU. */
int scarce_cpu(struct scarce *s, struct gpu_bo *bo)
{
	struct drm_panthor_bo_mmap_offset offset = { .handle = bo->handle };
	int ret = GPU_IOCTL(&s->scene.gpu, PANTHOR_BO_MMAP_OFFSET, &offset);
	void *map;

	if (ret || bo->map)
		return ret;
	map = mmap(NULL, bo->size, PROT_READ | PROT_WRITE, MAP_SHARED, s->scene.gpu.fd, offset.offset);
	if (map == MAP_FAILED)
		return fail(-errno, "mmap of a buffer object");
	bo->map = map;
	return 0;
}

int scarce_drop(struct scarce *s, struct gpu_bo *bo)
{
	struct drm_gem_close close = { .handle = bo->handle };

	if (bo->map)
		munmap((void *)bo->map, bo->size);
	bo->map = NULL;
	return close.handle ? GPU_IOCTL(&s->scene.gpu, GEM_CLOSE, &close) : 0;
}

/* Mappings can be made in it. */
int scarce_usable(struct scarce *s, uint32_t vm)
{
	struct drm_panthor_vm_get_state get = { .vm_id = vm };
	int ret = GPU_IOCTL(&s->scene.gpu, PANTHOR_VM_GET_STATE, &get);

	return ret ?: get.state != DRM_PANTHOR_VM_STATE_USABLE ? fail(0, "the VM is of no use") : 0;
}

/* A job of this queue stores the try's value at @va, and ends well. */
int scarce_stores(struct scarce *s, uint32_t group, unsigned int queue, uint64_t va)
{
	struct scene *scene = &s->scene;
	struct cs cs = scene_stream(scene, 0);
	int ret;

	*scene_result(scene, 0) = 0;
	cs_tell(&cs, va, s->value);
	cs_tell(&cs, scene_result_va(scene, 0), s->value);
	ret = scene_submit(scene, group, queue, &cs, 0);
	return ret ?: scene_right(scene, 0, s->value);
}

/* A group of the try's VM runs a job that is in a buffer of it. */
int scarce_vm_works(struct scarce *s)
{
	struct gpu *gpu = &s->scene.gpu;
	struct gpu_bo bo;
	struct gpu_job job;
	struct cs cs;
	uint32_t group;
	int ret = gpu_bo_create(gpu, s->vm, SCENE_VA, SCARCE_PAGES * GPU_PAGE, DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC, &bo);

	ret = ret ?: gpu_group_create(gpu, s->vm, 1, &group);
	if (ret)
		return ret;
	cs = (struct cs){ .words = bo.map, .capacity = SCENE_STREAM / 8 };
	cs_tell(&cs, bo.va + GPU_PAGE, s->value);
	job = (struct gpu_job){ .va = bo.va, .size = cs_size(&cs), .syncobj = s->scene.syncobj[1] };
	ret = gpu_submit(gpu, group, &job, 1);
	ret = ret ?: gpu_job_right(gpu, job.syncobj, (volatile uint32_t *)((volatile char *)bo.map + GPU_PAGE), s->value);
	ret = ret ?: gpu_group_destroy(gpu, group);
	return ret ?: scarce_drop(s, &bo);
}

int scarce_begin_bo(struct scarce *s)
{
	return scarce_bo(s, 0, &s->bo);
}

/* It has memory. */
int scarce_right_bo(struct scarce *s)
{
	int ret = scarce_cpu(s, &s->bo);

	if (!ret)
		*(volatile uint32_t *)s->bo.map = s->value;
	return ret;
}

int scarce_drop_bo(struct scarce *s)
{
	return scarce_drop(s, &s->bo);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a client has on the GPU: address spaces, buffers, heaps, groups and their jobs.
 */

#define _GNU_SOURCE
#include "gpu.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define RING_SIZE		4096

int gpu_ioctl(struct gpu *gpu, unsigned long request, void *arg, const char *name)
{
	int ret;

	do {
		ret = ioctl(gpu->fd, request, arg);
	} while (ret && (errno == EINTR || errno == EAGAIN));
	return ret ? fail(-errno, "%s", name) : 0;
}

/* What a driver answers to a wrong argument; anything else (ENODEV, EIO, ...) says nothing about it. */
bool gpu_refusal(int error)
{
	return error == -EINVAL || error == -ENOENT || error == -EFAULT || error == -E2BIG ||
	       error == -ENOMEM || error == -EACCES || error == -EPERM || error == -ERANGE;
}

int gpu_query(struct gpu *gpu, uint32_t type, void *info, uint32_t size)
{
	struct drm_panthor_dev_query query = {
		.type = type,
		.size = size,
		.pointer = (uintptr_t)info,
	};

	memset(info, 0, size);
	return GPU_IOCTL(gpu, PANTHOR_DEV_QUERY, &query);
}

int gpu_vm_create(struct gpu *gpu, uint32_t *vm)
{
	struct drm_panthor_vm_create create = { 0 };
	int ret = GPU_IOCTL(gpu, PANTHOR_VM_CREATE, &create);

	*vm = create.id;
	return ret;
}

int gpu_vm_destroy(struct gpu *gpu, uint32_t vm)
{
	struct drm_panthor_vm_destroy destroy = { .id = vm };

	return GPU_IOCTL(gpu, PANTHOR_VM_DESTROY, &destroy);
}

/* Zeroed memory with a CPU mapping, which no VM has yet. */
int gpu_bo_make(struct gpu *gpu, uint32_t vm, size_t size, struct gpu_bo *bo)
{
	struct drm_panthor_bo_create create = { .size = size, .exclusive_vm_id = vm };
	struct drm_panthor_bo_mmap_offset offset = { 0 };
	int ret;

	ret = GPU_IOCTL(gpu, PANTHOR_BO_CREATE, &create);
	if (ret)
		return ret;

	bo->handle = offset.handle = create.handle;
	bo->size = size;
	ret = GPU_IOCTL(gpu, PANTHOR_BO_MMAP_OFFSET, &offset);
	if (ret)
		return ret;

	bo->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, gpu->fd, offset.offset);
	if (bo->map == MAP_FAILED) {
		bo->map = NULL;
		return fail(-errno, "mmap of a buffer object");
	}
	return 0;
}

/* The whole buffer, to its @va. @flags: DRM_PANTHOR_VM_BIND_OP_MAP_*. */
int gpu_bind(struct gpu *gpu, uint32_t vm, const struct gpu_bo *bo, uint32_t flags)
{
	struct drm_panthor_vm_bind_op op = {
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | flags,
		.bo_handle = bo->handle,
		.va = bo->va,
		.size = bo->size,
	};
	struct drm_panthor_vm_bind bind = {
		.vm_id = vm,
		.ops = DRM_PANTHOR_OBJ_ARRAY(1, &op),
	};

	return GPU_IOCTL(gpu, PANTHOR_VM_BIND, &bind);
}

int gpu_bo_create(struct gpu *gpu, uint32_t vm, uint64_t va, size_t size, uint32_t flags,
		  struct gpu_bo *bo)
{
	int ret = gpu_bo_make(gpu, vm, size, bo);

	bo->va = va;
	return ret ?: gpu_bind(gpu, vm, bo, flags);
}

int gpu_heap_create(struct gpu *gpu, uint32_t vm, uint32_t chunks, uint32_t chunk_size,
		    uint32_t max_chunks, struct gpu_heap *heap)
{
	struct drm_panthor_tiler_heap_create create = {
		.vm_id = vm,
		.initial_chunk_count = chunks,
		.chunk_size = chunk_size,
		.max_chunks = max_chunks,
		.target_in_flight = 65535,
	};
	int ret = GPU_IOCTL(gpu, PANTHOR_TILER_HEAP_CREATE, &create);

	heap->handle = create.handle;
	heap->context_va = create.tiler_heap_ctx_gpu_va;
	heap->chunk_va = create.first_heap_chunk_gpu_va;
	heap->chunk_size = chunk_size;
	return ret;
}

int gpu_heap_destroy(struct gpu *gpu, uint32_t handle)
{
	struct drm_panthor_tiler_heap_destroy destroy = { .handle = handle };

	return GPU_IOCTL(gpu, PANTHOR_TILER_HEAP_DESTROY, &destroy);
}

/*
 * What GROUP_CREATE is asked for: one core of each kind is enough for what the workloads run. How
 * many queues there may be is the kernel's to say.
 */
void gpu_group_ask(const struct gpu *gpu, uint32_t vm, struct drm_panthor_queue_create *queues,
		   unsigned int count, struct drm_panthor_group_create *create)
{
	uint64_t core = gpu->shader_cores & -gpu->shader_cores;
	unsigned int i;

	for (i = 0; i < count; i++)
		queues[i] = (struct drm_panthor_queue_create){ .ringbuf_size = RING_SIZE };
	*create = (struct drm_panthor_group_create){
		.queues = DRM_PANTHOR_OBJ_ARRAY(count, queues),
		.max_compute_cores = 1,
		.max_fragment_cores = 1,
		.max_tiler_cores = 1,
		.priority = PANTHOR_GROUP_PRIORITY_MEDIUM,
		.compute_core_mask = core,
		.fragment_core_mask = core,
		.tiler_core_mask = gpu->tilers & -gpu->tilers,
		.vm_id = vm,
	};
}

int gpu_group_create(struct gpu *gpu, uint32_t vm, unsigned int queues, uint32_t *group)
{
	struct drm_panthor_queue_create queue[GPU_QUEUES_MAX];
	struct drm_panthor_group_create create;
	int ret;

	if (queues > GPU_QUEUES_MAX)
		return fail(-EINVAL, "a group of %u queues", queues);
	gpu_group_ask(gpu, vm, queue, queues, &create);
	ret = GPU_IOCTL(gpu, PANTHOR_GROUP_CREATE, &create);
	*group = create.group_handle;
	return ret;
}

int gpu_group_destroy(struct gpu *gpu, uint32_t group)
{
	struct drm_panthor_group_destroy destroy = { .group_handle = group };

	return GPU_IOCTL(gpu, PANTHOR_GROUP_DESTROY, &destroy);
}

int gpu_group_state(struct gpu *gpu, uint32_t group, uint32_t *state, uint32_t *fatal_queues)
{
	struct drm_panthor_group_get_state get = { .group_handle = group };
	int ret = GPU_IOCTL(gpu, PANTHOR_GROUP_GET_STATE, &get);

	*state = get.state;
	*fatal_queues = get.fatal_queues;
	return ret;
}

/*
 * Until the group's state has one of @bits, or @timeout_ms have passed: the kernel learns of a fault
 * by one interrupt and of the end of the job by another, in any order, and marks the group later.
 */
int gpu_wait_group_state(struct gpu *gpu, uint32_t group, uint32_t bits, unsigned int timeout_ms,
			 uint32_t *state, uint32_t *fatal_queues)
{
	int64_t deadline = now_us() + timeout_ms * 1000LL;

	for (;;) {
		int ret = gpu_group_state(gpu, group, state, fatal_queues);

		if (ret || *state & bits || now_us() > deadline)
			return ret;
		sleep_us(1000);
	}
}

/* All jobs go in one call. Caches are always flushed first (flush id 0). */
int gpu_submit(struct gpu *gpu, uint32_t group, const struct gpu_job *jobs, unsigned int count)
{
	struct drm_panthor_queue_submit queues[8];
	struct drm_panthor_sync_op syncs[8][2];
	struct drm_panthor_group_submit submit = { .group_handle = group };
	unsigned int i, used;

	if (!count || count > 8)
		return fail(-EINVAL, "%u jobs in one submission", count);
	for (i = 0; i < count; i++) {
		queues[i] = (struct drm_panthor_queue_submit){
			.queue_index = jobs[i].queue,
			.stream_size = jobs[i].size,
			.stream_addr = jobs[i].va,
		};
		used = 0;
		if (jobs[i].waits)
			syncs[i][used++] = (struct drm_panthor_sync_op){
				.flags = DRM_PANTHOR_SYNC_OP_WAIT,
				.handle = jobs[i].waits,
			};
		if (jobs[i].syncobj)
			syncs[i][used++] = (struct drm_panthor_sync_op){
				.flags = DRM_PANTHOR_SYNC_OP_SIGNAL,
				.handle = jobs[i].syncobj,
			};
		if (used)
			queues[i].syncs = (struct drm_panthor_obj_array)
				DRM_PANTHOR_OBJ_ARRAY(used, syncs[i]);
	}
	submit.queue_submits = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(count, queues);
	return GPU_IOCTL(gpu, PANTHOR_GROUP_SUBMIT, &submit);
}

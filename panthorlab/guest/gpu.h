/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The panthor uAPI, one call each. Built against the headers of the kernel under test; uses only
 * what driver version 1.0 has, so the same source serves all versions.
 *
 * Functions return 0, or a negative errno and leave one line in last_error().
 */
#ifndef PANTHORLAB_GUEST_GPU_H
#define PANTHORLAB_GUEST_GPU_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <drm/drm.h>
#include <drm/panthor_drm.h>

#include "util.h"

#define GPU_CHOICE		"PANTHORLAB_GPU"	/* of several GPUs, the one that gpu_open() opens: its number */
#define GPU_MOST		8u
#define GPU_PAGE		4096u
#define GPU_QUEUES_MAX		64u	/* of one group: more than any kernel grants, so that this can be seen */
#define GPU_TIMEOUT_MS		10000	/* beyond the 5 s after which the kernel gives a job up */

/**
 * struct gpu - An open render node
 * @fd: file descriptor, close-on-exec
 * @version: driver version (major.minor.patch)
 * @shader_cores: bits of the shader cores present
 * @tilers: bits of the tilers present
 */
struct gpu {
	int fd;
	int version[3];
	uint64_t shader_cores;
	uint64_t tilers;
};

/**
 * union gpu_arg - Argument of any one of the calls that this driver's clients make
 */
union gpu_arg {
	struct drm_panthor_dev_query query;
	struct drm_panthor_vm_create vm_create;
	struct drm_panthor_vm_destroy vm_destroy;
	struct drm_panthor_vm_get_state vm_state;
	struct drm_panthor_vm_bind bind;
	struct drm_panthor_bo_create bo;
	struct drm_panthor_bo_mmap_offset offset;
	struct drm_panthor_group_create group;
	struct drm_panthor_group_destroy group_destroy;
	struct drm_panthor_group_get_state group_state;
	struct drm_panthor_group_submit submit;
	struct drm_panthor_tiler_heap_create heap;
	struct drm_panthor_tiler_heap_destroy heap_destroy;
	struct drm_gem_close gem_close;
};

/**
 * struct gpu_bo - A buffer object, mapped for the CPU and bound to one VM
 * @handle: GEM handle
 * @va: GPU virtual address
 * @size: bytes
 * @map: CPU mapping (write-combined unless the GPU is coherent)
 */
struct gpu_bo {
	uint32_t handle;
	uint64_t va;
	size_t size;
	volatile void *map;
};

/**
 * struct gpu_heap - A tiler heap
 * @handle: for TILER_HEAP_DESTROY
 * @context_va: the firmware's heap context
 * @chunk_va: the newest of the initial chunks
 * @chunk_size: bytes
 */
struct gpu_heap {
	uint32_t handle;
	uint64_t context_va;
	uint64_t chunk_va;
	uint32_t chunk_size;
};

/**
 * struct gpu_job - One command stream for one queue
 * @va: where it is, 64-byte aligned
 * @size: bytes
 * @queue: index in its group
 * @syncobj: signalled when it has ended, 0 for none
 * @waits: syncobj that it waits for before it begins, 0 for none
 */
struct gpu_job {
	uint64_t va;
	uint32_t size;
	uint32_t queue;
	uint32_t syncobj;
	uint32_t waits;
};

int gpu_ioctl(struct gpu *gpu, unsigned long request, void *arg, const char *name);
#define GPU_IOCTL(gpu, name, arg) gpu_ioctl(gpu, DRM_IOCTL_##name, arg, #name)
bool gpu_refusal(int error);

unsigned int gpu_devices(char (*paths)[PATH_MAX]);
int gpu_device(unsigned int number, char *path);
void gpu_choose(unsigned int number);
int gpu_open(struct gpu *gpu);
void gpu_close(struct gpu *gpu);
int gpu_query(struct gpu *gpu, uint32_t type, void *info, uint32_t size);

int gpu_vm_create(struct gpu *gpu, uint32_t *vm);
int gpu_vm_destroy(struct gpu *gpu, uint32_t vm);
int gpu_bo_make(struct gpu *gpu, uint32_t vm, size_t size, struct gpu_bo *bo);
int gpu_bind(struct gpu *gpu, uint32_t vm, const struct gpu_bo *bo, uint32_t flags);
int gpu_bo_create(struct gpu *gpu, uint32_t vm, uint64_t va, size_t size, uint32_t flags,
		  struct gpu_bo *bo);
int gpu_heap_create(struct gpu *gpu, uint32_t vm, uint32_t chunks, uint32_t chunk_size,
		    uint32_t max_chunks, struct gpu_heap *heap);
int gpu_heap_destroy(struct gpu *gpu, uint32_t handle);

void gpu_group_ask(const struct gpu *gpu, uint32_t vm, struct drm_panthor_queue_create *queues,
		   unsigned int count, struct drm_panthor_group_create *create);
int gpu_group_create(struct gpu *gpu, uint32_t vm, unsigned int queues, uint32_t *group);
int gpu_group_destroy(struct gpu *gpu, uint32_t group);
int gpu_group_state(struct gpu *gpu, uint32_t group, uint32_t *state, uint32_t *fatal_queues);
int gpu_wait_group_state(struct gpu *gpu, uint32_t group, uint32_t bits, unsigned int timeout_ms,
			 uint32_t *state, uint32_t *fatal_queues);
int gpu_submit(struct gpu *gpu, uint32_t group, const struct gpu_job *jobs, unsigned int count);

int gpu_syncobj_create(struct gpu *gpu, uint32_t *syncobj);
int gpu_syncobj_wait(struct gpu *gpu, uint32_t syncobj, unsigned int timeout_ms);
int gpu_sync_file(struct gpu *gpu, uint32_t syncobj, int *fd);
int gpu_fence_status(struct gpu *gpu, uint32_t syncobj, unsigned int timeout_ms, int *status);

int gpu_runtime_status(struct gpu *gpu, char *status, size_t size);
int gpu_wait_suspended(struct gpu *gpu, unsigned int timeout_ms);
int gpu_wait_inactive(struct gpu *gpu, unsigned int timeout_ms);

#endif

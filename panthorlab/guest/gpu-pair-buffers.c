// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Buffers of one GPU that the other one uses (PRIME): both store in them and load from them, and what is stored is seen
 * through the mappings of both.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gpu-pair.h"
#include "ktap.h"

#define SHARED_VA	0x4000000ull
#define SHARED_SIZE	(4 * GPU_PAGE)
#define LAST		(SHARED_SIZE / 4 - 1)
#define LARGE_SIZE	0x600000u	/* there may be pages of 2 MiB, all in one entry of a page table */
#define HOLE		0x304000u

enum { REG_ADDR = 0, REG_VALUE = 2, REG_RESULT = 4 };

/**
 * struct shared - A buffer as one GPU has it
 * @scene: what else is there
 * @size: of the buffer, 0: SHARED_SIZE
 * @handle: of the buffer
 * @words: mapped through this GPU
 */
struct shared {
	struct scene scene;
	size_t size;
	uint32_t handle;
	volatile uint32_t *words;
};

static size_t size_of(const struct shared *shared)
{
	return shared->size ?: SHARED_SIZE;
}

/* Into the GPU's VM, and for the CPU. */
static int map_shared(struct shared *shared)
{
	struct gpu *gpu = &shared->scene.gpu;
	struct drm_panthor_bo_mmap_offset offset = { .handle = shared->handle };
	struct drm_panthor_vm_bind_op op = {
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
		.bo_handle = shared->handle,
		.va = SHARED_VA,
		.size = size_of(shared),
	};
	struct drm_panthor_vm_bind bind = { .vm_id = shared->scene.vm, .ops = DRM_PANTHOR_OBJ_ARRAY(1, &op) };
	void *map;
	int ret = GPU_IOCTL(gpu, PANTHOR_VM_BIND, &bind) ?: GPU_IOCTL(gpu, PANTHOR_BO_MMAP_OFFSET, &offset);

	if (ret)
		return ret;
	map = mmap(NULL, size_of(shared), PROT_READ | PROT_WRITE, MAP_SHARED, gpu->fd, offset.offset);
	if (map == MAP_FAILED)
		return fail(-errno, "mmap of a shared buffer");
	shared->words = map;
	return 0;
}

/* The first has a buffer, the second gets it. */
static int give(struct shared *from, struct shared *to)
{
	struct drm_panthor_bo_create create = { .size = size_of(from) };
	struct drm_prime_handle export = { .flags = DRM_CLOEXEC | DRM_RDWR }, import = { 0 }, again = { 0 };
	int ret = GPU_IOCTL(&from->scene.gpu, PANTHOR_BO_CREATE, &create);

	export.handle = from->handle = create.handle;
	ret = ret ?: GPU_IOCTL(&from->scene.gpu, PRIME_HANDLE_TO_FD, &export);
	if (ret)
		return ret;
	import.fd = again.fd = export.fd;
	ret = GPU_IOCTL(&to->scene.gpu, PRIME_FD_TO_HANDLE, &import);
	to->handle = import.handle;
	ret = ret ?: GPU_IOCTL(&to->scene.gpu, PRIME_FD_TO_HANDLE, &again);
	if (!ret && again.handle != import.handle)
		ret = fail(0, "imported again it is another buffer: %u, %u", import.handle, again.handle);
	ret = ret ?: GPU_IOCTL(&from->scene.gpu, PRIME_FD_TO_HANDLE, &again);
	if (!ret && again.handle != from->handle)
		ret = fail(0, "back home it is another buffer: %u, %u", from->handle, again.handle);
	close(export.fd);
	return ret ?: map_shared(from) ?: map_shared(to);
}

/* The GPU stores @value in the shared word @word. */
static int stores(struct shared *by, unsigned int word, uint32_t value)
{
	struct cs cs = scene_stream(&by->scene, 0);
	int status, ret;

	cs_tell(&cs, SHARED_VA + word * 4, value);
	ret = scene_submit(&by->scene, by->scene.group, 0, &cs, 0);
	ret = ret ?: gpu_fence_status(&by->scene.gpu, by->scene.syncobj[0], GPU_TIMEOUT_MS, &status);
	__sync_synchronize();
	if (!ret && (status != 1 || by->words[word] != value))
		ret = fail(0, "word %u: fence status %d, 0x%08x instead of 0x%08x", word, status, by->words[word], value);
	return ret;
}

/* The GPU loads the shared word @word, which must be @value. */
static int loads(struct shared *by, unsigned int word, uint32_t value)
{
	struct cs cs = scene_stream(&by->scene, 1);

	cs_move48(&cs, REG_ADDR, SHARED_VA + word * 4);
	cs_load32(&cs, REG_VALUE, REG_ADDR);
	cs_wait(&cs, CS_SB_ALL);
	cs_move48(&cs, REG_RESULT, scene_result_va(&by->scene, 1));
	cs_store32(&cs, REG_RESULT, REG_VALUE);
	cs_wait(&cs, CS_SB_ALL);
	return scene_submit(&by->scene, by->scene.group, 0, &cs, 1) ?: scene_right(&by->scene, 1, value);
}

/* What one stores, the other one and the CPU see. */
static int passes(struct shared *from, struct shared *to, unsigned int word, uint32_t value)
{
	int ret = stores(from, word, value);

	if (!ret && to->words[word] != value)
		ret = fail(0, "the other mapping has 0x%08x instead of 0x%08x", to->words[word], value);
	return ret ?: loads(to, word, value);
}

/* A buffer of the VM's own stays with its GPU. */
static int keeps_own(struct shared *shared)
{
	struct drm_prime_handle export = { .handle = shared->scene.streams.handle, .flags = DRM_CLOEXEC };

	if (!GPU_IOCTL(&shared->scene.gpu, PRIME_HANDLE_TO_FD, &export))
		return fail(0, "a buffer that is exclusively a VM's becomes a file");
	return 0;
}

static void drop(struct shared *shared)
{
	if (shared->words)
		munmap((void *)shared->words, size_of(shared));
	shared->words = NULL;
	scene_drop(&shared->scene);
}

/* @gone: the driver leaves the GPU that the buffer is from, instead of its client. */
static int survives(unsigned int gpu, bool gone)
{
	struct shared from = { 0 }, to = { 0 };
	int ret = scene_on(&from.scene, gpu) ?: scene_on(&to.scene, !gpu) ?: give(&from, &to);

	ret = ret ?: passes(&from, &to, 2, 0x600d0000 + gpu);
	if (gone)
		ret = ret ?: driver_off(gpu);
	else
		drop(&from);
	ret = ret ?: loads(&to, 2, 0x600d0000 + gpu) ?: stores(&to, LAST, 0x600d0010 + gpu);
	if (gone) {
		ret = ret ?: driver_on(gpu);
		drop(&from);
	}
	drop(&to);
	return ret ?: job_on(gpu) ?: job_on(!gpu);
}

static int both_ways(unsigned int gpu)
{
	struct shared from = { 0 }, to = { 0 };
	int ret = scene_on(&from.scene, gpu) ?: scene_on(&to.scene, !gpu) ?: give(&from, &to);

	ret = ret ?: passes(&from, &to, 0, 0x5a0d0000 + gpu) ?: passes(&to, &from, LAST, 0x5a0d0010 + gpu);
	ret = ret ?: keeps_own(&from);
	drop(&to);
	drop(&from);
	return ret;
}

/* A page in the middle is unmapped; what is before it and behind stays. */
static int has_a_hole(struct shared *shared)
{
	struct drm_panthor_vm_bind_op op = {
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP,
		.va = SHARED_VA + HOLE,
		.size = GPU_PAGE,
	};
	struct drm_panthor_vm_bind bind = { .vm_id = shared->scene.vm, .ops = DRM_PANTHOR_OBJ_ARRAY(1, &op) };

	return GPU_IOCTL(&shared->scene.gpu, PANTHOR_VM_BIND, &bind) ?: stores(shared, HOLE / 4 - 1, 0x401e0000) ?:
	       stores(shared, (HOLE + GPU_PAGE) / 4, 0x401e0001);
}

static int with_holes(unsigned int gpu)
{
	struct shared from = { .size = LARGE_SIZE }, to = { .size = LARGE_SIZE };
	int ret = scene_on(&from.scene, gpu) ?: scene_on(&to.scene, !gpu) ?: give(&from, &to);

	ret = ret ?: has_a_hole(&from) ?: has_a_hole(&to);
	drop(&to);
	drop(&from);
	return ret;
}

int pair_buffers(unsigned int count)
{
	unsigned int gpu, i;
	int ret = 0;

	ktap_start(3 * PAIR);
	for (gpu = 0; gpu < PAIR; gpu++) {
		for (i = 0; !ret && i < count; i++)
			ret = both_ways(gpu);
		ktap_check(ret, "a buffer of GPU %u is used by both", gpu);
		ret = ret ?: survives(gpu, false);
		ktap_check(ret, "a buffer of GPU %u outlives its client", gpu);
		ret = ret ?: survives(gpu, true);
		ktap_check(ret, "a buffer of GPU %u is used after that has gone", gpu);
	}
	for (i = 0; i < PAIR; i++)
		ret = ret ?: job_on(i);
	return ret ? 1 : 0;
}

int pair_holes(unsigned int count)
{
	unsigned int gpu, i;
	int ret = 0;

	ktap_start(PAIR);
	for (gpu = 0; gpu < PAIR; gpu++) {
		for (i = 0; !ret && i < count; i++)
			ret = with_holes(gpu);
		ktap_check(ret, "a part of a buffer of GPU %u is unmapped on both", gpu);
	}
	return ret ? 1 : 0;
}

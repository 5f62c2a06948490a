// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * VMs as wholes: more of them than address spaces, the part of each that is the kernel's own, and
 * what fresh memory in them holds.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client.h"
#include "cs.h"
#include "gpu-vm.h"
#include "heap-scene.h"
#include "ktap.h"

#define SPACES		10u	/* VMs; the GPU has eight address spaces, one is the firmware's */
#define WINDOW_VA	0x30000000ull
#define WINDOW_PAGES	8u	/* of each VM's buffer; one at a time is mapped at WINDOW_VA */
#define ZERO_PAGES	520u	/* of a fresh buffer: more than a huge page */
#define ZERO_STEP	13u	/* every so manieth is read by the GPU */

enum { REG_VA = 0, REG_VALUE = 2, REG_OUT = 4, REG_FLUSH = 6 };

/**
 * struct space - A VM with a group that stores through WINDOW_VA
 * @code: a page: the stream, in its second half results
 * @window: what is seen at WINDOW_VA, page by page
 * @page: that is mapped there
 */
struct space {
	uint32_t vm, group, syncobj;
	struct gpu_bo code, window;
	unsigned int page;
};

static int bind(struct gpu *gpu, uint32_t vm, uint32_t flags, uint32_t bo, uint64_t offset,
		uint64_t va, uint64_t size, uint32_t signal)
{
	struct drm_panthor_sync_op sync = { .flags = DRM_PANTHOR_SYNC_OP_SIGNAL, .handle = signal };
	struct drm_panthor_vm_bind_op op = {
		.flags = flags,
		.bo_handle = bo,
		.bo_offset = offset,
		.va = va,
		.size = size,
	};
	struct drm_panthor_vm_bind request = {
		.vm_id = vm,
		.flags = signal ? DRM_PANTHOR_VM_BIND_ASYNC : 0,
		.ops = DRM_PANTHOR_OBJ_ARRAY(1, &op),
	};

	if (signal)
		op.syncs = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(1, &sync);
	return GPU_IOCTL(gpu, PANTHOR_VM_BIND, &request);
}

#define MAP	(DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC)
#define UNMAP	DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP

static int space_create(struct gpu *gpu, struct space *space)
{
	int ret = gpu_vm_create(gpu, &space->vm);

	ret = ret ?: gpu_bo_create(gpu, space->vm, HEAP_VA, GPU_PAGE,
				   DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC, &space->code);
	/* All pages stay mapped elsewhere, so that nothing but the window changes. */
	ret = ret ?: gpu_bo_create(gpu, space->vm, 2 * HEAP_VA, WINDOW_PAGES * GPU_PAGE,
				   DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC, &space->window);
	return ret ?: gpu_syncobj_create(gpu, &space->syncobj);
}

/* Let another page be seen; in every other round there is nothing for a moment. */
static int space_move(struct gpu *gpu, struct space *space, unsigned int round)
{
	int ret = 0;

	space->page = (space->page + 3) % WINDOW_PAGES;
	if (round % 2)
		ret = bind(gpu, space->vm, UNMAP, 0, 0, WINDOW_VA, GPU_PAGE, 0);
	return ret ?: bind(gpu, space->vm, MAP, space->window.handle,
			   space->page * (uint64_t)GPU_PAGE, WINDOW_VA, GPU_PAGE, 0);
}

/* In a group that has run nothing before, so that no other job's time counts for this one. */
static int space_store(struct gpu *gpu, struct space *space, uint32_t token)
{
	struct cs cs = { .words = space->code.map, .capacity = GPU_PAGE / 8 };
	struct gpu_job job = { .va = HEAP_VA, .syncobj = space->syncobj };

	cs_move48(&cs, REG_VA, WINDOW_VA);
	cs_move32(&cs, REG_VALUE, token);
	cs_store32(&cs, REG_VA, REG_VALUE);
	cs_wait(&cs, CS_SB_ALL);
	cs_move32(&cs, REG_FLUSH, 0);
	cs_flush(&cs, REG_FLUSH);
	cs_wait(&cs, CS_SB_ALL);
	job.size = cs_size(&cs);
	return gpu_group_create(gpu, space->vm, 1, &space->group) ?:
	       gpu_submit(gpu, space->group, &job, 1);
}

static volatile uint32_t *space_word(struct space *space, unsigned int page)
{
	return (volatile uint32_t *)((char *)space->window.map + page * GPU_PAGE);
}

/* Each store has reached the page that was seen in its own VM, and no other. */
static int spaces_right(struct gpu *gpu, struct space *spaces, uint32_t token)
{
	unsigned int i, page;
	int ret = 0;

	for (i = 0; !ret && i < SPACES; i++)
		ret = gpu_job_right(gpu, spaces[i].syncobj, space_word(&spaces[i], spaces[i].page),
				    token + i);
	for (i = 0; !ret && i < SPACES; i++) {
		for (page = 0; !ret && page < WINDOW_PAGES; page++)
			if (page != spaces[i].page && *space_word(&spaces[i], page))
				ret = fail(0, "VM %u: page %u has 0x%x, the store was to page %u", i,
					   page, *space_word(&spaces[i], page), spaces[i].page);
		*space_word(&spaces[i], spaces[i].page) = 0;
		ret = ret ?: gpu_group_destroy(gpu, spaces[i].group);
	}
	return ret;
}

/*
 * All store at once, so address spaces go from VM to VM; between that, page tables change while
 * their VM has none, and while it has.
 */
int mode_spaces(unsigned int count, unsigned int seed)
{
	static struct space spaces[SPACES];
	struct gpu gpu = { .fd = -1 };
	unsigned int round, i;
	char why[192];
	int ret;

	ktap_start(1);
	ret = gpu_open(&gpu);
	for (i = 0; !ret && i < SPACES; i++)
		ret = space_create(&gpu, &spaces[i]);
	for (round = 0; !ret && round < count; round++) {
		uint32_t token = (round + 1) << 8;

		for (i = 0; !ret && i < SPACES; i++)
			ret = space_move(&gpu, &spaces[i], round);
		for (i = 0; !ret && i < SPACES; i++) {
			unsigned int next = (i * 3 + seed + round) % SPACES;

			ret = space_store(&gpu, &spaces[next], token + next);
		}
		ret = ret ?: spaces_right(&gpu, spaces, token);
	}
	snprintf(why, sizeof(why), "round %u: %s", round, last_error());
	out("# rounds %u\n", round);
	ktap_result(1, !ret && round, "more VMs than address spaces", why);
	return ret ? 1 : 0;
}

static int refused(struct heap_scene *scene, uint32_t flags, uint32_t bo, uint64_t va, uint64_t size)
{
	unsigned int async;

	for (async = 0; async < 2; async++) {
		int ret = bind(&scene->gpu, scene->vm, flags, bo, 0, va, size,
			       async ? scene->syncobj[0] : 0);

		if (!ret)
			return fail(0, "%ssynchronous %smap of 0x%llx bytes at 0x%llx accepted",
				    async ? "a" : "", bo ? "" : "un", (unsigned long long)size,
				    (unsigned long long)va);
		if (ret != -EINVAL)
			return ret;
	}
	return 0;
}

/* Nothing of what the kernel has in the VM may be mapped over or unmapped; the rest may. */
static int range_kept(uint64_t user_va_range)
{
	struct heap_scene scene;
	struct pass pass;
	uint64_t top, from;
	uint32_t bo;
	int ret = heap_open_range(&scene, user_va_range);

	ret = ret ?: heap_add_group(&scene);
	ret = ret ?: heap_add_heap(&scene, 1, 4, 65535);
	if (ret)
		goto out;
	from = scene.user_va_range;
	top = 1ull << 48;
	bo = scene.bo.handle;
	if (user_va_range && from < user_va_range)
		ret = fail(0, "0x%llx bytes of addresses asked for, 0x%llx got",
			   (unsigned long long)user_va_range, (unsigned long long)from);
	{
		const uint64_t ranges[][2] = {
			{ from, GPU_PAGE }, { from - GPU_PAGE, 2 * GPU_PAGE },
			{ scene.heap[0].context_va & -(uint64_t)GPU_PAGE, GPU_PAGE },
			{ scene.heap[0].chunk_va & -(uint64_t)GPU_PAGE, HEAP_CHUNK },
			{ from + (top - from) / 2, GPU_PAGE }, { top - GPU_PAGE, GPU_PAGE },
		};
		const uint64_t unmaps[][2] = {
			{ 0, top }, { 0, from + GPU_PAGE }, { from, top - from },
			{ GPU_PAGE, -(uint64_t)GPU_PAGE }, { top, GPU_PAGE },
		};
		size_t i;

		for (i = 0; !ret && i < sizeof(ranges) / sizeof(ranges[0]); i++) {
			ret = refused(&scene, MAP, bo, ranges[i][0], ranges[i][1]);
			ret = ret ?: refused(&scene, UNMAP, 0, ranges[i][0], ranges[i][1]);
		}
		for (i = 0; !ret && i < sizeof(unmaps) / sizeof(unmaps[0]); i++)
			ret = refused(&scene, UNMAP, 0, unmaps[i][0], unmaps[i][1]);
	}
	ret = ret ?: bind(&scene.gpu, scene.vm, MAP, bo, 0, from - GPU_PAGE, GPU_PAGE, 0);
	ret = ret ?: bind(&scene.gpu, scene.vm, UNMAP, 0, 0, from - GPU_PAGE, GPU_PAGE, 0);
	pass = heap_pass(&scene, 0, 0);
	ret = ret ?: heap_run(&scene, 0, &pass);
out:
	heap_scene_close(&scene);
	return ret;
}

int mode_kernel_range(unsigned int count, unsigned int seed)
{
	static const uint64_t ranges[] = { 0, 1ull << 30, 1ull << 32, 1ull << 40, 1ull << 47 };
	unsigned int i, failed = 0, n = sizeof(ranges) / sizeof(ranges[0]);

	(void)count, (void)seed;
	ktap_start(n);
	for (i = 0; i < n; i++) {
		char name[64];
		int ret = range_kept(ranges[i]);

		snprintf(name, sizeof(name), "user addresses up to 0x%llx",
			 (unsigned long long)ranges[i]);
		ktap_result(i + 1, !ret, name, last_error());
		failed += ret != 0;
	}
	return failed ? 1 : 0;
}

/* Let the GPU copy the first word of every ZERO_STEPth page of @bo behind the stream. */
static int gpu_reads(struct gpu *gpu, struct space *space, const struct gpu_bo *bo)
{
	struct cs cs = { .words = space->code.map, .capacity = GPU_PAGE / 2 / 8 };
	struct gpu_job job = { .va = HEAP_VA, .syncobj = space->syncobj };
	volatile uint32_t *out = (volatile uint32_t *)((char *)space->code.map + GPU_PAGE / 2);
	unsigned int page, n = 0, i;
	int status, ret;

	for (page = 0; page < ZERO_PAGES; page += ZERO_STEP, n++) {
		out[n] = 0x55555555;
		cs_move48(&cs, REG_VA, bo->va + page * (uint64_t)GPU_PAGE);
		cs_load(&cs, REG_VALUE, 1, REG_VA, 0);
		cs_move48(&cs, REG_OUT, HEAP_VA + GPU_PAGE / 2 + n * sizeof(uint32_t));
		cs_wait(&cs, CS_SB_ALL);
		cs_store32(&cs, REG_OUT, REG_VALUE);
	}
	cs_wait(&cs, CS_SB_ALL);
	cs_move32(&cs, REG_FLUSH, 0);
	cs_flush(&cs, REG_FLUSH);
	cs_wait(&cs, CS_SB_ALL);
	job.size = cs_size(&cs);
	ret = gpu_submit(gpu, space->group, &job, 1);
	ret = ret ?: gpu_fence_status(gpu, space->syncobj, GPU_TIMEOUT_MS, &status);
	if (!ret && status != 1)
		ret = fail(0, "fence status %d", status);
	for (i = 0; !ret && i < n; i++)
		if (out[i])
			ret = fail(0, "the GPU reads 0x%x in page %u", out[i], i * ZERO_STEP);
	return ret;
}

/* A fresh buffer is zero for the CPU and the GPU. Then it is filled, and given back. */
static int zero_once(struct gpu *gpu, struct space *space, uint32_t flags, uint32_t pattern)
{
	struct gpu_bo bo = { 0 };
	struct drm_gem_close request = { 0 };
	volatile uint64_t *words;
	size_t i;
	int ret = gpu_bo_create(gpu, space->vm, WINDOW_VA, ZERO_PAGES * GPU_PAGE,
				DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC | flags, &bo);

	ret = ret ?: gpu_reads(gpu, space, &bo);
	words = bo.map;
	for (i = 0; !ret && i < bo.size / sizeof(*words); i++) {
		if (words[i])
			ret = fail(0, "the CPU reads 0x%llx at 0x%zx",
				   (unsigned long long)words[i], i * sizeof(*words));
		words[i] = 0x0101010101010101ull * pattern;
	}
	if (bo.map)
		munmap((void *)bo.map, bo.size);
	ret = ret ?: bind(gpu, space->vm, UNMAP, 0, 0, WINDOW_VA, bo.size, 0);
	request.handle = bo.handle;
	return ret ?: GPU_IOCTL(gpu, GEM_CLOSE, &request);
}

int mode_zero(unsigned int count, unsigned int seed)
{
	static struct space space;
	struct gpu gpu = { .fd = -1 };
	unsigned int round;
	int ret;

	(void)seed;
	ktap_start(1);
	ret = gpu_open(&gpu);
	ret = ret ?: space_create(&gpu, &space);
	ret = ret ?: gpu_group_create(&gpu, space.vm, 1, &space.group);
	for (round = 0; !ret && round < count; round++)
		ret = zero_once(&gpu, &space, round % 2 ? DRM_PANTHOR_VM_BIND_OP_MAP_UNCACHED : 0,
				0xa5 + round % 16);
	ktap_result(1, !ret && round, "fresh memory is zero", last_error());
	return ret ? 1 : 0;
}

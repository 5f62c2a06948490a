// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a mapping forbids the GPU is forbidden, and nothing else: memory that the GPU may read and write
 * at one address is read-only at another. (That code may lie in what is not to be executed is right:
 * only shaders mind, and there are none.)
 */

#include <string.h>

#include "gpu-job.h"
#include "gpu-vm.h"
#include "ktap.h"

#define OTHER_VA	0x20000000ull	/* second mapping of the page of results */
#define FATAL_MS	2000

enum { REG_FROM = 0, REG_TO = 2, REG_WORD = 4, REG_FLUSH = 5 };
enum { SOURCE = 4, TARGET = 5 };	/* results */

static int map_again(struct scene *scene, const struct gpu_bo *bo, uint32_t flags)
{
	struct drm_panthor_vm_bind_op op = {
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | flags,
		.bo_handle = bo->handle,
		.va = OTHER_VA,
		.size = GPU_PAGE,
	};
	struct drm_panthor_vm_bind bind = {
		.vm_id = scene->vm,
		.ops = DRM_PANTHOR_OBJ_ARRAY(1, &op),
	};

	return GPU_IOCTL(&scene->gpu, PANTHOR_VM_BIND, &bind);
}

static uint64_t other(const struct scene *scene, unsigned int result)
{
	return OTHER_VA + scene_result_va(scene, result) - scene->results.va;
}

static void write_copy(struct scene *scene, struct cs *cs)
{
	cs_move48(cs, REG_FROM, other(scene, SOURCE));
	cs_move48(cs, REG_TO, scene_result_va(scene, TARGET));
	cs_load32(cs, REG_WORD, REG_FROM);
	cs_wait(cs, CS_SB_ALL);
	cs_store32(cs, REG_TO, REG_WORD);
	cs_wait(cs, CS_SB_ALL);
	cs_move32(cs, REG_FLUSH, 0);
	cs_flush(cs, REG_FLUSH);
	cs_wait(cs, CS_SB_ALL);
}

/* What is read-only can be read. */
static int reads(struct scene *scene)
{
	struct cs cs = scene_stream(scene, 0);
	int status, ret;

	*scene_result(scene, SOURCE) = 0x0ead0ead;
	write_copy(scene, &cs);
	ret = scene_submit(scene, scene->group, 0, &cs, 0);
	ret = ret ?: gpu_fence_status(&scene->gpu, scene->syncobj[0], GPU_TIMEOUT_MS, &status);
	if (!ret && status != 1)
		ret = fail(0, "fence status %d", status);
	if (!ret && *scene_result(scene, TARGET) != 0x0ead0ead)
		ret = fail(0, "0x%x was read", *scene_result(scene, TARGET));
	return ret;
}

/* The job at @va costs its group the life, and stores nothing in TARGET. */
static int must_fault(struct scene *scene, uint64_t va, uint32_t size, uint64_t fault)
{
	struct gpu_job job = { .va = va, .size = size, .syncobj = scene->syncobj[0] };
	uint32_t group, state, queues;
	int status, ret;

	*scene_result(scene, TARGET) = 0;
	ret = gpu_group_create(&scene->gpu, scene->vm, 1, &group) ?: gpu_submit(&scene->gpu, group, &job, 1);
	ret = ret ?: gpu_fence_status(&scene->gpu, job.syncobj, GPU_TIMEOUT_MS, &status);
	ret = ret ?: gpu_wait_group_state(&scene->gpu, group, DRM_PANTHOR_GROUP_STATE_FATAL_FAULT, FATAL_MS,
					  &state, &queues);
	if (!ret && !(state & DRM_PANTHOR_GROUP_STATE_FATAL_FAULT))
		ret = fail(0, "the group lives");
	if (!ret && *scene_result(scene, TARGET))
		ret = fail(0, "0x%x was stored", *scene_result(scene, TARGET));
	out("# info fault=0x%llx\n", (unsigned long long)fault);
	return ret ?: gpu_group_destroy(&scene->gpu, group);
}

static int write_read_only(struct scene *scene)
{
	struct cs cs = scene_stream(scene, 1);

	scene_store(&cs, other(scene, TARGET), 1);
	return must_fault(scene, scene_stream_va(scene, 1), cs_size(&cs), other(scene, TARGET));
}

int mode_protection(unsigned int count, unsigned int seed)
{
	static struct scene readonly;
	int ret, failed = 0;

	(void)count, (void)seed;
	ktap_start(2);
	ret = scene_create(&readonly, 1);
	ret = ret ?: map_again(&readonly, &readonly.results,
			       DRM_PANTHOR_VM_BIND_OP_MAP_READONLY | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC |
			       DRM_PANTHOR_VM_BIND_OP_MAP_UNCACHED);
	ret = ret ?: reads(&readonly);
	ktap_result(1, !ret, "what is read-only is read", last_error());
	failed += ret != 0;
	ret = ret ?: write_read_only(&readonly);
	ktap_result(2, !ret, "what is read-only is not written", last_error());
	failed += ret != 0;
	return failed ? 1 : 0;
}

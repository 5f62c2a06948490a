// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a mapping forbids the GPU is forbidden, and nothing else: memory that the GPU may read and write
 * at one address is read-only at another. (That code may lie in what is not to be executed is right:
 * only shaders mind, and there are none.)
 */

#include "gpu-job.h"
#include "gpu-vm.h"
#include "ktap.h"

#define OTHER_VA	0x20000000ull	/* second mapping of the page of results */

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
	ret = ret ?: scene_must_fault(&readonly, other(&readonly, TARGET), scene_result(&readonly, TARGET));
	ktap_result(2, !ret, "what is read-only is not written", last_error());
	failed += ret != 0;
	return failed ? 1 : 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later

#include "gpu-job.h"

#include <errno.h>

#include "client.h"
#include "ktap.h"

#define FATAL_MS	2000

int scene_create(struct scene *scene, unsigned int queues)
{
	struct gpu *gpu = &scene->gpu;
	unsigned int i;
	int ret;

	ret = gpu_open(gpu);
	if (!ret)
		ret = gpu_vm_create(gpu, &scene->vm);
	if (!ret)
		ret = gpu_bo_create(gpu, scene->vm, SCENE_VA, GPU_PAGE,
				    DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC, &scene->streams);
	if (!ret)
		ret = gpu_bo_create(gpu, scene->vm, SCENE_VA + GPU_PAGE, GPU_PAGE,
				    DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC |
				    DRM_PANTHOR_VM_BIND_OP_MAP_UNCACHED, &scene->results);
	if (!ret)
		ret = gpu_group_create(gpu, scene->vm, queues, &scene->group);
	for (i = 0; !ret && i < SCENE_STREAMS; i++)
		ret = gpu_syncobj_create(gpu, &scene->syncobj[i]);
	return ret;
}

/* An empty stream at place @index. */
struct cs scene_stream(struct scene *scene, unsigned int index)
{
	return (struct cs){
		.words = (volatile uint64_t *)scene->streams.map + index * SCENE_STREAM / 8,
		.capacity = SCENE_STREAM / 8,
	};
}

uint64_t scene_stream_va(const struct scene *scene, unsigned int index)
{
	return scene->streams.va + index * SCENE_STREAM;
}

/* Results are a cache line apart, and large enough for a sync object. */
volatile uint32_t *scene_result(struct scene *scene, unsigned int index)
{
	return (volatile uint32_t *)scene->results.map + index * 16;
}

uint64_t scene_result_va(const struct scene *scene, unsigned int index)
{
	return scene->results.va + index * 64;
}

/* Submit stream @index; its syncobj has the same index. */
int scene_submit(struct scene *scene, uint32_t group, unsigned int queue, const struct cs *cs,
		 unsigned int index)
{
	struct gpu_job job = {
		.va = scene_stream_va(scene, index),
		.size = cs_size(cs),
		.queue = queue,
		.syncobj = scene->syncobj[index],
	};

	return gpu_submit(&scene->gpu, group, &job, 1);
}

int scene_right(struct scene *scene, unsigned int index, uint32_t value)
{
	return gpu_job_right(&scene->gpu, scene->syncobj[index], scene_result(scene, index),
			     value);
}

int scene_hold(struct scene *scene, unsigned int index, unsigned int gate)
{
	const int64_t deadline = now_us() + GPU_TIMEOUT_MS * 1000LL;
	struct cs cs = scene_stream(scene, index);
	unsigned int loop;
	int ret;

	*scene_result(scene, gate) = 0;
	*scene_result(scene, index) = 0;
	cs_tell(&cs, scene_result_va(scene, index), 1);
	cs_move48(&cs, CS_TELL_ADDR, scene_result_va(scene, gate));
	loop = cs.count;
	cs_load32(&cs, CS_TELL_VALUE, CS_TELL_ADDR);
	cs_wait(&cs, CS_SB_ALL);
	cs_branch(&cs, CS_EQUAL, CS_TELL_VALUE, loop);
	ret = scene_submit(scene, scene->group, 0, &cs, index);
	while (!ret && !*scene_result(scene, index)) {
		if (now_us() > deadline)
			ret = fail(-ETIME, "the job has not begun after %u ms", GPU_TIMEOUT_MS);
		sleep_us(100);
	}
	return ret;
}

/*
 * The status of the fence does not tell: a kernel that hears of the end of the job before the fault says success. What is
 * told of each address has a name of its own, in hexadecimal digits.
 */
int scene_must_fault(struct scene *scene, uint64_t va, const volatile uint32_t *word)
{
	const uint32_t before = word ? *word : 0;
	struct cs cs = scene_stream(scene, 0);
	uint32_t group, state, queues;
	int status, ret = gpu_group_create(&scene->gpu, scene->vm, 1, &group);

	if (ret)
		return ret;
	cs_tell(&cs, va, ~before);
	ret = scene_submit(scene, group, 0, &cs, 0);
	ret = ret ?: gpu_fence_status(&scene->gpu, scene->syncobj[0], GPU_TIMEOUT_MS, &status);
	if (!ret && word && *word != before)
		ret = fail(0, "a store to 0x%llx reached what must not be written there", (unsigned long long)va);
	ret = ret ?: gpu_wait_group_state(&scene->gpu, group, DRM_PANTHOR_GROUP_STATE_FATAL_FAULT, FATAL_MS, &state,
					  &queues);
	if (!ret && !(state & DRM_PANTHOR_GROUP_STATE_FATAL_FAULT))
		ret = fail(-ETIME, "a store to 0x%llx: the group is not flagged fatal, %u ms", (unsigned long long)va,
			   FATAL_MS);
	if (!ret)
		out("# info fault%llx=0x%llx\n# fence status %d\n", (unsigned long long)va, (unsigned long long)va,
		    status);
	return ret ?: gpu_group_destroy(&scene->gpu, group);
}

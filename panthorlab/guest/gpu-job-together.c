// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A job for each queue that a group can have, all of one call, and none over before the call is: what
 * the kernel keeps for one call must be enough for all of them. The VM has a buffer that others may
 * share, for such a buffer has a list of its own of who uses it.
 */

#include "gpu-job.h"

#include "ktap.h"

#define SHARED_VA	0x4000000ull
#define VALUE(i)	(0x70e70000u + (i))
#define ANY_VM		0

enum { REG_GATE = 0, REG_OPEN = 2, GATE = SCENE_STREAMS };

/* Store once the gate is open. */
static void write_job(struct scene *scene, unsigned int i, struct gpu_job *job)
{
	struct cs cs = scene_stream(scene, i);
	unsigned int loop;

	cs_move48(&cs, REG_GATE, scene_result_va(scene, GATE));
	loop = cs.count;
	cs_load32(&cs, REG_OPEN, REG_GATE);
	cs_wait(&cs, CS_SB_ALL);
	cs_branch(&cs, CS_EQUAL, REG_OPEN, loop);
	cs_tell(&cs, scene_result_va(scene, i), VALUE(i));
	*job = (struct gpu_job){
		.va = scene_stream_va(scene, i),
		.size = cs_size(&cs),
		.queue = i,
		.syncobj = scene->syncobj[i],
	};
}

/* As many queues as the GPU has streams; their number is told. */
static int prepare(struct scene *scene, uint32_t *group, unsigned int *queues)
{
	struct drm_panthor_csif_info csif;
	struct gpu_bo shared = { 0 };
	int ret = scene_create(scene, 1);

	ret = ret ?: gpu_query(&scene->gpu, DRM_PANTHOR_DEV_QUERY_CSIF_INFO, &csif, sizeof(csif));
	if (ret)
		return ret;
	*queues = csif.cs_slot_count < SCENE_STREAMS ? csif.cs_slot_count : SCENE_STREAMS;
	out("# info queues=%u\n", *queues);
	ret = gpu_bo_make(&scene->gpu, ANY_VM, GPU_PAGE, &shared);
	shared.va = SHARED_VA;
	ret = ret ?: gpu_bind(&scene->gpu, scene->vm, &shared, DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC);
	return ret ?: gpu_group_create(&scene->gpu, scene->vm, *queues, group);
}

static int submit(struct scene *scene, uint32_t group, unsigned int queues)
{
	struct gpu_job jobs[SCENE_STREAMS];
	unsigned int i;
	int ret;

	for (i = 0; i < queues; i++)
		write_job(scene, i, &jobs[i]);
	ret = gpu_submit(&scene->gpu, group, jobs, queues);
	*scene_result(scene, GATE) = 1;
	return ret;
}

/* What has not stored has broken off: whoever had the emulated GPU do that knows how many must have. */
static int judge(struct scene *scene, unsigned int queues)
{
	unsigned int i, broken = 0;
	int status, ret = 0;

	for (i = 0; !ret && i < queues; i++) {
		ret = gpu_fence_status(&scene->gpu, scene->syncobj[i], GPU_TIMEOUT_MS, &status);
		if (!ret && *scene_result(scene, i) != VALUE(i))
			broken++;
		else if (!ret && status != 1)
			ret = fail(0, "the job of queue %u has stored, and its fence says %d", i, status);
	}
	out("# info broken=%u\n", broken);
	return ret;
}

int job_together(const struct options *options)
{
	unsigned int queues = 0;
	struct scene scene;
	uint32_t group;
	int ret;

	(void)options;
	ktap_start(2);
	ret = prepare(&scene, &group, &queues);
	ret = ret ?: submit(&scene, group, queues);
	ktap_check(ret, "one call has a job for each of %u queues", queues);
	ret = ret ?: judge(&scene, queues);
	ktap_check(ret, "all of them end");
	return ktap_status();
}

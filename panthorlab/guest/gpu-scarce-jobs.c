// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * GROUP_SUBMIT without memory: one job or two, that wait for a fence and signal a syncobj each.
 */

#include "gpu-scarce.h"

#include "client.h"

/* What each job stores is its own. */
int scarce_begin_jobs(struct scarce *s)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		struct cs cs = scene_stream(&s->scene, i);

		*scene_result(&s->scene, i) = 0;
		cs_tell(&cs, scene_result_va(&s->scene, i), s->value + i);
	}
	return 0;
}

int scarce_make_jobs(struct scarce *s)
{
	bool timeline = s->call->flavour & SCARCE_TIMELINE;
	struct drm_panthor_queue_submit jobs[2];
	struct drm_panthor_sync_op syncs[2][2];
	struct drm_panthor_group_submit submit = { .group_handle = s->scene.group };
	const struct cs store = { .count = 7 };	/* instructions of cs_tell() */
	unsigned int i, count = s->call->flavour & SCARCE_BOTH ? 2 : 1;

	for (i = 0; i < count; i++) {
		syncs[i][0] = (struct drm_panthor_sync_op){ .flags = DRM_PANTHOR_SYNC_OP_WAIT,
							    .handle = s->scene.syncobj[0] };
		syncs[i][1] = (struct drm_panthor_sync_op){
			.flags = DRM_PANTHOR_SYNC_OP_SIGNAL |
				 (timeline ? DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_TIMELINE_SYNCOBJ : 0),
			.handle = s->scene.syncobj[3 + i],
			.timeline_value = timeline ? s->point : 0,
		};
		jobs[i] = (struct drm_panthor_queue_submit){
			.queue_index = i,
			.stream_size = cs_size(&store),
			.stream_addr = scene_stream_va(&s->scene, i),
			.syncs = DRM_PANTHOR_OBJ_ARRAY(2, syncs[i]),
		};
	}
	submit.queue_submits = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(count, jobs);
	return GPU_IOCTL(&s->scene.gpu, PANTHOR_GROUP_SUBMIT, &submit);
}

int scarce_right_jobs(struct scarce *s)
{
	struct gpu *gpu = &s->scene.gpu;
	int ret = gpu_job_right(gpu, s->scene.syncobj[3], scene_result(&s->scene, 0), s->value);

	if (!ret && s->call->flavour & SCARCE_BOTH)
		ret = gpu_job_right(gpu, s->scene.syncobj[4], scene_result(&s->scene, 1), s->value + 1);
	return ret;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Groups that the driver must say are lost, though they are on no slot of the GPU, or who has them waits
 * for their jobs for ever.
 */

#include "gpu-job.h"

#include <errno.h>

#include "ktap.h"

#define KEPT		0x5afe0123u
#define GIVEN_UP_MS	30000	/* the driver gives a job up after 5 s */
#define LOST_QUEUES	3u

enum { REG_SYNC = 0, REG_ZERO = 2, FIRST = 0, SECOND = 1, THIRD = 2, NEVER = 8 };

static int expect_lost(struct scene *scene)
{
	uint32_t state, fatal;
	int ret = gpu_group_state(&scene->gpu, scene->group, &state, &fatal);

	if (!ret && !(state & DRM_PANTHOR_GROUP_STATE_TIMEDOUT))
		ret = fail(0, "group state 0x%x, expected bit 0x%x", state, DRM_PANTHOR_GROUP_STATE_TIMEDOUT);
	return ret;
}

static int submit(struct scene *scene, uint32_t group, unsigned int place)
{
	struct cs cs = scene_stream(scene, place);

	cs_tell(&cs, scene_result_va(scene, place), KEPT);
	return scene_submit(scene, group, 0, &cs, place);
}

static int expect_refusal(struct scene *scene)
{
	int taken = submit(scene, scene->group, SECOND);

	if (taken == -EINVAL || taken == -ECANCELED)
		return 0;
	return taken ?: fail(0, "it takes a job");
}

static int store(struct scene *scene, uint32_t group, unsigned int place)
{
	return submit(scene, group, place) ?: scene_right(scene, place, KEPT);
}

/*
 * Of fewer queues, in the slot that the lost group had, whose streams must not start with it: neither now, when these may
 * still be there, nor when the GPU has slept, and they are gone.
 */
static int another_works(struct scene *scene)
{
	uint32_t group;
	int ret = gpu_group_destroy(&scene->gpu, scene->group);

	ret = ret ?: gpu_group_create(&scene->gpu, scene->vm, 1, &group);
	ret = ret ?: store(scene, group, SECOND) ?: gpu_wait_suspended(&scene->gpu, SUSPEND_MS);
	return ret ?: store(scene, group, THIRD);
}

/* The firmware does not do as it is told when the group is to be suspended: the group is lost. */
int job_not_suspended(const struct options *options)
{
	struct scene scene;
	int ret, kept;

	(void)options;
	ktap_start(3);
	ret = scene_create(&scene, LOST_QUEUES);
	ret = ret ?: store(&scene, scene.group, FIRST) ?: gpu_wait_suspended(&scene.gpu, SUSPEND_MS);
	kept = ret ?: expect_lost(&scene);
	ktap_check(kept, "the group is said to be lost");
	kept = ret ?: expect_refusal(&scene);
	ktap_check(kept, "it takes no job");
	ktap_check(ret ?: another_works(&scene), "another group works in its place");
	return ktap_status();
}

/* The GPU sleeps over the wait: the driver, which gives the job up, does not find its group on a slot. */
int job_given_up(const struct options *options)
{
	struct scene scene;
	struct cs cs = { 0 };
	int ret, lost, status = 0;

	(void)options;
	ktap_start(4);
	ret = scene_create(&scene, 1);
	if (!ret) {
		cs = scene_stream(&scene, FIRST);
		cs_move48(&cs, REG_SYNC, scene_result_va(&scene, NEVER));
		cs_move48(&cs, REG_ZERO, 0);
		cs_sync_wait64_gt(&cs, REG_SYNC, REG_ZERO);
		ret = scene_submit(&scene, scene.group, 0, &cs, FIRST);
	}
	ret = ret ?: gpu_wait_suspended(&scene.gpu, SUSPEND_MS);
	if (!ret && gpu_fence_status(&scene.gpu, scene.syncobj[FIRST], 0, &status) != -ETIME)
		ret = fail(0, "the stream that nobody wakes has ended, fence status %d", status);
	ktap_check(ret, "the GPU sleeps over a stream that nobody wakes");
	ret = ret ?: gpu_fence_status(&scene.gpu, scene.syncobj[FIRST], GIVEN_UP_MS, &status);
	if (!ret && status != -ETIMEDOUT)
		ret = fail(0, "fence status %d", status);
	ktap_check(ret, "it is given up");
	lost = ret ?: expect_lost(&scene);
	ktap_check(lost, "the group is said to be lost");
	ret = ret ?: expect_refusal(&scene);
	ktap_check(ret, "it takes no job");
	return ktap_status();
}

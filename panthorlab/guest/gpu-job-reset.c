// SPDX-License-Identifier: GPL-2.0-or-later
/* A group that is well when the GPU is reset because of another one. */

#include "gpu-job.h"

#include <errno.h>

#include "ktap.h"

enum { LASTING = 0, BROKEN = 1, ENDLESS = 2, GATE = 8, NEVER = 9 };	/* places in the scene */
enum { REG_AWAITED = 0, REG_BEYOND = 2 };

static int ends_with_error(struct scene *scene, unsigned int index)
{
	int status;
	int ret = gpu_fence_status(&scene->gpu, scene->syncobj[index], GPU_TIMEOUT_MS, &status);

	if (!ret && status >= 0)
		ret = fail(0, "fence status %d, expected an error", status);
	if (!ret)
		out("# info fence%u=%d\n", index, status);
	return ret;
}

/* A group works until it is told to end; the stream of another one breaks off, which has the GPU reset. */
static int break_off(struct scene *scene)
{
	uint32_t group;
	struct cs cs;
	int ret = scene_hold(scene, LASTING, GATE) ?: gpu_group_create(&scene->gpu, scene->vm, 1, &group);

	if (ret)
		return ret;
	cs = scene_stream(scene, BROKEN);
	cs_tell(&cs, scene_result_va(scene, 0), 1);
	return scene_submit(scene, group, 0, &cs, BROKEN) ?: ends_with_error(scene, BROKEN);
}

/*
 * A stream breaks off in a way that has the GPU reset, and the firmware does not boot again: the driver gives the
 * GPU up. It has stopped the queues of a group that was well for the time of the reset, and must not leave it at that.
 */
int job_reset_fails(const struct options *options)
{
	struct scene scene;
	int ret;

	(void)options;
	ktap_start(2);
	ret = scene_create(&scene, 1) ?: break_off(&scene);
	ktap_result(1, !ret, "the job that breaks off ends", last_error());
	ret = ret ?: ends_with_error(&scene, LASTING);
	ktap_result(2, !ret, "the job of another group ends", last_error());
	return ret ? 1 : 0;
}

/* A job that waits for what never comes. */
static int never_ends(struct scene *scene)
{
	struct cs cs = scene_stream(scene, ENDLESS);
	int status, ret;

	cs_move48(&cs, REG_AWAITED, scene_result_va(scene, NEVER));
	cs_move48(&cs, REG_BEYOND, 0);
	cs_sync_wait64_gt(&cs, REG_AWAITED, REG_BEYOND);
	ret = scene_submit(scene, scene->group, 0, &cs, ENDLESS);
	ret = ret ?: gpu_fence_status(&scene->gpu, scene->syncobj[ENDLESS], GPU_TIMEOUT_MS, &status);
	return ret ?: status == -ETIMEDOUT ? 0 : fail(0, "fence status %d", status);
}

/*
 * The reset works, and nobody submits anything any more: the group that was well must go on by itself, and is watched
 * as it was before.
 */
int job_reset_goes_well(const struct options *options)
{
	struct scene scene;
	int ret;

	(void)options;
	ktap_start(3);
	ret = scene_create(&scene, 1);
	if (!ret) {
		ret = break_off(&scene);
		*scene_result(&scene, GATE) = 1;	/* in any case: the job lasts until then */
	}
	ktap_result(1, !ret, "the job that breaks off ends", last_error());
	ret = ret ?: scene_right(&scene, LASTING, 1);
	ktap_result(2, !ret, "the job of another group goes on", last_error());
	ret = ret ?: never_ends(&scene);
	ktap_result(3, !ret, "a job of that group that never ends is timed out", last_error());
	return ret ? 1 : 0;
}

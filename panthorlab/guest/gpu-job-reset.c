// SPDX-License-Identifier: GPL-2.0-or-later
/* A group that is well when the GPU is reset because of another one. */

#include "gpu-job.h"

#include <errno.h>

#include "ktap.h"

enum { LASTING = 0, BROKEN = 1, ENDLESS = 2, GATE = 8, NEVER = 9 };	/* places in the scene */
enum { REG_GATE = 0, REG_OPEN = 2 };

/* Submit a job that ends when the gate is opened, and wait until it has begun. */
static int run_until_told(struct scene *scene)
{
	const int64_t deadline = now_us() + GPU_TIMEOUT_MS * 1000LL;
	struct cs cs = scene_stream(scene, LASTING);
	unsigned int loop;
	int ret;

	scene_store(&cs, scene_result_va(scene, LASTING), 1);
	cs_move48(&cs, REG_GATE, scene_result_va(scene, GATE));
	loop = cs.count;
	cs_load32(&cs, REG_OPEN, REG_GATE);
	cs_wait(&cs, CS_SB_ALL);
	cs_branch(&cs, CS_EQUAL, REG_OPEN, loop);
	ret = scene_submit(scene, scene->group, 0, &cs, LASTING);
	while (!ret && !*scene_result(scene, LASTING)) {
		if (now_us() > deadline)
			ret = fail(-ETIME, "the job has not begun after %u ms", GPU_TIMEOUT_MS);
		sleep_us(100);
	}
	return ret;
}

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
	int ret = run_until_told(scene) ?: gpu_group_create(&scene->gpu, scene->vm, 1, &group);

	if (ret)
		return ret;
	cs = scene_stream(scene, BROKEN);
	scene_store(&cs, scene_result_va(scene, 0), 1);
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

	cs_move48(&cs, REG_GATE, scene_result_va(scene, NEVER));
	cs_move48(&cs, REG_OPEN, 0);
	cs_sync_wait64_gt(&cs, REG_GATE, REG_OPEN);
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

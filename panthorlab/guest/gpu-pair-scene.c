// SPDX-License-Identifier: GPL-2.0-or-later
/* A job that lasts as long as it is wanted to. */

#include <errno.h>
#include <sys/mman.h>

#include "gpu-pair.h"

/* Registers of the streams here; cs_tell() uses higher ones. */
enum { REG_SYNC = 0, REG_ONE = 2, REG_ZERO = 4 };

enum { HELD = 0, RELEASING = 1 };	/* places of streams, results and sync objects */

int scene_on(struct scene *scene, unsigned int gpu)
{
	gpu_choose(gpu);
	return scene_create(scene, 2);
}

/* With the file and the mappings goes all there is on the GPU. */
void scene_drop(struct scene *scene)
{
	if (scene->streams.map)
		munmap((void *)scene->streams.map, scene->streams.size);
	if (scene->results.map)
		munmap((void *)scene->results.map, scene->results.size);
	gpu_close(&scene->gpu);
}

int pair_hold(struct scene *scene)
{
	struct cs cs = scene_stream(scene, HELD);

	cs_move48(&cs, REG_SYNC, scene_result_va(scene, HELD_SYNC));
	cs_move48(&cs, REG_ZERO, 0);
	cs_sync_wait64_gt(&cs, REG_SYNC, REG_ZERO);
	cs_tell(&cs, scene_result_va(scene, HELD), HELD_VALUE);
	return scene_submit(scene, scene->group, 0, &cs, HELD);
}

/* It has not ended, neither well nor badly. */
int pair_is_held(struct scene *scene)
{
	uint32_t state, queues;
	int status, ret = gpu_fence_status(&scene->gpu, scene->syncobj[HELD], 0, &status);

	if (ret != -ETIME)
		return ret ?: fail(0, "the held job has ended, fence status %d", status);
	ret = gpu_group_state(&scene->gpu, scene->group, &state, &queues);
	return ret ?: state ? fail(0, "the group of the held job has state 0x%x", state) : 0;
}

/* Let it end, which it must do well. */
int pair_release(struct scene *scene)
{
	struct cs cs = scene_stream(scene, RELEASING);
	int ret;

	cs_move48(&cs, REG_SYNC, scene_result_va(scene, HELD_SYNC));
	cs_move48(&cs, REG_ONE, 1);
	cs_sync_add64(&cs, REG_SYNC, REG_ONE);
	cs_tell(&cs, scene_result_va(scene, RELEASING), HELD_VALUE);
	ret = scene_submit(scene, scene->group, 1, &cs, RELEASING);
	return ret ?: scene_right(scene, RELEASING, HELD_VALUE) ?: scene_right(scene, HELD, HELD_VALUE);
}

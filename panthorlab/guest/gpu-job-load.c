// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Modes busy and load: streams that count, and so keep the GPU busy for a time that is known.
 */

#include "gpu-job.h"

#include "ktap.h"

#define DONE		0xb5b5b5b5u

/* One job that counts down from @loops has ended, and has done so. */
static int count_down(struct scene *scene, uint32_t loops)
{
	struct cs cs = scene_stream(scene, 0);
	unsigned int loop;
	int ret;

	*scene_result(scene, 0) = 0;
	cs_move32(&cs, 0, loops);
	loop = cs.count;
	cs_add_imm32(&cs, 0, 0, -1);
	cs_branch(&cs, CS_GREATER, 0, loop);
	cs_tell(&cs, scene_result_va(scene, 0), DONE);
	ret = scene_submit(scene, scene->group, 0, &cs, 0);
	return ret ?: scene_right(scene, 0, DONE);
}

/* @count of them, and how long they took. */
static int count_down_often(const struct options *options, unsigned int count, const char *name)
{
	uint32_t loops = options->loops ?: 100000;
	struct scene scene;
	int64_t begin = 0;
	unsigned int i;
	int ret;

	ktap_start(1);
	ret = scene_create(&scene, 1);
	if (!ret)
		begin = now_us();
	for (i = 0; !ret && i < count; i++)
		ret = count_down(&scene, loops);
	out("# instructions %llu\n# us %lld\n", 2ull * loops * count, (long long)(now_us() - begin));
	ktap_result(1, !ret, name, last_error());
	return ret ? 1 : 0;
}

int job_busy(const struct options *options)
{
	return count_down_often(options, 1, "busy");
}

int job_load(const struct options *options)
{
	return count_down_often(options, options->count ?: 10, "load");
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two GPUs with one driver (gpu-pair.h). What is done to one GPU is done to the other as well, one after the other, for
 * what is wrong may be so for the first or the last one alone.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gpu-pair.h"
#include "ktap.h"
#include "options.h"

#define REVIVE_MS	10000
#define ASLEEP_MS	2000		/* for what takes 50 ms */
#define LINES		3		/* interrupts of a GPU at work */
#define MEANWHILE	8u		/* jobs of the other GPU without the one */

/* ---- both: each has what it has to itself ---- */

/* Of two that are there, which are no more than two. */
static int apart(void)
{
	char paths[GPU_MOST][PATH_MAX];
	struct scene scene[PAIR];
	unsigned int i;
	int ret;

	if (gpu_devices(paths) != PAIR)
		return fail(-ENODEV, "there are %u GPUs", gpu_devices(paths));
	ret = scene_on(&scene[0], 0) ?: scene_on(&scene[1], 1);
	for (i = 0; !ret && i < PAIR; i++)
		out("# info shader_cores.%u=0x%llx\n", i, (unsigned long long)scene[i].gpu.shader_cores);
	for (i = 0; !ret && i < PAIR; i++) {
		const int lines = driver_lines(i);

		if (lines != LINES)
			ret = fail(lines < 0 ? lines : 0, "GPU %u has %d interrupts", i, lines);
	}
	if (!ret) {
		scene_drop(&scene[0]);
		scene_drop(&scene[1]);
	}
	return ret;
}

/* At the same address in both, at the same time. */
static int at_once(unsigned int count)
{
	struct scene scene[PAIR];
	struct cs cs;
	unsigned int i, round;
	int ret = scene_on(&scene[0], 0) ?: scene_on(&scene[1], 1);

	for (round = 0; !ret && round < count; round++) {
		for (i = 0; !ret && i < PAIR; i++) {
			cs = scene_stream(&scene[i], round % SCENE_STREAMS);
			cs_tell(&cs, scene_result_va(&scene[i], round % SCENE_STREAMS), round << 8 | i);
			ret = scene_submit(&scene[i], scene[i].group, 0, &cs, round % SCENE_STREAMS);
		}
		for (i = 0; !ret && i < PAIR; i++)
			ret = scene_right(&scene[i], round % SCENE_STREAMS, round << 8 | i);
	}
	if (!ret) {
		scene_drop(&scene[0]);
		scene_drop(&scene[1]);
	}
	return ret;
}

/* One goes to sleep while the other has no rest. */
static int sleeps_alone(unsigned int gpu)
{
	const int64_t deadline = now_us() + ASLEEP_MS * 1000LL;
	char status[32] = "";
	struct gpu asleep = { .fd = -1 };
	struct load load = { .pid = -1 };
	int ret;

	gpu_choose(gpu);
	ret = job_on(gpu) ?: gpu_open(&asleep) ?: load_start(&load, !gpu);
	while (!ret && strcmp(status, "suspended")) {
		ret = load_goes_on(&load, 1) ?: gpu_runtime_status(&asleep, status, sizeof(status));
		if (!ret && now_us() > deadline)
			ret = fail(-ETIME, "GPU %u is %s while only the other one has work", gpu, status);
	}
	ret = load_end(&load, ret ?: job_on(gpu));
	gpu_close(&asleep);
	return ret;
}

int pair_both(unsigned int count)
{
	int ret;

	ktap_start(4);
	ret = apart();
	ktap_check(ret, "each has its own device");
	ktap_check(ret ?: at_once(count), "jobs of both at once");
	ktap_check(ret ?: sleeps_alone(0), "the first sleeps while the second works");
	ktap_check(ret ?: sleeps_alone(1), "the second sleeps while the first works");
	return ktap_status();
}

/* ---- unbind: the driver is taken off one while the other works ---- */

static int lines_are(unsigned int gpu, int expected)
{
	const int lines = driver_lines(gpu);

	return lines == expected ? 0 : fail(lines < 0 ? lines : 0, "GPU %u has %d interrupts", gpu, lines);
}

/* @busy: what goes is at work, too. */
static int unbind_one(unsigned int gpu, bool busy, unsigned int count)
{
	struct load other = { .pid = -1 }, own = { .pid = -1 };
	unsigned int i;
	int ret = load_start(&other, !gpu);

	for (i = 0; !ret && i < count; i++) {
		if (busy)
			ret = load_start(&own, gpu);
		ret = ret ?: driver_off(gpu) ?: lines_are(gpu, 0) ?: lines_are(!gpu, LINES);
		ret = ret ?: load_goes_on(&other, MEANWHILE);
		if (busy)
			load_kill(&own);
		ret = ret ?: driver_on(gpu) ?: lines_are(gpu, LINES) ?: lines_are(!gpu, LINES);
		ret = ret ?: job_on(gpu) ?: load_goes_on(&other, 2);
	}
	return load_end(&other, ret);
}

int pair_unbind(unsigned int count)
{
	int ret = 0;
	unsigned int gpu;

	ktap_start(2 * PAIR);
	for (gpu = 0; gpu < PAIR; gpu++) {
		ret = ret ?: unbind_one(gpu, false, count);
		ktap_check(ret, "GPU %u goes while the other works", gpu);
		ret = ret ?: unbind_one(gpu, true, count);
		ktap_check(ret, "GPU %u goes at work while the other works", gpu);
	}
	return ktap_status();
}

/* ---- reset: the first GPU breaks at its next job, as it was told to; the second must not notice ---- */

/* The job that breaks it: its end is not a good one. */
static int break_down(void)
{
	struct scene scene;
	struct cs cs;
	int status = 0, ret = scene_on(&scene, 0);

	if (ret)
		return ret;
	cs = scene_stream(&scene, 0);
	cs_tell(&cs, scene_result_va(&scene, 0), HELD_VALUE);
	ret = scene_submit(&scene, scene.group, 0, &cs, 0);
	ret = ret ?: gpu_fence_status(&scene.gpu, scene.syncobj[0], GPU_TIMEOUT_MS, &status);
	scene_drop(&scene);
	out("# info status=%d\n", status);
	return ret ?: status == 1 ? fail(0, "the job that was to break the GPU is right") : 0;
}

/* Groups that are made while the firmware is loaded again fail. */
static int revives(unsigned int gpu)
{
	const int64_t deadline = now_us() + REVIVE_MS * 1000LL;
	int ret = job_on(gpu);

	while (ret && now_us() < deadline)
		ret = job_on(gpu);
	return ret;
}

/* On the second GPU: a group that is blocked, and one that runs jobs. A reset of it would end both badly. */
int pair_reset(unsigned int count)
{
	struct load load = { .pid = -1 };
	struct scene held;
	int ret;

	(void)count;
	ktap_start(3);
	ret = scene_on(&held, 1) ?: load_start(&load, 1) ?: pair_hold(&held);
	ret = ret ?: load_goes_on(&load, 2) ?: pair_is_held(&held) ?: break_down();
	ktap_check(ret, "the first GPU breaks");
	ret = ret ?: revives(0);
	ktap_check(ret, "the first GPU works again");
	ret = load_end(&load, ret ?: load_goes_on(&load, MEANWHILE) ?: pair_is_held(&held) ?: pair_release(&held));
	ktap_check(ret, "the second GPU has noticed nothing");
	return ktap_status();
}

static const struct {
	const char *name;
	int (*run)(unsigned int count);
} modes[] = {
	{ "both", pair_both }, { "unbind", pair_unbind }, { "reset", pair_reset }, { "buffers", pair_buffers },
	{ "holes", pair_holes },
	{ "fences", pair_fences }, { "fence-gone", pair_fence_gone }, { "fence-lost", pair_fence_lost },
	{ "fence-failed", pair_fence_failed },
};

static void usage(FILE *stream)
{
	fputs("usage: gpu-pair --mode both|unbind|reset|buffers|holes|fences [--count N]\n"
	      "       gpu-pair --mode fence-gone|fence-lost|fence-failed\n", stream);
}

int main(int argc, char **argv)
{
	unsigned int count = 4;
	const char *mode = "";
	const struct program_option options[] = {
		{ "mode", .word = &mode },
		{ "count", .number = &count, .least = 1, .most = 100000 },
		{ 0 }
	};

	read_options(argc, argv, options, usage);
	return CHOOSE_MODE(modes, mode, usage)->run(count);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What fdinfo tells of the jobs of a file: time and cycles, if the driver was told to look at them.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu-files.h"
#include "gpu-later-usage.h"
#include "ktap.h"

#define CYCLES		1u	/* bits of `profiling` */
#define TIME		2u
#define HOLD_US		10000
#define LONG_JOBS	24u
#define SETTLE_US	2000000	/* until a job that has ended is accounted for */

enum { JOB = 2, GATE = 5 };	/* places in the scene */

static int profiling_write(const struct gpu *gpu, const char *text)
{
	char path[GPU_PATH_SIZE];

	return gpu_sysfs(gpu, "profiling", path) ?: write_text(path, text);
}

static int profiling_is(const struct gpu *gpu, unsigned int mask)
{
	char path[GPU_PATH_SIZE], text[16] = "";
	int ret = gpu_sysfs(gpu, "profiling", path) ?: read_text(path, text, sizeof(text));

	return ret ?: *text && strtoul(text, NULL, 0) == mask ? 0 : fail(0, "profiling is %s instead of %u", text, mask);
}

static int profiling(const struct gpu *gpu, unsigned int mask)
{
	char text[16];

	snprintf(text, sizeof(text), "%u\n", mask);
	return profiling_write(gpu, text) ?: profiling_is(gpu, mask);
}

/* A job that runs until its gate is opened, HOLD_US later at least. @most_us: and that is all that it took. */
static int hold(struct scene *scene, int64_t *most_us)
{
	int64_t since = now_us();
	int status, ret = scene_hold(scene, JOB, GATE);

	sleep_us(HOLD_US);
	*scene_result(scene, GATE) = 1;
	ret = ret ?: gpu_fence_status(&scene->gpu, scene->syncobj[JOB], GPU_TIMEOUT_MS, &status);
	*most_us = now_us() - since;
	return ret ?: status == 1 ? 0 : fail(0, "a job that lasts: fence status %d", status);
}

/* The driver adds a job up some time after its fence. */
static int look_until_more(struct gpu *gpu, const struct usage *before, struct usage *after)
{
	int64_t deadline = now_us() + SETTLE_US;
	int ret;

	do {
		ret = usage_look(gpu, after);
	} while (!ret && after->ns <= before->ns && after->cycles <= before->cycles && now_us() < deadline);
	return ret;
}

/* One job with @mask: what is asked for grows by as much as the job took, what is not is not told. */
static int grows(struct later *later, unsigned int mask)
{
	struct gpu *gpu = &later->scene.gpu;
	struct usage before, after;
	int64_t most_us;
	int ret = profiling(gpu, mask) ?: usage_look(gpu, &before) ?: hold(&later->scene, &most_us) ?:
		  look_until_more(gpu, &before, &after);
	long long ns = after.ns - before.ns;

	if (ret)
		return ret;
	if ((after.ns >= 0) != !!(mask & TIME) || (after.cycles >= 0) != !!(mask & CYCLES))
		return fail(0, "mask %u: %lld ns and %lld cycles are told", mask, after.ns, after.cycles);
	if (mask & TIME && (ns < HOLD_US * 1000LL || ns > most_us * 1000))
		return fail(0, "mask %u: %lld ns of a job of %d to %lld us", mask, ns, HOLD_US, (long long)most_us);
	if (mask & CYCLES && after.cycles <= before.cycles)
		return fail(0, "mask %u: %lld cycles, then %lld", mask, before.cycles, after.cycles);
	return 0;
}

static int time_and_cycles(struct later *later)
{
	return grows(later, TIME | CYCLES);
}

static int time_alone(struct later *later)
{
	return grows(later, TIME);
}

static int cycles_alone(struct later *later)
{
	return grows(later, CYCLES);
}

/* Nothing is told, and nothing was counted in secret. */
static int switched_off(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu;
	struct usage before, after;
	int64_t most_us;
	int ret = profiling(gpu, TIME | CYCLES) ?: usage_look(gpu, &before) ?: profiling(gpu, 0);

	ret = ret ?: hold(&later->scene, &most_us) ?: usage_look(gpu, &after);
	if (!ret && (after.ns >= 0 || after.cycles >= 0))
		ret = fail(0, "%lld ns and %lld cycles are told", after.ns, after.cycles);
	/* When the next job is accounted for, the last one would be. */
	ret = ret ?: profiling(gpu, TIME | CYCLES) ?: hold(&later->scene, &most_us) ?: look_until_more(gpu, &before, &after);
	if (!ret && after.ns - before.ns > most_us * 1000)
		ret = fail(0, "%lld ns after a job of %lld us", after.ns - before.ns, (long long)most_us);
	return ret;
}

/* A file that had no jobs has used nothing, and one that had has used no more when another one works. */
static int of_this_file(struct later *later)
{
	static struct scene idle;
	struct gpu *gpu = &later->scene.gpu;
	struct usage before, after, others, its_own;
	int64_t most_us;
	int ret = profiling(gpu, TIME | CYCLES) ?: scene_create(&idle, 1) ?: usage_look(gpu, &before);

	ret = ret ?: hold(&later->scene, &most_us) ?: look_until_more(gpu, &before, &after) ?: usage_look(&idle.gpu, &others);
	if (!ret && (others.ns || others.cycles))
		ret = fail(0, "a file without jobs has used %lld ns, %lld cycles", others.ns, others.cycles);
	ret = ret ?: hold(&idle, &most_us) ?: look_until_more(&idle.gpu, &others, &its_own) ?: usage_look(gpu, &before);
	if (!ret && (its_own.ns < HOLD_US * 1000LL || !its_own.cycles))
		ret = fail(0, "a job of the other file: %lld ns, %lld cycles", its_own.ns, its_own.cycles);
	if (!ret && (before.ns != after.ns || before.cycles != after.cycles))
		ret = fail(0, "%lld ns and %lld cycles more by a job of another file", before.ns - after.ns,
			   before.cycles - after.cycles);
	gpu_close(&idle.gpu);
	return ret;
}

static int wrong_masks(struct later *later)
{
	static const char *const wrong[] = { "4\n", "7\n", "-1\n", "0xffffffff\n", "4294967297\n", "on\n", "\n", "1 2\n" };
	struct gpu *gpu = &later->scene.gpu;
	size_t i;
	int ret = profiling(gpu, CYCLES) ?: profiling_write(gpu, "0x2") ?: profiling_is(gpu, TIME);

	for (i = 0; !ret && i < LATER_COUNT(wrong); i++) {
		if (!profiling_write(gpu, wrong[i]))
			ret = fail(0, "%.*s is taken", (int)strcspn(wrong[i], "\n"), wrong[i]);
		ret = ret ?: profiling_is(gpu, TIME);
	}
	return ret;
}

int later_usage(void)
{
	static const struct later_check checks[] = {
		{ "wrong values of profiling", wrong_masks },
		{ "time and cycles of a job", time_and_cycles },
		{ "time alone", time_alone },
		{ "cycles alone", cycles_alone },
		{ "nothing is counted when nobody looks", switched_off },
		{ "of this file", of_this_file },
	};
	struct gpu gpu;
	char path[GPU_PATH_SIZE];
	bool told;
	int ret = gpu_open(&gpu) ?: gpu_sysfs(&gpu, "profiling", path) ?: usage_told(&gpu, &told);

	if (!ret && !told && access(path, F_OK)) {
		ktap_start(1);
		out("ok 1 usage # SKIP the driver has no file `profiling` in sysfs\n");
		out_flush();
		return 0;
	}
	ret = LATER_RUN("usage", 0, "profiling", checks);
	if (profiling(&gpu, 0))
		ret = 1;
	gpu_close(&gpu);
	return ret;
}

/*
 * However much it is, it goes up. A counter of 24 MHz is beyond 2^64 ns / s after 768 s of jobs; this takes less if the
 * GPU's is faster (docs/findings), so no suite does it.
 */
static int goes_up(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu;
	struct usage before, after;
	unsigned int job;
	int64_t most_us;
	int ret = profiling(gpu, TIME) ?: usage_look(gpu, &before);

	for (job = 0; !ret && job < LONG_JOBS; job++) {
		ret = hold(&later->scene, &most_us) ?: look_until_more(gpu, &before, &after);
		out("# info ns%u=%lld\n", job, after.ns);
		if (!ret && after.ns < before.ns)
			ret = fail(0, "%lld ns, and with another job %lld ns", before.ns, after.ns);
		before = after;
	}
	return profiling(gpu, 0) ?: ret;
}

/* What a group has used is its file's, also if nobody has looked before the group went. */
static int group_gone(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu;
	struct usage before, after;
	int64_t most_us;
	int ret = profiling(gpu, TIME) ?: usage_look(gpu, &before) ?: hold(&later->scene, &most_us);

	/* The driver is done with the job when it has added it up: the GPU goes to sleep. */
	ret = ret ?: gpu_wait_suspended(gpu, SUSPEND_MS) ?: gpu_group_destroy(gpu, later->scene.group);
	ret = ret ?: gpu_group_create(gpu, later->scene.vm, 1, &later->scene.group) ?: usage_look(gpu, &after);
	if (!ret && after.ns - before.ns < HOLD_US * 1000LL)
		ret = fail(0, "%lld ns of a job of %d us", after.ns - before.ns, HOLD_US);
	return profiling(gpu, 0) ?: ret;
}

int later_usage_long(void)
{
	static const struct later_check checks[] = {
		{ "jobs of a group that has gone count", group_gone },
		{ "the time of jobs goes up", goes_up },
	};

	return LATER_RUN("usage-long", 2, "profiling", checks);
}

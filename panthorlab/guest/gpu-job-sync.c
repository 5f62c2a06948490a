// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Jobs that wait: for another queue, over a suspend of the GPU, and for heap memory.
 */

#include "gpu-job.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "ktap.h"
#include "sentinel.h"
#include "util.h"

/* Registers of the streams here; cs_tell() uses higher ones. */
enum { REG_SYNC = 0, REG_ONE = 2, REG_ZERO = 4, REG_KEPT = 6, REG_HEAP = 8 };

enum { RESULT_FIRST = 0, RESULT_SECOND = 1, ARRIVED = 2, LASTING = 3, SYNC_A = 8, SYNC_B = 9, GATE = 10 };

#define KEPT	0x5afe0123u
#define GIVEN_UP_MS	30000		/* the driver gives a job up after 5 s */
#define FENCE_IRQ	"/sys/kernel/debug/panthor_pci_shim/fence_irq"

static void sync_add(struct cs *cs, uint64_t va)
{
	cs_move48(cs, REG_SYNC, va);
	cs_move48(cs, REG_ONE, 1);
	cs_sync_add64(cs, REG_SYNC, REG_ONE);
}

static void sync_wait(struct cs *cs, uint64_t va)
{
	cs_move48(cs, REG_SYNC, va);
	cs_move48(cs, REG_ZERO, 0);
	cs_sync_wait64_gt(cs, REG_SYNC, REG_ZERO);
}

/* Queue 1 waits for A, which queue 0 adds to before it waits for B, which queue 1 adds to. */
int job_sync_wait(const struct options *options)
{
	struct scene scene;
	struct cs cs[2];
	int ret;

	(void)options;
	ktap_start(1);
	ret = scene_create(&scene, 2);
	if (!ret) {
		cs[1] = scene_stream(&scene, RESULT_SECOND);
		sync_wait(&cs[1], scene_result_va(&scene, SYNC_A));
		sync_add(&cs[1], scene_result_va(&scene, SYNC_B));
		cs_tell(&cs[1], scene_result_va(&scene, RESULT_SECOND), 0x22222222);
		cs[0] = scene_stream(&scene, RESULT_FIRST);
		sync_add(&cs[0], scene_result_va(&scene, SYNC_A));
		sync_wait(&cs[0], scene_result_va(&scene, SYNC_B));
		cs_tell(&cs[0], scene_result_va(&scene, RESULT_FIRST), 0x11111111);
		ret = scene_submit(&scene, scene.group, 1, &cs[1], RESULT_SECOND);
	}
	if (!ret)
		ret = scene_submit(&scene, scene.group, 0, &cs[0], RESULT_FIRST);
	if (!ret)
		ret = scene_right(&scene, RESULT_FIRST, 0x11111111);
	if (!ret)
		ret = scene_right(&scene, RESULT_SECOND, 0x22222222);
	ktap_result(1, !ret, "sync-wait", last_error());
	return ret ? 1 : 0;
}

/* The shim asks: what a fence's lock must bear, and only lockdep sees if it does. */
int job_fence_irq(const struct options *options)
{
	struct scene scene;
	struct cs cs;
	FILE *ask;
	int ret, fd;

	(void)options;
	ktap_start(1);
	ret = scene_create(&scene, 1);
	if (!ret) {
		cs = scene_stream(&scene, RESULT_FIRST);
		cs_tell(&cs, scene_result_va(&scene, RESULT_FIRST), KEPT);
		ret = scene_submit(&scene, scene.group, 0, &cs, RESULT_FIRST);
	}
	if (!ret)
		ret = scene_right(&scene, RESULT_FIRST, KEPT);
	if (!ret)
		ret = gpu_sync_file(&scene.gpu, scene.syncobj[RESULT_FIRST], &fd);
	if (!ret) {
		ask = fopen(FENCE_IRQ, "w");
		if (!ask || fprintf(ask, "%d", fd) < 0 || fflush(ask))
			ret = fail(-errno, FENCE_IRQ);
		if (ask)
			fclose(ask);
		close(fd);
	}
	ktap_result(1, !ret, "fence-irq", last_error());
	return ret ? 1 : 0;
}

/* The stream must be blocked now, and the GPU must go to sleep over it. */
static int blocked_and_suspended(struct scene *scene)
{
	int status;
	int ret = gpu_wait_suspended(&scene->gpu, SUSPEND_MS);

	if (ret)
		return ret;
	ret = gpu_fence_status(&scene->gpu, scene->syncobj[RESULT_FIRST], 0, &status);
	if (ret == -ETIME)
		return 0;
	return ret ?: fail(0, "the blocked job has ended, fence status %d", status);
}

/*
 * The driver looks at the sync object of a blocked group when any group reports a sync update, so
 * a job of another group makes it see what the CPU wrote.
 */
static int release(struct scene *scene, uint32_t group)
{
	struct cs cs = scene_stream(scene, RESULT_SECOND);
	int ret;

	*scene_result(scene, SYNC_A) = 1;
	cs_tell(&cs, scene_result_va(scene, RESULT_SECOND), 0x33333333);
	ret = scene_submit(scene, group, 0, &cs, RESULT_SECOND);
	return ret ?: scene_right(scene, RESULT_SECOND, 0x33333333);
}

int job_resume_state(const struct options *options)
{
	struct scene scene;
	uint32_t other;
	struct cs cs;
	int ret;

	(void)options;
	ktap_start(2);
	ret = scene_create(&scene, 1);
	if (!ret)
		ret = gpu_group_create(&scene.gpu, scene.vm, 1, &other);
	if (!ret) {
		cs = scene_stream(&scene, RESULT_FIRST);
		cs_move32(&cs, REG_KEPT, KEPT);
		sync_wait(&cs, scene_result_va(&scene, SYNC_A));
		cs_move48(&cs, REG_SYNC, scene_result_va(&scene, RESULT_FIRST));
		cs_store32(&cs, REG_SYNC, REG_KEPT);
		cs_wait(&cs, CS_SB_ALL);
		ret = scene_submit(&scene, scene.group, 0, &cs, RESULT_FIRST);
	}
	if (!ret)
		ret = blocked_and_suspended(&scene);
	ktap_result(1, !ret, "GPU suspends over a blocked stream", last_error());
	if (!ret) {
		ret = release(&scene, other);
		if (!ret)
			ret = scene_right(&scene, RESULT_FIRST, KEPT);
	} else {
		fail(0, "not tried");
	}
	ktap_result(2, !ret, "the stream goes on with its registers", last_error());
	return ret ? 1 : 0;
}

/* In a group of its own: reach the wait, which is as good as blocked, for SYNC_A. */
static int block(struct scene *scene, unsigned int index)
{
	int64_t deadline = now_us() + GIVEN_UP_MS * 1000LL;
	uint32_t group;
	struct cs cs;
	int ret = gpu_group_create(&scene->gpu, scene->vm, 1, &group);

	if (ret)
		return ret;
	*scene_result(scene, SYNC_A) = 0;
	*scene_result(scene, ARRIVED) = 0;
	cs = scene_stream(scene, index);
	cs_tell(&cs, scene_result_va(scene, ARRIVED), KEPT);
	sync_wait(&cs, scene_result_va(scene, SYNC_A));
	ret = scene_submit(scene, group, 0, &cs, index);
	while (!ret && *scene_result(scene, ARRIVED) != KEPT) {
		if (now_us() > deadline)
			ret = fail(-ETIME, "the stream does not get to its wait");
		sleep_us(100);
	}
	return ret;
}

/* The CPU writes what the stream waits for, and nobody rings. What the fence says then is told. */
static int write_late(struct scene *scene, unsigned int index, const char *when)
{
	int status, ret;

	*scene_result(scene, SYNC_A) = 1;
	ret = gpu_fence_status(&scene->gpu, scene->syncobj[index], GIVEN_UP_MS, &status);
	if (ret)
		return ret;
	out("# info %s=%d\n", when, status);
	return status == 1 || status == -ETIMEDOUT ? 0 : fail(0, "fence status %d", status);
}

/*
 * No event makes the driver look at what a sleeping group waits for when the CPU writes it, so the
 * job may end by success or by the driver's time-out: which, is a question to GPUs. The driver lets a
 * GPU of which all groups wait go to sleep at once, if its last resume was long ago: so first one works.
 */
int job_late_write(const struct options *options)
{
	struct scene scene;
	int ret;

	(void)options;
	ktap_start(2);
	ret = scene_create(&scene, 1) ?: scene_hold(&scene, LASTING, GATE);
	if (!ret)
		ret = block(&scene, RESULT_FIRST);
	if (!ret)
		ret = write_late(&scene, RESULT_FIRST, "awake");
	if (!ret)
		*scene_result(&scene, GATE) = 1;
	ktap_result(1, !ret, "written while the GPU is awake", last_error());
	if (!ret)
		ret = block(&scene, RESULT_SECOND);
	if (!ret)
		ret = gpu_wait_suspended(&scene.gpu, SUSPEND_MS);
	if (!ret)
		ret = write_late(&scene, RESULT_SECOND, "asleep");
	ktap_result(2, !ret, "written while the GPU sleeps", last_error());
	return ret ? 1 : 0;
}

/* One render pass with @tilings tiler jobs. What they draw does not matter. */
static void write_render_pass(struct scene *scene, struct cs *cs, const struct gpu_heap *heap,
			      unsigned int tilings, unsigned int index)
{
	cs_move48(cs, REG_HEAP, heap->context_va);
	cs_heap_set(cs, REG_HEAP);
	cs_req_resource(cs, CS_RESOURCE_TILER | CS_RESOURCE_IDVS);
	cs_heap_operation(cs, CS_VERTEX_TILER_STARTED);
	while (tilings--)
		cs_run_tiling(cs);
	cs_finish_tiling(cs);
	cs_wait(cs, CS_SB_ALL);
	cs_req_resource(cs, 0);
	cs_heap_operation(cs, CS_VERTEX_TILER_COMPLETED);
	cs_heap_operation(cs, CS_FRAGMENT_COMPLETED);
	cs_tell(cs, scene_result_va(scene, index), 0x44440000 + index);
}

/* Runs a pass in a group of its own on a heap that may grow to @max_chunks. */
static int render_pass(struct scene *scene, unsigned int tilings, unsigned int max_chunks,
		       unsigned int index)
{
	struct gpu_heap heap;
	uint32_t group;
	struct cs cs;
	int ret;

	ret = gpu_heap_create(&scene->gpu, scene->vm, 1, 128 * 1024, max_chunks, &heap);
	if (!ret)
		ret = gpu_group_create(&scene->gpu, scene->vm, 1, &group);
	if (ret)
		return ret;
	cs = scene_stream(scene, index);
	write_render_pass(scene, &cs, &heap, tilings, index);
	ret = scene_submit(scene, group, 0, &cs, index);
	return ret ?: scene_right(scene, index, 0x44440000 + index);
}

/*
 * A heap that may grow lets the pass finish; one that may not makes it fail, and only it. On a GPU
 * whose tiler takes no chunks for these jobs both succeed, and nothing was tested.
 */
int job_oom(const struct options *options)
{
	unsigned int tilings = options->count ?: 6;
	char why[192] = "";
	struct scene scene;
	bool grows, fails, works;

	ktap_start(3);
	if (tilings > SCENE_STREAM / 16)
		tilings = SCENE_STREAM / 16;
	grows = !scene_create(&scene, 1) && !render_pass(&scene, tilings, tilings + 1, 0);
	if (!grows) {
		ktap_result(1, false, "a heap that may grow", last_error());
		return 1;
	}
	fails = render_pass(&scene, tilings, 1, 1) != 0;
	if (fails)
		out("# exhausted heap: %s\n", last_error());
	ktap_result(1, true, fails ? "a heap that may grow" :
		    "a heap that may grow # SKIP the tiler takes no chunks", "");
	ktap_result(2, true, fails ? "a heap that may not" :
		    "a heap that may not # SKIP the tiler takes no chunks", "");
	works = sentinel_run(why, sizeof(why));
	ktap_result(3, works, "a fresh process works", why);
	return works ? 0 : 1;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Modes long-stream, wrap and calls: as much of each as clients have and no other job here. Streams of a page and of
 * several, more jobs in a row than a ring buffer has room for twice over, streams that call each other as deep as they may.
 */

#include "gpu-job.h"

#include <errno.h>

#include "ktap.h"

#define LONG_VA		0x2000000ull	/* of a buffer for streams */
#define LONG_PAGES	20u
#define JOB		128u		/* bytes of a stream of `wrap` */
#define JOBS		600u
#define AT_ONCE		8u		/* jobs of one submission */
#define DEPTH		7u		/* streams, of which the ring calls the first: eight levels */

enum { REG_ADDR = 0, REG_COUNT = 2, REG_OTHER = 3, REG_LENGTH = 4, REG_WORD = 5, REG_SYNC = 6, REG_ZERO = 8 };
enum { COUNT = 8, WRONG = 9, SYNC = 10, DOWN = 11, UP = DOWN + DEPTH };	/* results */

static int buffer_create(struct scene *scene, struct gpu_bo *bo)
{
	return gpu_bo_create(&scene->gpu, scene->vm, LONG_VA, LONG_PAGES * GPU_PAGE,
			     DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC, bo);
}

static struct cs stream_at(const struct gpu_bo *bo, size_t offset, size_t size)
{
	return (struct cs){ .words = (volatile uint64_t *)((char *)bo->map + offset), .capacity = size / 8 };
}

/* A stream of so many instructions adds one as often as there is room for. */
static int counts(struct scene *scene, const struct gpu_bo *bo, unsigned int instructions)
{
	struct gpu_job job = { .va = bo->va, .size = instructions * 8, .syncobj = scene->syncobj[0] };
	struct cs cs = stream_at(bo, 0, job.size);
	unsigned int i, adds;
	int ret;

	cs_move32(&cs, REG_COUNT, 0);
	adds = instructions - cs.count - 10;	/* the ten that are behind them */
	for (i = 0; i < adds; i++)
		cs_add_imm32(&cs, REG_COUNT, REG_COUNT, 1);
	cs_move48(&cs, REG_ADDR, scene_result_va(scene, COUNT));
	cs_store32(&cs, REG_ADDR, REG_COUNT);
	cs_wait(&cs, CS_SB_ALL);
	cs_tell(&cs, scene_result_va(scene, 0), instructions);
	if (cs.count != instructions)
		return fail(0, "%u instructions were written, not %u", cs.count, instructions);
	ret = gpu_submit(&scene->gpu, scene->group, &job, 1) ?: scene_right(scene, 0, instructions);
	if (!ret && *scene_result(scene, COUNT) != adds)
		ret = fail(0, "a stream of %u instructions counts to %u, not to %u", instructions,
			   *scene_result(scene, COUNT), adds);
	return ret;
}

int job_long_stream(const struct options *options)
{
	static const unsigned int sizes[] = { 512, 513, 4000, 8192 };
	struct scene scene;
	struct gpu_bo bo;
	unsigned int i;
	int ret = scene_create(&scene, 1) ?: buffer_create(&scene, &bo);

	(void)options;
	ktap_start(sizeof(sizes) / sizeof(sizes[0]));
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		ktap_check(ret ?: counts(&scene, &bo, sizes[i]), "a stream of %u instructions", sizes[i]);
	return ktap_status();
}

/* Counts on, if as many jobs were before it as had to be. */
static void next(struct scene *scene, const struct gpu_bo *bo, unsigned int number)
{
	struct cs cs = stream_at(bo, number * JOB, JOB);

	cs_move48(&cs, REG_ADDR, scene_result_va(scene, COUNT));
	cs_load32(&cs, REG_COUNT, REG_ADDR);
	cs_wait(&cs, CS_SB_ALL);
	cs_add_imm32(&cs, REG_OTHER, REG_COUNT, -(int32_t)number);
	cs_branch(&cs, CS_EQUAL, REG_OTHER, cs.count + 4);
	cs_move48(&cs, REG_SYNC, scene_result_va(scene, WRONG));
	cs_move32(&cs, REG_WORD, number + 1);
	cs_store32(&cs, REG_SYNC, REG_WORD);
	cs_add_imm32(&cs, REG_COUNT, REG_COUNT, 1);
	cs_store32(&cs, REG_ADDR, REG_COUNT);
	cs_wait(&cs, CS_SB_ALL);
	while (cs.count < cs.capacity)
		cs_emit(&cs, CS_NOP);
}

/* All are submitted as fast as can be, and none of their fences is asked for but the last. */
static int submit_all(struct scene *scene, const struct gpu_bo *bo)
{
	struct gpu_job jobs[AT_ONCE];
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < JOBS; i++) {
		next(scene, bo, i);
		jobs[i % AT_ONCE] = (struct gpu_job){ .va = bo->va + i * JOB, .size = JOB };
		if (i % AT_ONCE == AT_ONCE - 1)
			ret = gpu_submit(&scene->gpu, scene->group, jobs, AT_ONCE);
	}
	return ret;
}

int job_wrap(const struct options *options)
{
	struct scene scene;
	struct gpu_bo bo;
	struct cs cs;
	int ret = scene_create(&scene, 1) ?: buffer_create(&scene, &bo) ?: submit_all(&scene, &bo);

	(void)options;
	ktap_start(1);
	if (!ret) {
		cs = scene_stream(&scene, 0);
		cs_tell(&cs, scene_result_va(&scene, 0), JOBS);
		ret = scene_submit(&scene, scene.group, 0, &cs, 0) ?: scene_right(&scene, 0, JOBS);
	}
	if (!ret && (*scene_result(&scene, COUNT) != JOBS || *scene_result(&scene, WRONG)))
		ret = fail(0, "%u of %u jobs have counted; out of their turn was %u", *scene_result(&scene, COUNT), JOBS,
			   *scene_result(&scene, WRONG));
	ktap_check(ret, "%u jobs of one queue, each once and in its turn", JOBS);
	return ktap_status();
}

static void store(struct cs *cs, struct scene *scene, unsigned int result, uint32_t value)
{
	cs_move48(cs, REG_ADDR, scene_result_va(scene, result));
	cs_move32(cs, REG_WORD, value);
	cs_store32(cs, REG_ADDR, REG_WORD);
	cs_wait(cs, CS_SB_ALL);
}

static void add_one(struct cs *cs, struct scene *scene, unsigned int result)
{
	cs_move48(cs, REG_ADDR, scene_result_va(scene, result));
	cs_load32(cs, REG_COUNT, REG_ADDR);
	cs_wait(cs, CS_SB_ALL);
	cs_add_imm32(cs, REG_COUNT, REG_COUNT, 1);
	cs_store32(cs, REG_ADDR, REG_COUNT);
	cs_wait(cs, CS_SB_ALL);
}

/* Stream @level is called by the one before it, and calls the next; the last one waits. The first one counts its beginnings. */
static struct cs level(struct scene *scene, const struct gpu_bo *bo, unsigned int level, uint32_t callee)
{
	struct cs cs = stream_at(bo, level * GPU_PAGE, GPU_PAGE);

	if (!level)
		add_one(&cs, scene, COUNT);
	store(&cs, scene, DOWN + level, 0xd0 + level);
	if (level < DEPTH - 1) {
		cs_move48(&cs, REG_ADDR, bo->va + (level + 1) * GPU_PAGE);
		cs_move32(&cs, REG_LENGTH, callee);
		cs_emit(&cs, CS_CALL | CS_CALL_ADDR(REG_ADDR) | CS_CALL_LENGTH(REG_LENGTH));
	} else {
		cs_move48(&cs, REG_SYNC, scene_result_va(scene, SYNC));
		cs_move48(&cs, REG_ZERO, 0);
		cs_sync_wait64_gt(&cs, REG_SYNC, REG_ZERO);
	}
	store(&cs, scene, UP + level, 0xe0 + level);
	if (!level)
		cs_tell(&cs, scene_result_va(scene, 0), DEPTH);
	return cs;
}

/* Whether all streams have got to their call, and none has returned; or all have. */
static int levels(struct scene *scene, bool returned)
{
	unsigned int i;

	for (i = 0; i < DEPTH; i++)
		if (*scene_result(scene, DOWN + i) != 0xd0 + i || *scene_result(scene, UP + i) != (returned ? 0xe0 + i : 0))
			return fail(0, "level %u: 0x%x before its call, 0x%x behind it", i, *scene_result(scene, DOWN + i),
				    *scene_result(scene, UP + i));
	if (*scene_result(scene, COUNT) != 1)
		return fail(0, "the outermost stream has begun %u times", *scene_result(scene, COUNT));
	return 0;
}

/* Until the innermost stream waits: before, a GPU that sleeps is one that has not woken up yet. */
static int wait_innermost(struct scene *scene)
{
	const int64_t deadline = now_us() + GPU_TIMEOUT_MS * 1000LL;

	while (!*scene_result(scene, DOWN + DEPTH - 1)) {
		if (now_us() > deadline)
			return fail(-ETIME, "the innermost stream has not begun after %u ms", GPU_TIMEOUT_MS);
		sleep_us(100);
	}
	return 0;
}

/* A job of another group adds to what the innermost stream waits for. */
static int release(struct scene *scene, uint32_t group)
{
	struct cs cs = scene_stream(scene, 1);

	cs_move48(&cs, REG_SYNC, scene_result_va(scene, SYNC));
	cs_move48(&cs, REG_ZERO, 1);
	cs_sync_add64(&cs, REG_SYNC, REG_ZERO);
	cs_tell(&cs, scene_result_va(scene, 1), DEPTH);
	return scene_submit(scene, group, 0, &cs, 1) ?: scene_right(scene, 1, DEPTH);
}

int job_calls(const struct options *options)
{
	struct scene scene;
	struct gpu_job job = { .va = LONG_VA };
	uint32_t other;
	struct gpu_bo bo;
	unsigned int i;
	int ret = scene_create(&scene, 1) ?: buffer_create(&scene, &bo);

	(void)options;
	ktap_start(2);
	ret = ret ?: gpu_group_create(&scene.gpu, scene.vm, 1, &other);
	for (i = DEPTH; !ret && i--; ) {
		struct cs cs = level(&scene, &bo, i, job.size);

		job.size = cs_size(&cs);
	}
	job.syncobj = scene.syncobj[0];
	ret = ret ?: gpu_submit(&scene.gpu, scene.group, &job, 1) ?: wait_innermost(&scene);
	ret = ret ?: gpu_wait_suspended(&scene.gpu, SUSPEND_MS);
	ktap_check(ret ?: levels(&scene, false), "the GPU sleeps while a stream waits, eight levels deep");
	ret = ret ?: release(&scene, other) ?: scene_right(&scene, 0, DEPTH) ?: levels(&scene, true);
	ktap_check(ret, "it returns through all of them");
	return ktap_status();
}

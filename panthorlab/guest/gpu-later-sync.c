// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * BO_SYNC: what the CPU has written comes to the GPU, and the other way round. Only a real board has caches in which
 * something is left behind.
 */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu-later.h"

#define NO_SUCH		0x7777u
#define NOWHERE_PTR	0x10ull		/* no address of a process */
#define WB_VA		0x5000000ull

/* A write-back buffer of LATER_BO_SIZE, mapped at WB_VA. */
static uint32_t wb_handle;
static volatile uint32_t *wb_words;

static int sync_ops(struct later *later, const struct later_bo_sync_op *ops, unsigned int count)
{
	struct later_bo_sync call = { .ops = DRM_PANTHOR_OBJ_ARRAY(count, ops) };

	return gpu_ioctl(&later->scene.gpu, LATER_IOCTL_BO_SYNC, &call, "BO_SYNC");
}

static int sync_one(struct later *later, uint32_t handle, uint32_t type, uint64_t offset, uint64_t size)
{
	return sync_ops(later, &(struct later_bo_sync_op){ handle, type, offset, size }, 1);
}

static int write_back(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu;
	void *map;
	int ret;

	if (wb_handle)
		return 0;
	ret = later_bo(gpu, LATER_BO_SIZE, LATER_BO_WB_MMAP, &wb_handle) ?:
	      later_map(gpu, later->scene.vm, wb_handle, WB_VA, LATER_BO_SIZE) ?:
	      later_mmap(gpu, wb_handle, LATER_BO_SIZE, &map);
	wb_words = ret ? NULL : map;
	return ret;
}

/* Through @words, and the GPU at @va, at places of each alignment to a cache line. */
static int both_ways(struct later *later, uint32_t handle, volatile uint32_t *words, uint64_t va)
{
	static const unsigned int places[] = { 0, 1, 15, 16, 17, 31, 1023, 1024, 2053, LATER_BO_SIZE / 4 - 1 };
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < LATER_COUNT(places); i++) {
		unsigned int at = places[i];
		uint32_t mine = 0x50c00000 + at, its = 0x50d00000 + at;

		words[at] = mine;
		ret = sync_one(later, handle, LATER_BO_FLUSH, at * 4, 4) ?: later_loads(&later->scene, va + at * 4, mine);
		ret = ret ?: later_stores(&later->scene, va + at * 4, its);
		ret = ret ?: sync_one(later, handle, LATER_BO_FLUSH_AND_INVALIDATE, at * 4, 4);
		if (!ret && words[at] != its)
			ret = fail(0, "word %u: 0x%x instead of 0x%x", at, words[at], its);
	}
	return ret;
}

static int wb_both_ways(struct later *later)
{
	return write_back(later) ?: both_ways(later, wb_handle, wb_words, WB_VA);
}

static int plain_both_ways(struct later *later)
{
	return both_ways(later, later->bo.handle, later->words, later->bo.va);
}

/* What the CPU has not flushed yet is not thrown away, neither in the range nor beside it. */
static int keeps(struct later *later)
{
	static const struct { uint64_t offset, size; } ranges[] = {
		{ 0, LATER_BO_SIZE }, { 0, 1 }, { 1, 1 }, { 63, 2 }, { 64, 64 }, { GPU_PAGE - 1, 2 },
		{ LATER_BO_SIZE - 1, 1 }, { 100, LATER_BO_SIZE - 100 }, { 0, 0 }, { 77, 0 }, { LATER_BO_SIZE, 0 },
	};
	unsigned int i, word;
	int ret = write_back(later);

	for (i = 0; !ret && i < 2 * LATER_COUNT(ranges); i++) {
		uint32_t type = i % 2 ? LATER_BO_FLUSH_AND_INVALIDATE : LATER_BO_FLUSH;

		for (word = 0; word < LATER_BO_SIZE / 4; word++)
			wb_words[word] = i << 16 | word;
		ret = sync_one(later, wb_handle, type, ranges[i / 2].offset, ranges[i / 2].size);
		for (word = 0; !ret && word < LATER_BO_SIZE / 4; word++)
			if (wb_words[word] != (i << 16 | word))
				ret = fail(0, "%llu bytes at %llu: word %u is lost",
					   (unsigned long long)ranges[i / 2].size,
					   (unsigned long long)ranges[i / 2].offset, word);
	}
	return ret;
}

/* What nobody has touched yet; several at once, of several buffers; none at all. */
static int odd_calls(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu;
	struct later_bo_sync_op ops[3] = { 0 };
	uint32_t fresh = 0;
	int ret = write_back(later) ?: later_bo(gpu, LATER_BO_SIZE, LATER_BO_WB_MMAP, &fresh);

	ops[0] = (struct later_bo_sync_op){ fresh, LATER_BO_FLUSH_AND_INVALIDATE, 0, LATER_BO_SIZE };
	ops[1] = (struct later_bo_sync_op){ wb_handle, LATER_BO_FLUSH, 64, 64 };
	ops[2] = (struct later_bo_sync_op){ later->bo.handle, LATER_BO_FLUSH_AND_INVALIDATE, 0, LATER_BO_SIZE };
	return ret ?: sync_ops(later, ops, 3) ?: sync_ops(later, NULL, 0) ?: later_close(gpu, fresh);
}

static int larger_elements(struct later *later)
{
	struct {
		struct later_bo_sync_op op;
		uint64_t newer;
	} ops[2] = {
		{ .op = { wb_handle, LATER_BO_FLUSH, 0, 64 } },
		{ .op = { later->bo.handle, LATER_BO_FLUSH, 64, 64 } },
	};
	struct later_bo_sync call = { .ops = DRM_PANTHOR_OBJ_ARRAY(2, ops) };
	int ret = gpu_ioctl(&later->scene.gpu, LATER_IOCTL_BO_SYNC, &call, "BO_SYNC");

	ops[1].newer = 1;
	if (!ret && gpu_ioctl(&later->scene.gpu, LATER_IOCTL_BO_SYNC, &call, "BO_SYNC") != -E2BIG)
		ret = fail(0, "what no kernel knows by now is borne");
	return ret;
}

static void make_on(struct later_call *call, uint32_t handle)
{
	unsigned int i;

	call->request = LATER_IOCTL_BO_SYNC;
	call->arg.sync.ops = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(LATER_COUNT(call->ops), call->ops);
	for (i = 0; i < LATER_COUNT(call->ops); i++)
		call->ops[i] = (struct later_bo_sync_op){ handle, LATER_BO_FLUSH, i * 64, 64 };
}

static void make_wb(struct later *later, struct later_call *call)
{
	(void)later;
	make_on(call, wb_handle);
}

static void make_plain(struct later *later, struct later_call *call)
{
	make_on(call, later->bo.handle);
}

/* What is wrong in the last operation is wrong, too. */
#define WRONG_SYNC(field, value)							\
	LATER_WRONG(make_wb, ops[0].field, value), LATER_WRONG(make_wb, ops[2].field, value),	\
	LATER_WRONG(make_plain, ops[1].field, value)

static int wrong_syncs(struct later *later)
{
	static const struct later_wrong wrong[] = {
		WRONG_SYNC(handle, 0),
		WRONG_SYNC(handle, NO_SUCH),
		WRONG_SYNC(type, 2),
		WRONG_SYNC(type, 0xffffffff),
		WRONG_SYNC(offset, LATER_BO_SIZE),
		WRONG_SYNC(offset, LATER_BO_SIZE - 63),
		WRONG_SYNC(offset, -64ull),
		WRONG_SYNC(offset, 1ull << 63),
		WRONG_SYNC(size, LATER_BO_SIZE + 1),
		WRONG_SYNC(size, LATER_BO_SIZE + GPU_PAGE),
		WRONG_SYNC(size, ~0ull),
		WRONG_SYNC(size, -128ull),
		LATER_WRONG(make_wb, arg.sync.ops.stride, 0),
		LATER_WRONG(make_wb, arg.sync.ops.stride, sizeof(struct later_bo_sync_op) - 8),
		LATER_WRONG(make_wb, arg.sync.ops.array, NOWHERE_PTR),
		LATER_WRONG(make_wb, arg.sync.ops.array, 0),
		LATER_WRONG(make_wb, arg.sync.ops.count, 1 << 16),
	};

	return write_back(later) ?: later_refused(later, wrong, LATER_COUNT(wrong));
}

int later_bo_sync(void)
{
	static const struct later_check checks[] = {
		{ "write-back memory of CPU and GPU", wb_both_ways },
		{ "other memory of CPU and GPU", plain_both_ways },
		{ "nothing else is lost", keeps },
		{ "operations of several buffers, and none", odd_calls },
		{ "larger elements of an array", larger_elements },
		{ "wrong operations", wrong_syncs },
	};

	return LATER_RUN("bo-sync", 7, "BO_SYNC", checks);
}

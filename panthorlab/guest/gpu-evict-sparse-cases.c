// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The cases of mode sparse: what was behind ranges goes, and what must be so then.
 */

#include "gpu-evict-sparse.h"

#define TOUCHED_AT_ONCE	16u	/* pages, each at another word */
#define BEGIN		700u	/* page at which the buffers are, in the middle of 2 MiB */

/* What 7.3 has behind the ranges of a file, as far as it matters here: no buffer of a case is as large. */
static const struct buffer behind = { .bo.size = SPARSE_BLOCK * GPU_PAGE };

static const struct sparse_range wide = { 511, 1100 };
unsigned int *ranges_gone;

static int map(struct scene *scene, struct sparse_range range, bool async)
{
	return sparse_bind(scene, sparse_map_op(range), async);
}

static int unmap(struct scene *scene, struct sparse_range range, bool async)
{
	return sparse_bind(scene, sparse_unmap_op(range), async);
}

static int ranges_go(struct scene *scene)
{
	int ret = buffer_goes(scene, &behind);

	*ranges_gone += !ret;
	return ret;
}

/* The buffer and what is behind the ranges, at once. */
static int both_go(struct scene *scene, const struct buffer *buffer)
{
	struct gem before, after;
	int ret = evict_row(&scene->gpu, behind.bo.size, &before) ?: buffer_goes(scene, buffer);

	ret = ret ?: evict_row(&scene->gpu, behind.bo.size, &after);
	if (!ret && (!after.evicted || after.evictions != before.evictions + 1))
		ret = fail(0, "the driver lets go of a buffer, and not of what is behind a range");
	*ranges_gone += !ret;
	return ret;
}

/* Mapped at BEGIN and filled. */
static int buffer_at(struct scene *scene, unsigned int pages, struct buffer *buffer)
{
	int ret = buffer_make(scene, false, pages, 1, buffer);

	ret = ret ?: buffer_map(scene, scene->vm, buffer, sparse_va(BEGIN), 0, pages, 0);
	return ret ?: buffer_fill(scene, buffer, sparse_va(BEGIN));
}

static int touch(struct scene *scene, struct sparse_range range)
{
	return range.size ? sparse_touch_range(scene, range) : 0;
}

/* A store there faults, which costs the VM its groups: the scene gets another one. */
static int must_fault(struct scene *scene, unsigned int page)
{
	int ret = scene_must_fault(scene, sparse_va(page), NULL) ?: gpu_group_destroy(&scene->gpu, scene->group);

	return ret ?: gpu_group_create(&scene->gpu, scene->vm, 1, &scene->group);
}

static int alone(struct scene *scene)
{
	int ret = map(scene, wide, false) ?: touch(scene, wide) ?: ranges_go(scene);

	ret = ret ?: touch(scene, wide) ?: buffer_is_back(scene, &behind);
	/* Once more, and the range is new when it goes: nobody has used it yet. */
	ret = ret ?: unmap(scene, wide, false) ?: map(scene, wide, true) ?: ranges_go(scene);
	return ret ?: touch(scene, wide) ?: buffer_is_back(scene, &behind);
}

static int beside(struct scene *scene)
{
	static const struct sparse_range before = { 100, BEGIN - 100 }, after = { BEGIN + 5, 900 };
	struct buffer buffer;
	int ret = buffer_at(scene, 5, &buffer) ?: map(scene, before, false) ?: map(scene, after, true);
	unsigned int i;

	ret = ret ?: touch(scene, before) ?: touch(scene, after);
	for (i = 0; !ret && i < 2; i++) {
		ret = both_go(scene, &buffer) ?: touch(scene, after) ?: touch(scene, before);
		ret = ret ?: buffer_read(scene, &buffer, sparse_va(BEGIN)) ?: buffer_is_back(scene, &buffer);
		ret = ret ?: buffer_is_back(scene, &behind) ?: buffer_seen(&buffer);
	}
	return ret;
}

/*
 * What was behind a range is given back, and is in the next buffer soon: nothing that is stored in the range may reach
 * it. The buffer is as large as twice that, and has its memory before the first store.
 */
static int memory_goes_to_others(struct scene *scene)
{
	static const struct sparse_range block = { SPARSE_BLOCK, SPARSE_BLOCK };
	unsigned int pages[TOUCHED_AT_ONCE], page, i;
	struct buffer buffer;
	int ret = map(scene, block, false) ?: touch(scene, block) ?: ranges_go(scene);

	ret = ret ?: buffer_make(scene, true, 2 * SPARSE_BLOCK, 1, &buffer);
	for (page = 0; !ret && page < buffer.pages; page++)
		*(volatile uint32_t *)((char *)buffer.bo.map + page * GPU_PAGE) = buffer.value + page;
	for (page = 0; !ret && page < SPARSE_BLOCK; page += TOUCHED_AT_ONCE) {
		for (i = 0; i < TOUCHED_AT_ONCE; i++)
			pages[i] = block.start + page + i;
		ret = sparse_touch(scene, pages, TOUCHED_AT_ONCE);
	}
	for (page = 0; !ret && page < buffer.pages; page++)
		for (i = 0; !ret && i < TOUCHED_AT_ONCE; i++) {
			uint32_t word = *(volatile uint32_t *)((char *)buffer.bo.map + page * GPU_PAGE + i * 4);

			if (word != (i ? 0 : buffer.value + page))
				ret = fail(0, "0x%x was stored in page %u of a buffer that is not mapped", word, page);
		}
	return ret;
}

/* Of a buffer of 23 pages at BEGIN, these are behind the range. */
static const struct sparse_range covered = { BEGIN + 5, 6 };

static int around_covered(struct scene *scene, const struct buffer *buffer)
{
	int ret = touch(scene, covered) ?: buffer_read_part(scene, buffer, sparse_va(BEGIN), 0, 5);

	ret = ret ?: buffer_read_part(scene, buffer, sparse_va(BEGIN + 11), 11, 23);
	return ret ?: buffer_seen(buffer);
}

static int over_a_buffer(struct scene *scene)
{
	struct buffer buffer;
	int ret = buffer_at(scene, 23, &buffer) ?: map(scene, covered, false) ?: around_covered(scene, &buffer);

	ret = ret ?: both_go(scene, &buffer) ?: around_covered(scene, &buffer) ?: both_go(scene, &buffer);
	/* Nothing comes back where the range was. */
	ret = ret ?: unmap(scene, covered, true) ?: must_fault(scene, covered.start + 2);
	return ret ?: buffer_read_part(scene, &buffer, sparse_va(BEGIN + 11), 11, 23);
}

static int over_a_buffer_that_is_gone(struct scene *scene)
{
	struct buffer buffer;
	int ret = buffer_at(scene, 23, &buffer) ?: buffer_goes(scene, &buffer) ?: map(scene, covered, true);

	ret = ret ?: ranges_go(scene) ?: around_covered(scene, &buffer) ?: both_go(scene, &buffer);
	return ret ?: around_covered(scene, &buffer);
}

/* A buffer of 24 pages at BEGIN in the middle of a range; it has the range on both sides. */
static int around_buffer(struct scene *scene, const struct buffer *buffer)
{
	struct sparse_range before = { wide.start, BEGIN - wide.start };
	struct sparse_range after = { BEGIN + 24, wide.start + wide.size - BEGIN - 24 };
	int ret = touch(scene, before) ?: touch(scene, after) ?: buffer_read(scene, buffer, sparse_va(BEGIN));

	return ret ?: buffer_seen(buffer);
}

static int in_a_range(struct scene *scene)
{
	struct buffer buffer;
	int ret = map(scene, wide, false) ?: touch(scene, wide) ?: buffer_at(scene, 24, &buffer);

	ret = ret ?: around_buffer(scene, &buffer) ?: both_go(scene, &buffer) ?: around_buffer(scene, &buffer);
	ret = ret ?: both_go(scene, &buffer) ?: buffer_unmap(scene, scene->vm, sparse_va(BEGIN), 24);
	ret = ret ?: touch(scene, (struct sparse_range){ wide.start, BEGIN - wide.start });
	ret = ret ?: touch(scene, (struct sparse_range){ BEGIN + 24, wide.start + wide.size - BEGIN - 24 });
	return ret ?: must_fault(scene, BEGIN + 12) ?: buffer_seen(&buffer);
}

static int in_a_range_that_is_gone(struct scene *scene)
{
	struct buffer buffer;
	int ret = map(scene, wide, true) ?: touch(scene, wide) ?: ranges_go(scene);

	ret = ret ?: buffer_at(scene, 24, &buffer) ?: around_buffer(scene, &buffer) ?: both_go(scene, &buffer);
	return ret ?: around_buffer(scene, &buffer);
}

/* @hole of @range is unmapped while what is behind it is gone; then it goes once more. */
static int hole(struct scene *scene, struct sparse_range range, struct sparse_range hole, bool async)
{
	unsigned int end = range.start + range.size, hole_end = hole.start + hole.size, i;
	struct sparse_range first = { range.start, hole.start - range.start }, last = { hole_end, end - hole_end };
	int ret = map(scene, range, async) ?: touch(scene, range);

	for (i = 0; !ret && i < 2; i++) {
		ret = ranges_go(scene);
		if (!i)
			ret = ret ?: unmap(scene, hole, async);
		ret = ret ?: touch(scene, first) ?: touch(scene, last) ?: must_fault(scene, hole.start + i * (hole.size - 1));
	}
	return ret ?: unmap(scene, range, !async);
}

static int holes(struct scene *scene)
{
	int ret = hole(scene, (struct sparse_range){ 5, 9 }, (struct sparse_range){ 7, 2 }, false);

	ret = ret ?: hole(scene, (struct sparse_range){ 512, 512 }, (struct sparse_range){ 700, 3 }, true);
	ret = ret ?: hole(scene, wide, (struct sparse_range){ 900, 300 }, false);
	ret = ret ?: hole(scene, wide, (struct sparse_range){ 512, 1024 }, true);
	ret = ret ?: hole(scene, (struct sparse_range){ 512, 1024 }, (struct sparse_range){ 512, 1 }, true);
	return ret ?: hole(scene, (struct sparse_range){ 1, 1535 }, (struct sparse_range){ 1000, 536 }, false);
}

static int read_only(struct scene *scene)
{
	struct drm_panthor_vm_bind_op op = sparse_map_op(wide);
	int ret;

	op.flags |= DRM_PANTHOR_VM_BIND_OP_MAP_READONLY;
	ret = sparse_bind(scene, op, false) ?: ranges_go(scene) ?: must_fault(scene, 513);
	ret = ret ?: ranges_go(scene) ?: unmap(scene, (struct sparse_range){ 600, 3 }, false);
	return ret ?: must_fault(scene, 603) ?: must_fault(scene, 599);
}

/* A scene of the same file, with a VM of its own. */
static int second(const struct scene *first, struct scene *scene)
{
	int ret;

	*scene = *first;
	ret = gpu_vm_create(&scene->gpu, &scene->vm);
	ret = ret ?: gpu_bo_create(&scene->gpu, scene->vm, SCENE_VA, GPU_PAGE, DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
				   &scene->streams);
	ret = ret ?: gpu_bo_create(&scene->gpu, scene->vm, SCENE_VA + GPU_PAGE, GPU_PAGE,
				   DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC | DRM_PANTHOR_VM_BIND_OP_MAP_UNCACHED,
				   &scene->results);
	return ret ?: gpu_group_create(&scene->gpu, scene->vm, 1, &scene->group);
}

/* They get it back one after the other, and lose it together. */
static int two_vms(struct scene *scene)
{
	static struct scene other;
	unsigned int i;
	int ret = second(scene, &other) ?: map(scene, wide, false) ?: map(&other, wide, true);

	ret = ret ?: touch(scene, wide) ?: touch(&other, wide);
	for (i = 0; !ret && i < 3; i++) {
		ret = ranges_go(scene) ?: touch(i & 1 ? scene : &other, wide) ?: touch(i & 1 ? &other : scene, wide);
		/* One of them alone has it when it goes. */
		ret = ret ?: ranges_go(scene) ?: touch(&other, wide) ?: ranges_go(scene) ?: touch(scene, wide);
	}
	ret = ret ?: ranges_go(scene) ?: unmap(scene, wide, false) ?: touch(&other, wide);
	ret = ret ?: must_fault(scene, wide.start + 1) ?: gpu_vm_destroy(&scene->gpu, scene->vm);
	return ret ?: ranges_go(&other) ?: touch(&other, wide);
}

static int vm_goes(struct scene *scene)
{
	int ret = map(scene, wide, false) ?: touch(scene, wide) ?: ranges_go(scene);

	return ret ?: gpu_group_destroy(&scene->gpu, scene->group) ?: gpu_vm_destroy(&scene->gpu, scene->vm);
}

const struct sparse_case sparse_cases[] = {
	{ "a range alone", alone },
	{ "beside a buffer", beside },
	{ "over a part of a buffer", over_a_buffer },
	{ "over a part of a buffer that is gone", over_a_buffer_that_is_gone },
	{ "a buffer over a part of it", in_a_range },
	{ "a buffer over a part of it, which is gone", in_a_range_that_is_gone },
	{ "parts unmapped while it is gone", holes },
	{ "what may only be read", read_only },
	{ "memory that was behind it is others'", memory_goes_to_others },
	{ "of two VMs", two_vms },
	{ "of a VM that goes", vm_goes },
};

const unsigned int sparse_case_count = sizeof(sparse_cases) / sizeof(sparse_cases[0]);

// SPDX-License-Identifier: GPL-2.0-or-later
/* Mode sparse-holes: what is unmapped of a range without a buffer faults, and what is left of it does not. */

#include "gpu-later-sparse.h"

/* A store to @page. A fault costs the VM its groups, so the scene gets another one. */
static int must_fault(struct scene *scene, unsigned int page)
{
	int ret = scene_must_fault(scene, sparse_va(page), NULL) ?: gpu_group_destroy(&scene->gpu, scene->group);

	return ret ?: gpu_group_create(&scene->gpu, scene->vm, 1, &scene->group);
}

/* @hole of @range is unmapped; then the rest. */
static int hole(struct scene *scene, struct sparse_range range, struct sparse_range hole, bool async)
{
	unsigned int end = range.start + range.size, hole_end = hole.start + hole.size;
	struct sparse_range first = { range.start, hole.start - range.start }, last = { hole_end, end - hole_end };
	int ret = sparse_bind(scene, sparse_map_op(range), async) ?: sparse_touch_range(scene, range) ?:
		  sparse_touch_range(scene, hole);

	ret = ret ?: sparse_bind(scene, sparse_unmap_op(hole), async) ?: must_fault(scene, async ? hole.start : hole_end - 1);
	if (first.size)
		ret = ret ?: sparse_touch_range(scene, first);
	if (last.size)
		ret = ret ?: sparse_touch_range(scene, last);
	ret = ret ?: sparse_bind(scene, sparse_unmap_op(range), async);
	return ret ?: must_fault(scene, first.size ? range.start : end - 1);
}

static int small(struct later *later)
{
	return hole(&later->scene, (struct sparse_range){ 5, 9 }, (struct sparse_range){ 7, 2 }, false);
}

static int in_a_block(struct later *later)
{
	return hole(&later->scene, (struct sparse_range){ 512, 512 }, (struct sparse_range){ 700, 3 }, true);
}

static int over_an_end(struct later *later)
{
	return hole(&later->scene, (struct sparse_range){ 100, 1500 }, (struct sparse_range){ 900, 300 }, false);
}

static int of_blocks(struct later *later)
{
	return hole(&later->scene, (struct sparse_range){ 511, 1100 }, (struct sparse_range){ 512, 1024 }, true);
}

static int first_page(struct later *later)
{
	return hole(&later->scene, (struct sparse_range){ 512, 1024 }, (struct sparse_range){ 512, 1 }, false);
}

static int last_pages(struct later *later)
{
	return hole(&later->scene, (struct sparse_range){ 1, 1535 }, (struct sparse_range){ 1000, 536 }, true);
}

/* It may be read, and no more. */
static int read_only(struct later *later)
{
	static const struct sparse_range range = { 512, 520 };
	struct drm_panthor_vm_bind_op op = sparse_map_op(range);
	uint32_t loaded;
	int ret;

	op.flags |= DRM_PANTHOR_VM_BIND_OP_MAP_READONLY;
	ret = sparse_bind(&later->scene, op, false) ?: later_loaded(&later->scene, sparse_va(1031), &loaded);
	return ret ?: must_fault(&later->scene, 513) ?: sparse_bind(&later->scene, sparse_unmap_op(range), false);
}

int later_sparse_holes(void)
{
	static const struct later_check checks[] = {
		{ "a range that is to be read alone", read_only },
		{ "pages of a few", small },
		{ "pages of 2 MiB", in_a_block },
		{ "over the ends of 2 MiB", over_an_end },
		{ "all of each 2 MiB", of_blocks },
		{ "the first page", first_page },
		{ "the last pages", last_pages },
	};

	return LATER_RUN("sparse-holes", 9, "MAP_SPARSE", checks);
}

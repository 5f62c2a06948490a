// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * VM_BIND MAP_SPARSE: what is stored there is nowhere to be seen, and what is loaded from there says nothing of anybody
 * else. Buffers are mapped over parts of it and it over parts of buffers.
 */

#include "gpu-later-sparse.h"

#define TOKEN		0x5ba25e00u
#define OPERATIONS	40u
#define SEED		7u

/* Each alignment to 2 MiB, with fewer and more than that. */
static const struct sparse_range ranges[] = {
	{ 1, 1 }, { 511, 2 }, { 3, 700 }, { 512, 512 }, { 512, 513 }, { 511, 513 }, { 100, 1500 }, { 512, 1024 },
};

/* Whatever the GPU has stored elsewhere, nothing of it is in the buffer. */
static int untouched(const struct later *later, const char *what)
{
	unsigned int word;

	for (word = 0; word < LATER_BO_SIZE / 4; word++)
		if (later->words[word] != word)
			return fail(0, "%s: word %u of a buffer is 0x%x", what, word, later->words[word]);
	return 0;
}

static void number_words(struct later *later)
{
	unsigned int word;

	for (word = 0; word < LATER_BO_SIZE / 4; word++)
		later->words[word] = word;
}

/* The last page of the buffer, right before the range, and its first one, right behind it. */
static int between_buffers(struct later *later, struct sparse_range range, bool async)
{
	struct scene *scene = &later->scene;
	struct drm_panthor_vm_bind_op before = {
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
		.bo_handle = later->bo.handle,
		.bo_offset = LATER_BO_SIZE - GPU_PAGE,
		.va = sparse_va(range.start - 1),
		.size = GPU_PAGE,
	}, behind = before;
	int ret;

	behind.bo_offset = 0;
	behind.va = sparse_va(range.start + range.size);
	number_words(later);
	ret = sparse_bind(scene, before, async) ?: sparse_bind(scene, behind, async) ?:
	      sparse_bind(scene, sparse_map_op(range), async) ?: sparse_touch_range(scene, range);
	ret = ret ?: untouched(later, "beside") ?: later_loads(scene, behind.va + 4, 1);
	ret = ret ?: sparse_bind(scene, sparse_unmap_op((struct sparse_range){ range.start - 1, range.size + 2 }), async);
	return ret ?: untouched(later, "unmapped");
}

static int each_alignment(struct later *later, bool async)
{
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < LATER_COUNT(ranges); i++)
		ret = between_buffers(later, ranges[i], async);
	return ret;
}

static int at_once(struct later *later)
{
	return each_alignment(later, false);
}

static int by_the_queue(struct later *later)
{
	return each_alignment(later, true);
}

/* What one file's jobs have stored, none of another file's can load. */
static int kept_from_others(struct later *later)
{
	static const struct sparse_range range = { 256, 1024 };
	static struct scene other;
	struct scene *scene = &later->scene;
	uint32_t loaded;
	int ret = scene_create(&other, 1) ?: sparse_bind(scene, sparse_map_op(range), false);

	ret = ret ?: sparse_bind(&other, sparse_map_op(range), false);
	ret = ret ?: later_stores(scene, sparse_va(600), TOKEN) ?: later_loaded(&other, sparse_va(600), &loaded);
	if (!ret && loaded == TOKEN)
		ret = fail(0, "one file loads what another one has stored");
	/* Nor when it has the addresses for itself, in another VM. */
	ret = ret ?: sparse_touch_range(scene, range) ?: sparse_touch_range(&other, range);
	ret = ret ?: untouched(later, "another file");
	gpu_close(&other.gpu);
	return ret ?: sparse_touch_range(scene, range) ?: sparse_bind(scene, sparse_unmap_op(range), false);
}

/* Two VMs of this file, in one of which the range goes. */
static int of_each_vm(struct later *later)
{
	static const struct sparse_range range = { 300, 900 };
	struct scene *scene = &later->scene, second = later->scene;
	int ret = gpu_vm_create(&scene->gpu, &second.vm);

	ret = ret ?: later_map(&scene->gpu, second.vm, later->bo.handle, LATER_VA, LATER_BO_SIZE);
	ret = ret ?: sparse_bind(scene, sparse_map_op(range), false) ?: sparse_bind(&second, sparse_map_op(range), true);
	ret = ret ?: sparse_touch_range(scene, range) ?: sparse_bind(&second, sparse_unmap_op(range), false);
	ret = ret ?: sparse_touch_range(scene, range) ?: sparse_bind(&second, sparse_map_op(range), false);
	ret = ret ?: gpu_vm_destroy(&scene->gpu, second.vm) ?: sparse_touch_range(scene, range);
	return ret ?: untouched(later, "another VM") ?: sparse_bind(scene, sparse_unmap_op(range), true);
}

/* Buffers, nothing, and less than nothing over each other. */
static int at_random(struct later *later)
{
	static struct arena arena;
	int ret = arena_create(&arena, ARENA_MAX / BOS);

	(void)later;
	ret = ret ?: sparse_random(&arena, OPERATIONS, SEED, NULL);
	gpu_close(&arena.scene.gpu);
	return ret;
}

static void make_sparse(struct later *later, struct later_call *call)
{
	call->request = DRM_IOCTL_PANTHOR_VM_BIND;
	call->arg.bind = (struct drm_panthor_vm_bind){
		.vm_id = later->scene.vm,
		.ops = DRM_PANTHOR_OBJ_ARRAY(1, &call->op),
	};
	call->op = sparse_map_op((struct sparse_range){ 3, 1100 });
}

static void make_sparse_async(struct later *later, struct later_call *call)
{
	make_sparse(later, call);
	call->arg.bind.flags = DRM_PANTHOR_VM_BIND_ASYNC;
	call->op.syncs = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(1, &call->signal);
	call->signal = (struct drm_panthor_sync_op){ DRM_PANTHOR_SYNC_OP_SIGNAL, later->scene.syncobj[4], 0 };
}

#define WRONG_BIND(field, value)	LATER_WRONG(make_sparse, field, value), LATER_WRONG(make_sparse_async, field, value)

static int wrong_operations(struct later *later)
{
	static const struct later_wrong wrong[] = {
		WRONG_BIND(op.flags, LATER_MAP_SPARSE),
		WRONG_BIND(op.flags, LATER_MAP_SPARSE | DRM_PANTHOR_VM_BIND_OP_MAP_READONLY),
		WRONG_BIND(op.flags, LATER_MAP_SPARSE | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC | 1 << 4),
		WRONG_BIND(op.flags, LATER_MAP_SPARSE | DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP),
		WRONG_BIND(op.flags, LATER_MAP_SPARSE | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC |
			   DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP),
		WRONG_BIND(op.flags, DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC),
		WRONG_BIND(op.bo_handle, 1),
		WRONG_BIND(op.bo_handle, 0x7777),
		WRONG_BIND(op.bo_offset, GPU_PAGE),
		WRONG_BIND(op.bo_offset, 2u << 20),
		WRONG_BIND(op.va, SPARSE_VA + 1),
		WRONG_BIND(op.va, -(uint64_t)GPU_PAGE),
		WRONG_BIND(op.size, GPU_PAGE + 1),
		WRONG_BIND(op.size, -(uint64_t)GPU_PAGE),
	};
	int ret = later_refused(later, wrong, LATER_COUNT(wrong));

	return ret ?: sparse_bind(&later->scene, sparse_unmap_op((struct sparse_range){ 3, 1100 }), true);
}

int later_sparse(void)
{
	static const struct later_check checks[] = {
		{ "ranges of each alignment", at_once },
		{ "ranges of each alignment, asynchronously", by_the_queue },
		{ "another file", kept_from_others },
		{ "another VM", of_each_vm },
		{ "buffers over them and they over buffers", at_random },
		{ "wrong operations", wrong_operations },
	};

	return LATER_RUN("sparse", 9, "MAP_SPARSE", checks);
}

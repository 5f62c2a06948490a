// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * VM_BIND without memory: it maps, replaces the middle of a mapping, and takes the middle or all of one away.
 */

#include "gpu-scarce.h"
#include "later-uapi.h"

#define MIDDLE		3u	/* the first page of it */
#define MIDDLE_PAGES	2u
/* docs/findings/0001 */
#define SIGNALS		"panthor_submit_ctx_add_sync_signal panthor_submit_ctx_collect_job_signal_ops " \
			"panthor_submit_ctx_collect_jobs_signal_ops"

enum {
	SYNC = 0,
	ASYNC = 1 << 0,		/* after a job, and a syncobj is signalled */
	SHARED = 1 << 1,	/* the buffer is not this VM's alone */
};

static struct drm_panthor_vm_bind_op operation(uint32_t type, uint64_t va, const struct gpu_bo *bo, unsigned int pages)
{
	return (struct drm_panthor_vm_bind_op){
		.flags = type,
		.bo_handle = bo ? bo->handle : 0,
		.va = va,
		.size = pages * GPU_PAGE,
	};
}

/* One call. */
static int bind(struct scarce *s, struct drm_panthor_vm_bind_op *ops, unsigned int count)
{
	bool timeline = s->call->flavour & SCARCE_TIMELINE;
	struct drm_panthor_sync_op before = { .flags = DRM_PANTHOR_SYNC_OP_WAIT, .handle = s->scene.syncobj[0] };
	struct drm_panthor_sync_op after = {
		.flags = DRM_PANTHOR_SYNC_OP_SIGNAL | (timeline ? DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_TIMELINE_SYNCOBJ : 0),
		.handle = s->syncobj,
		.timeline_value = timeline ? s->point : 0,
	};
	struct drm_panthor_sync_op both[] = { before, after };
	struct drm_panthor_vm_bind call = {
		.vm_id = s->scene.vm,
		.ops = DRM_PANTHOR_OBJ_ARRAY(count, ops),
	};

	if (s->call->flavour & ASYNC) {
		call.flags = DRM_PANTHOR_VM_BIND_ASYNC;
		ops[0].syncs = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(1, &before);
		ops[count - 1].syncs = count > 1 ? (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(1, &after) :
						   (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(2, both);
	}
	return GPU_IOCTL(&s->scene.gpu, PANTHOR_VM_BIND, &call);
}

static int bind_now(struct scarce *s, struct drm_panthor_vm_bind_op op)
{
	struct drm_panthor_vm_bind call = { .vm_id = s->scene.vm, .ops = DRM_PANTHOR_OBJ_ARRAY(1, &op) };

	return GPU_IOCTL(&s->scene.gpu, PANTHOR_VM_BIND, &call);
}

/* What was asked for has been done. */
static int is_done(struct scarce *s)
{
	int status, ret;

	if (!(s->call->flavour & ASYNC))
		return 0;
	ret = gpu_fence_status(&s->scene.gpu, s->syncobj, GPU_TIMEOUT_MS, &status);
	return ret ?: status != 1 ? fail(0, "the fence of the mapping says %d", status) : 0;
}

/* A job that stores at this page stores in that page of the buffer. */
static int leads_to(struct scarce *s, unsigned int page, struct gpu_bo *bo, unsigned int bo_page)
{
	volatile uint32_t *word;
	int ret = scarce_cpu(s, bo);

	if (ret)
		return ret;
	word = (volatile uint32_t *)((volatile char *)bo->map + bo_page * GPU_PAGE);
	*word = 0;
	ret = scarce_stores(s, s->scene.group, 0, s->va + page * GPU_PAGE);
	if (!ret && *word != s->value)
		ret = fail(0, "page %u: 0x%08x in the buffer, expected 0x%08x", page, *word, s->value);
	return ret;
}

static int begin_bos(struct scarce *s)
{
	uint32_t vm = s->call->flavour & SHARED ? 0 : s->scene.vm;
	int ret = scarce_bo(s, vm, &s->bo);

	return ret ?: scarce_bo(s, vm, &s->second);
}

static int begin_mapped(struct scarce *s)
{
	int ret = begin_bos(s);

	return ret ?: bind_now(s, operation(DRM_PANTHOR_VM_BIND_OP_TYPE_MAP, s->va, &s->bo, SCARCE_PAGES));
}

static int is_whole(struct scarce *s)
{
	int ret = leads_to(s, 0, &s->bo, 0);

	ret = ret ?: leads_to(s, MIDDLE, &s->bo, MIDDLE);
	return ret ?: leads_to(s, SCARCE_PAGES - 1, &s->bo, SCARCE_PAGES - 1);
}

static int take_away(struct scarce *s)
{
	int ret = bind_now(s, operation(DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP, s->va, NULL, SCARCE_PAGES));

	ret = ret ?: scarce_drop(s, &s->bo);
	return ret ?: scarce_drop(s, &s->second);
}

/* -- a mapping is made */

static int make_map(struct scarce *s)
{
	struct drm_panthor_vm_bind_op op = operation(DRM_PANTHOR_VM_BIND_OP_TYPE_MAP, s->va, &s->bo, SCARCE_PAGES);

	return bind(s, &op, 1);
}

static int right_map(struct scarce *s)
{
	int ret = is_done(s);

	return ret ?: is_whole(s);
}

static int make_sparse(struct scarce *s)
{
	struct drm_panthor_vm_bind_op op = operation(DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC |
						     LATER_MAP_SPARSE, s->va, NULL, SCARCE_PAGES);

	return bind(s, &op, 1);
}

/* Where the stores go nobody says. */
static int right_sparse(struct scarce *s)
{
	int ret = is_done(s);

	return ret ?: scarce_stores(s, s->scene.group, 0, s->va + MIDDLE * GPU_PAGE);
}

/* -- another one takes the place of its middle, and leaves two of it */

static int make_remap(struct scarce *s)
{
	struct drm_panthor_vm_bind_op op = operation(DRM_PANTHOR_VM_BIND_OP_TYPE_MAP, s->va + MIDDLE * GPU_PAGE, &s->second,
						     MIDDLE_PAGES);

	return bind(s, &op, 1);
}

static int right_remap(struct scarce *s)
{
	int ret = is_done(s);

	ret = ret ?: leads_to(s, MIDDLE - 1, &s->bo, MIDDLE - 1);
	ret = ret ?: leads_to(s, MIDDLE, &s->second, 0);
	ret = ret ?: leads_to(s, MIDDLE + MIDDLE_PAGES - 1, &s->second, MIDDLE_PAGES - 1);
	return ret ?: leads_to(s, MIDDLE + MIDDLE_PAGES, &s->bo, MIDDLE + MIDDLE_PAGES);
}

/* -- its middle is taken away */

static int make_cut(struct scarce *s)
{
	struct drm_panthor_vm_bind_op op = operation(DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP, s->va + MIDDLE * GPU_PAGE, NULL,
						     MIDDLE_PAGES);

	return bind(s, &op, 1);
}

/* The gap takes another mapping; what is around it stays. */
static int right_cut(struct scarce *s)
{
	int ret = is_done(s);

	ret = ret ?: bind_now(s, operation(DRM_PANTHOR_VM_BIND_OP_TYPE_MAP, s->va + MIDDLE * GPU_PAGE, &s->second,
					   MIDDLE_PAGES));
	return ret ?: right_remap(s);
}

/* -- all of it is taken away */

static int make_unmap(struct scarce *s)
{
	struct drm_panthor_vm_bind_op op = operation(DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP, s->va, NULL, SCARCE_PAGES);

	return bind(s, &op, 1);
}

static int right_unmap(struct scarce *s)
{
	int ret = is_done(s);

	ret = ret ?: bind_now(s, operation(DRM_PANTHOR_VM_BIND_OP_TYPE_MAP, s->va, &s->second, SCARCE_PAGES));
	ret = ret ?: leads_to(s, 0, &s->second, 0);
	return ret ?: leads_to(s, SCARCE_PAGES - 1, &s->second, SCARCE_PAGES - 1);
}

/* -- a map, one in its middle, and away with that, in one call */

static int make_several(struct scarce *s)
{
	struct drm_panthor_vm_bind_op ops[] = {
		operation(DRM_PANTHOR_VM_BIND_OP_TYPE_MAP, s->va, &s->bo, SCARCE_PAGES),
		operation(DRM_PANTHOR_VM_BIND_OP_TYPE_MAP, s->va + MIDDLE * GPU_PAGE, &s->second, MIDDLE_PAGES),
		operation(DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP, s->va + MIDDLE * GPU_PAGE, NULL, MIDDLE_PAGES),
	};

	return bind(s, ops, 3);
}

const struct call scarce_maps[] = {
	{ "map", 0, SYNC, 0, NULL, begin_bos, make_map, NULL, right_map, take_away },
	{ "map-shared", 0, SHARED, 0, NULL, begin_bos, make_map, NULL, right_map, take_away },
	{ "map-async", 0, ASYNC, 0, NULL, begin_bos, make_map, NULL, right_map, take_away },
	{ "map-shared-async", 0, SHARED | ASYNC, 0, NULL, begin_bos, make_map, NULL, right_map, take_away },
	{ "map-sparse", 9, SYNC, 0, NULL, begin_bos, make_sparse, NULL, right_sparse, take_away },
	{ "remap", 0, SYNC, 0, NULL, begin_mapped, make_remap, is_whole, right_remap, take_away },
	{ "remap-async", 0, ASYNC, 0, NULL, begin_mapped, make_remap, is_whole, right_remap, take_away },
	{ "cut", 0, SYNC, 0, NULL, begin_mapped, make_cut, is_whole, right_cut, take_away },
	{ "cut-async", 0, ASYNC, 0, NULL, begin_mapped, make_cut, is_whole, right_cut, take_away },
	{ "unmap", 0, SYNC, 0, NULL, begin_mapped, make_unmap, is_whole, right_unmap, take_away },
	{ "unmap-async", 0, ASYNC, 0, NULL, begin_mapped, make_unmap, is_whole, right_unmap, take_away },
	{ "several", 0, SYNC, 0, NULL, begin_bos, make_several, NULL, right_cut, take_away },
	{ "several-async", 0, ASYNC, 0, NULL, begin_bos, make_several, NULL, right_cut, take_away },
	{ 0 }
};

const struct call scarce_points[] = {
	{ "map-point", 0, ASYNC | SCARCE_TIMELINE, 0, SIGNALS, begin_bos, make_map, NULL, right_map, take_away },
	{ "several-point", 0, ASYNC | SCARCE_TIMELINE, 0, SIGNALS, begin_bos, make_several, NULL, right_cut, take_away },
	{ "submit-point", 0, SCARCE_TIMELINE, 0, SIGNALS, scarce_begin_jobs, scarce_make_jobs, NULL, scarce_right_jobs, NULL },
	{ "submit-points", 0, SCARCE_TIMELINE | SCARCE_BOTH, 0, SIGNALS, scarce_begin_jobs, scarce_make_jobs, NULL,
	  scarce_right_jobs, NULL },
	{ 0 }
};

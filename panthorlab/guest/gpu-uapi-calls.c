// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The calls of gpu-uapi: one that works of each kind. What must not be in it: gpu-uapi-wrong.c.
 */

#include "gpu-uapi.h"

/* A BO of its own for each VM; nothing is mapped. */
int uapi_open(struct uapi *u)
{
	struct drm_panthor_vm_create vm[2] = { 0 };
	struct drm_panthor_bo_create bo[2] = { 0 };
	struct drm_panthor_csif_info csif;
	struct gpu_heap heap;
	unsigned int i;
	int ret;

	ret = gpu_open(&u->gpu);
	if (!ret)
		ret = gpu_query(&u->gpu, DRM_PANTHOR_DEV_QUERY_CSIF_INFO, &csif, sizeof(csif));
	for (i = 0; !ret && i < 2; i++) {
		ret = GPU_IOCTL(&u->gpu, PANTHOR_VM_CREATE, &vm[i]);
		bo[i].size = UAPI_BO_SIZE;
		bo[i].exclusive_vm_id = vm[i].id;
		if (!ret)
			ret = GPU_IOCTL(&u->gpu, PANTHOR_BO_CREATE, &bo[i]);
	}
	if (ret)
		return ret;
	u->cs_slots = csif.cs_slot_count;
	u->vm = vm[0].id;
	u->user_va = vm[0].user_va_range;
	u->other_vm = vm[1].id;
	u->bo = bo[0].handle;
	u->foreign_bo = bo[1].handle;
	ret = gpu_syncobj_create(&u->gpu, &u->syncobj);
	if (!ret)
		ret = gpu_group_create(&u->gpu, u->vm, 1, &u->group);
	if (!ret)
		ret = gpu_heap_create(&u->gpu, u->vm, 1, 128 * 1024, 2, &heap);
	u->heap = heap.handle;
	return ret;
}

#define CALL(name)	call->request = DRM_IOCTL_PANTHOR_##name
#define ONE(element)	((struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(1, element))

void make_DEV_QUERY(struct uapi *u, struct call *call)
{
	(void)u;
	CALL(DEV_QUERY);
	call->arg.query = (struct drm_panthor_dev_query){
		.type = DRM_PANTHOR_DEV_QUERY_GPU_INFO,
		.size = sizeof(call->info),
		.pointer = (uintptr_t)&call->info,
	};
}

/* Every working one uses up one of the 32 of a file. */
void make_VM_CREATE(struct uapi *u, struct call *call)
{
	(void)u;
	CALL(VM_CREATE);
}

void make_VM_DESTROY(struct uapi *u, struct call *call)
{
	CALL(VM_DESTROY);
	call->arg.vm_destroy.id = u->other_vm;
}

void make_VM_GET_STATE(struct uapi *u, struct call *call)
{
	CALL(VM_GET_STATE);
	call->arg.vm_state.vm_id = u->vm;
}

static void make_bind(struct uapi *u, struct call *call, uint32_t type)
{
	CALL(VM_BIND);
	call->arg.bind = (struct drm_panthor_vm_bind){ .vm_id = u->vm, .ops = ONE(&call->op) };
	call->op.flags = type;
}

void make_UNMAP(struct uapi *u, struct call *call)
{
	make_bind(u, call, DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP);
	call->op.va = UAPI_VA;
	call->op.size = UAPI_BO_SIZE;
}

void make_MAP(struct uapi *u, struct call *call)
{
	make_UNMAP(u, call);
	call->op.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC;
	call->op.bo_handle = u->bo;
}

static void make_async(struct uapi *u, struct call *call)
{
	call->arg.bind.flags = DRM_PANTHOR_VM_BIND_ASYNC;
	call->op.syncs = ONE(&call->sync);
	call->sync.flags = DRM_PANTHOR_SYNC_OP_SIGNAL;
	call->sync.handle = u->syncobj;
}

void make_MAP_ASYNC(struct uapi *u, struct call *call)
{
	make_MAP(u, call);
	make_async(u, call);
}

/* Waits for the syncobj instead of signalling it. */
void make_MAP_AFTER(struct uapi *u, struct call *call)
{
	make_MAP_ASYNC(u, call);
	call->sync.flags = DRM_PANTHOR_SYNC_OP_WAIT;
}

void make_UNMAP_ASYNC(struct uapi *u, struct call *call)
{
	make_UNMAP(u, call);
	make_async(u, call);
}

void make_SYNC_ONLY(struct uapi *u, struct call *call)
{
	make_bind(u, call, DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY);
	make_async(u, call);
}

void make_BO_CREATE(struct uapi *u, struct call *call)
{
	CALL(BO_CREATE);
	call->arg.bo.size = GPU_PAGE;
	call->arg.bo.exclusive_vm_id = u->vm;
}

void make_BO_MMAP_OFFSET(struct uapi *u, struct call *call)
{
	CALL(BO_MMAP_OFFSET);
	call->arg.offset.handle = u->bo;
}

void make_GROUP_CREATE(struct uapi *u, struct call *call)
{
	CALL(GROUP_CREATE);
	gpu_group_ask(&u->gpu, u->vm, call->queue, GPU_QUEUES_MAX, &call->arg.group);
	call->arg.group.queues.count = u->cs_slots;	/* the most, so that it shows if they leak */
}

void make_GROUP_DESTROY(struct uapi *u, struct call *call)
{
	CALL(GROUP_DESTROY);
	call->arg.group_destroy.group_handle = u->group;
}

void make_GROUP_GET_STATE(struct uapi *u, struct call *call)
{
	CALL(GROUP_GET_STATE);
	call->arg.group_state.group_handle = u->group;
}

/* Without a stream, so that nothing has to run for it. */
void make_SUBMIT(struct uapi *u, struct call *call)
{
	CALL(GROUP_SUBMIT);
	call->arg.submit = (struct drm_panthor_group_submit){
		.group_handle = u->group,
		.queue_submits = ONE(&call->job),
	};
	call->job.syncs = ONE(&call->sync);
	call->sync.flags = DRM_PANTHOR_SYNC_OP_SIGNAL;
	call->sync.handle = u->syncobj;
}

void make_SUBMIT_AFTER(struct uapi *u, struct call *call)
{
	make_SUBMIT(u, call);
	call->sync.flags = DRM_PANTHOR_SYNC_OP_WAIT;
}

/* Of an empty array nothing is looked at, also not how large its elements would be. */
void make_SUBMIT_NO_SYNCS(struct uapi *u, struct call *call)
{
	make_SUBMIT(u, call);
	call->job.syncs = (struct drm_panthor_obj_array){ 0 };
}

void make_SUBMIT_NOTHING(struct uapi *u, struct call *call)
{
	make_SUBMIT(u, call);
	call->arg.submit.queue_submits = (struct drm_panthor_obj_array){ 0 };
}

void make_BIND_NOTHING(struct uapi *u, struct call *call)
{
	make_UNMAP(u, call);
	call->arg.bind.ops = (struct drm_panthor_obj_array){ 0 };
}

void make_BIND_NOTHING_ASYNC(struct uapi *u, struct call *call)
{
	make_BIND_NOTHING(u, call);
	call->arg.bind.flags = DRM_PANTHOR_VM_BIND_ASYNC;
}

void make_MAP_ASYNC_NO_SYNCS(struct uapi *u, struct call *call)
{
	make_MAP_ASYNC(u, call);
	call->op.syncs = (struct drm_panthor_obj_array){ 0 };
}

void make_HEAP_CREATE(struct uapi *u, struct call *call)
{
	CALL(TILER_HEAP_CREATE);
	call->arg.heap = (struct drm_panthor_tiler_heap_create){
		.vm_id = u->vm,
		.initial_chunk_count = 1,
		.chunk_size = 128 * 1024,
		.max_chunks = 2,
		.target_in_flight = 65535,
	};
}

void make_HEAP_DESTROY(struct uapi *u, struct call *call)
{
	CALL(TILER_HEAP_DESTROY);
	call->arg.heap_destroy.handle = u->heap;
}

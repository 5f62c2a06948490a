// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The calls of gpu-uapi: one that works of each kind, and what must not be in it.
 */

#include <string.h>

#include "gpu-uapi.h"

#define NOWHERE_PTR	0x10ull		/* no address of a process */
#define NO_SUCH		0x7777u		/* handle or id of nothing */

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

#define WRONG(make, field, wrong_value) u->judge(u, &(struct wrong){			\
	#make " " #field " = " #wrong_value, make_##make, offsetof(struct call, field),	\
	sizeof(((struct call *)0)->field), (uint64_t)(wrong_value) })

static void wrong_vms(struct uapi *u)
{
	WRONG(DEV_QUERY, arg.query.type, 1000);
	WRONG(DEV_QUERY, arg.query.size, 4);
	WRONG(DEV_QUERY, arg.query.pointer, NOWHERE_PTR);
	WRONG(VM_CREATE, arg.vm_create.flags, 1u << 31);
	WRONG(VM_CREATE, arg.vm_create.user_va_range, 1ull << 48);
	WRONG(VM_CREATE, arg.vm_create.user_va_range, ~0ull);
	WRONG(VM_DESTROY, arg.vm_destroy.id, 0);
	WRONG(VM_DESTROY, arg.vm_destroy.id, NO_SUCH);
	WRONG(VM_DESTROY, arg.vm_destroy.pad, 1);
	WRONG(VM_GET_STATE, arg.vm_state.vm_id, NO_SUCH);
	WRONG(BO_CREATE, arg.bo.size, 0);
	WRONG(BO_CREATE, arg.bo.flags, 1u << 31);
	/* Not to be mapped, and mapped as write-back: kernels know the second from 7.0 on. */
	WRONG(BO_CREATE, arg.bo.flags, DRM_PANTHOR_BO_NO_MMAP | 1 << 1);
	WRONG(BO_CREATE, arg.bo.exclusive_vm_id, NO_SUCH);
	WRONG(BO_CREATE, arg.bo.pad, 1);
	WRONG(BO_MMAP_OFFSET, arg.offset.handle, NO_SUCH);
	WRONG(BO_MMAP_OFFSET, arg.offset.pad, 1);
}

/* Both ways of binding look at their operations in code of their own. */
#define WRONG_BIND(make, field, value) do {						\
	WRONG(make, field, value);							\
	WRONG(make##_ASYNC, field, value);						\
} while (0)

static void wrong_binds(struct uapi *u)
{
	WRONG_BIND(MAP, arg.bind.vm_id, NO_SUCH);
	WRONG_BIND(MAP, arg.bind.ops.stride, 8);
	WRONG_BIND(MAP, arg.bind.ops.array, NOWHERE_PTR);
	WRONG_BIND(MAP, op.flags, 7u << 28);
	WRONG_BIND(MAP, op.flags, DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | 1u << 27);
	WRONG_BIND(MAP, op.bo_handle, 0);
	WRONG_BIND(MAP, op.bo_handle, NO_SUCH);
	WRONG_BIND(MAP, op.bo_handle, u->foreign_bo);
	WRONG_BIND(MAP, op.bo_offset, GPU_PAGE);
	WRONG_BIND(MAP, op.bo_offset, UAPI_BO_SIZE);
	WRONG_BIND(MAP, op.bo_offset, -(uint64_t)GPU_PAGE);
	WRONG_BIND(MAP, op.va, UAPI_VA + 1);
	WRONG_BIND(MAP, op.va, UAPI_VA + GPU_PAGE / 2);
	WRONG_BIND(MAP, op.va, u->user_va);
	WRONG_BIND(MAP, op.va, u->user_va - GPU_PAGE);
	WRONG_BIND(MAP, op.va, (1ull << 48) - UAPI_BO_SIZE);
	WRONG_BIND(MAP, op.va, -(uint64_t)GPU_PAGE);
	WRONG_BIND(MAP, op.size, 100);
	WRONG_BIND(MAP, op.size, UAPI_BO_SIZE + GPU_PAGE);
	WRONG_BIND(MAP, op.size, u->user_va);
	WRONG_BIND(MAP, op.size, -(uint64_t)GPU_PAGE);
	WRONG_BIND(UNMAP, op.flags, DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP | 1u << 27);
	WRONG_BIND(UNMAP, op.bo_handle, u->bo);
	WRONG_BIND(UNMAP, op.bo_offset, GPU_PAGE);
	WRONG_BIND(UNMAP, op.va, UAPI_VA + 1);
	WRONG_BIND(UNMAP, op.va, u->user_va);
	WRONG_BIND(UNMAP, op.va, u->user_va - GPU_PAGE);
	WRONG_BIND(UNMAP, op.size, 100);
	WRONG_BIND(UNMAP, op.size, u->user_va);
	WRONG_BIND(UNMAP, op.size, -(uint64_t)GPU_PAGE);
	WRONG(MAP, op.syncs.count, 1);
	WRONG(MAP_ASYNC, sync.flags, 7);
	WRONG(MAP_AFTER, sync.handle, NO_SUCH);
	WRONG(MAP_ASYNC, sync.timeline_value, 1);
	WRONG(SYNC_ONLY, op.va, UAPI_VA);
	WRONG(SYNC_ONLY, op.size, GPU_PAGE);
	WRONG(SYNC_ONLY, op.bo_handle, u->bo);
	WRONG(SYNC_ONLY, op.syncs.count, 0);
}

/* A mapping whose offset is not a page's: of a page of the BO, or all would be refused for its size. */
static void make_page(struct uapi *u, struct call *call)
{
	make_MAP(u, call);
	call->op.size = GPU_PAGE;
}

static void make_page_ASYNC(struct uapi *u, struct call *call)
{
	make_MAP_ASYNC(u, call);
	call->op.size = GPU_PAGE;
}

static void wrong_offsets(struct uapi *u)
{
	WRONG_BIND(page, op.bo_offset, 1);
	WRONG_BIND(page, op.bo_offset, GPU_PAGE / 2);
	WRONG_BIND(page, op.bo_offset, GPU_PAGE + 0x40);
}

static void wrong_groups(struct uapi *u)
{
	WRONG(GROUP_CREATE, arg.group.queues.count, 0);
	/* From harmless to harmful where they are not refused. */
	(void)(WRONG(GROUP_CREATE, arg.group.queues.count, u->cs_slots + 1) &&
	       WRONG(GROUP_CREATE, arg.group.queues.count, 32) &&
	       WRONG(GROUP_CREATE, arg.group.queues.count, 33) &&
	       WRONG(GROUP_CREATE, arg.group.queues.count, GPU_QUEUES_MAX));
	WRONG(GROUP_CREATE, arg.group.queues.stride, 4);
	WRONG(GROUP_CREATE, arg.group.queues.array, NOWHERE_PTR);
	WRONG(GROUP_CREATE, arg.group.pad, 1);
	WRONG(GROUP_CREATE, arg.group.priority, 4);
	WRONG(GROUP_CREATE, arg.group.priority, 255);
	WRONG(GROUP_CREATE, arg.group.vm_id, NO_SUCH);
	WRONG(GROUP_CREATE, arg.group.compute_core_mask, 1ull << 63);
	WRONG(GROUP_CREATE, arg.group.fragment_core_mask, 1ull << 63);
	WRONG(GROUP_CREATE, arg.group.tiler_core_mask, 1ull << 63);
	WRONG(GROUP_CREATE, arg.group.max_compute_cores, 2);
	WRONG(GROUP_CREATE, arg.group.max_fragment_cores, 2);
	WRONG(GROUP_CREATE, arg.group.max_tiler_cores, 2);
	WRONG(GROUP_CREATE, queue[0].ringbuf_size, 0);
	WRONG(GROUP_CREATE, queue[1].ringbuf_size, 2048);
	WRONG(GROUP_CREATE, queue[1].ringbuf_size, 12288);
	WRONG(GROUP_CREATE, queue[1].ringbuf_size, 131072);
	WRONG(GROUP_CREATE, queue[1].ringbuf_size, 1u << 31);
	WRONG(GROUP_CREATE, queue[0].priority, 16);
	WRONG(GROUP_CREATE, queue[1].priority, 255);
	WRONG(GROUP_CREATE, queue[1].pad[2], 1);
	WRONG(GROUP_DESTROY, arg.group_destroy.group_handle, 0);
	WRONG(GROUP_DESTROY, arg.group_destroy.group_handle, NO_SUCH);
	WRONG(GROUP_DESTROY, arg.group_destroy.pad, 1);
	WRONG(GROUP_GET_STATE, arg.group_state.group_handle, 0);
	WRONG(GROUP_GET_STATE, arg.group_state.group_handle, NO_SUCH);
	WRONG(GROUP_GET_STATE, arg.group_state.pad, 1);
}

static void wrong_jobs(struct uapi *u)
{
	WRONG(SUBMIT, arg.submit.pad, 1);
	WRONG(SUBMIT, arg.submit.group_handle, 0);
	WRONG(SUBMIT, arg.submit.group_handle, NO_SUCH);
	WRONG(SUBMIT, arg.submit.queue_submits.stride, 8);
	WRONG(SUBMIT, arg.submit.queue_submits.array, NOWHERE_PTR);
	WRONG(SUBMIT, job.queue_index, 1);
	WRONG(SUBMIT, job.queue_index, ~0u);
	WRONG(SUBMIT, job.stream_size, 64);
	WRONG(SUBMIT, job.stream_addr, UAPI_VA);
	WRONG(SUBMIT, job.latest_flush, 1u << 24);
	WRONG(SUBMIT, job.pad, 1);
	WRONG(SUBMIT, job.syncs.stride, 4);
	WRONG(SUBMIT, job.syncs.array, NOWHERE_PTR);
	WRONG(SUBMIT, sync.flags, 7);
	WRONG(SUBMIT_AFTER, sync.handle, NO_SUCH);
	WRONG(SUBMIT, sync.timeline_value, 1);
}

static void wrong_heaps(struct uapi *u)
{
	WRONG(HEAP_CREATE, arg.heap.vm_id, NO_SUCH);
	WRONG(HEAP_CREATE, arg.heap.initial_chunk_count, 0);
	WRONG(HEAP_CREATE, arg.heap.initial_chunk_count, 3);
	WRONG(HEAP_CREATE, arg.heap.max_chunks, 0);
	WRONG(HEAP_CREATE, arg.heap.chunk_size, 0);
	WRONG(HEAP_CREATE, arg.heap.chunk_size, 64 * 1024);
	WRONG(HEAP_CREATE, arg.heap.chunk_size, 128 * 1024 + 1);
	WRONG(HEAP_CREATE, arg.heap.chunk_size, 16 * 1024 * 1024);
	WRONG(HEAP_DESTROY, arg.heap_destroy.handle, 0);
	WRONG(HEAP_DESTROY, arg.heap_destroy.handle, NO_SUCH);
	WRONG(HEAP_DESTROY, arg.heap_destroy.handle, u->vm << 16 | 99);
	WRONG(HEAP_DESTROY, arg.heap_destroy.handle, u->other_vm << 16);
	WRONG(HEAP_DESTROY, arg.heap_destroy.pad, 1);
}

void uapi_wrong_calls(struct uapi *u)
{
	wrong_vms(u);
	wrong_binds(u);
	wrong_offsets(u);
	wrong_groups(u);
	wrong_jobs(u);
	wrong_heaps(u);
}

/* Calls for objects that were there once. */
void uapi_gone(struct uapi *u)
{
	WRONG(HEAP_DESTROY, arg.heap_destroy.handle, u->heap);
	WRONG(GROUP_DESTROY, arg.group_destroy.group_handle, u->group);
	WRONG(GROUP_GET_STATE, arg.group_state.group_handle, u->group);
	WRONG(SUBMIT, arg.submit.group_handle, u->group);
	WRONG(VM_DESTROY, arg.vm_destroy.id, u->other_vm);
	WRONG(GROUP_CREATE, arg.group.vm_id, u->other_vm);
	WRONG(MAP, arg.bind.vm_id, u->other_vm);
	WRONG(HEAP_CREATE, arg.heap.vm_id, u->other_vm);
}

/*
 * A signal for a syncobj that does not exist: refused at best. All kernels seen so far (6.12.117)
 * die of it, docs/findings, so it has a mode of its own.
 */
void uapi_wrong_signals(struct uapi *u)
{
	WRONG(SUBMIT, sync.handle, NO_SUCH);
	WRONG(MAP_ASYNC, sync.handle, NO_SUCH);
}

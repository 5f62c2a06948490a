// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What must not be in a call: each field that can be wrong, in the ways in which it can be.
 */

#include "gpu-uapi.h"

#define NOWHERE_PTR	0x10ull		/* no address of a process */
#define NO_SUCH		0x7777u		/* handle or id of nothing */

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
	WRONG(BO_CREATE, arg.bo.size, 1ull << 63);	/* no file can be as large: refused further in */
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
	       WRONG(GROUP_CREATE, arg.group.queues.count, GPU_QUEUES_MAX) &&
	       WRONG(GROUP_CREATE, arg.group.queues.count, ~0u));
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

/*
 * More elements than any memory has room for. Kernels seen so far (6.12.117, 7.3.4) refuse them, and warn of their own
 * allocation, docs/findings, so these have a mode of their own, too.
 */
void uapi_wrong_counts(struct uapi *u)
{
	WRONG(MAP, arg.bind.ops.count, ~0u);
	WRONG(MAP_ASYNC, arg.bind.ops.count, ~0u);
	WRONG(MAP_ASYNC, op.syncs.count, ~0u);
	WRONG(SUBMIT, arg.submit.queue_submits.count, ~0u);
	WRONG(SUBMIT, job.syncs.count, ~0u);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The calls of a script. Each begins as one that works, then every NAME=VALUE of its line is written
 * over the field of that name, whatever it is. What the kernel answers is not looked at.
 */

#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "gpu-fuzz.h"

#define HEAP_CHUNK	0x20000u
#define OF		FUZZ_OF

static void make_nothing(struct fuzz *fuzz, struct fuzz_request *call)
{
	(void)fuzz;
	(void)call;
}

static void make_query(struct fuzz *fuzz, struct fuzz_request *call)
{
	(void)fuzz;
	call->arg.query.size = sizeof(struct drm_panthor_gpu_info);
	call->arg.query.pointer = (uintptr_t)call->info;
}

static void make_unbind(struct fuzz *fuzz, struct fuzz_request *call)
{
	call->arg.bind.vm_id = fuzz->slot[FUZZ_VM][0];
	call->arg.bind.ops = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(1, call->op);
	call->op[0] = (struct drm_panthor_vm_bind_op){
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP,
		.va = FUZZ_MAP_VA,
		.size = FUZZ_MAP_SIZE,
	};
}

static void make_bind(struct fuzz *fuzz, struct fuzz_request *call)
{
	make_unbind(fuzz, call);
	call->op[0].flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC;
	call->op[0].bo_handle = fuzz->slot[FUZZ_BO][0];
}

static void make_sync_only(struct fuzz *fuzz, struct fuzz_request *call)
{
	make_unbind(fuzz, call);
	call->arg.bind.flags = DRM_PANTHOR_VM_BIND_ASYNC;
	call->op[0] = (struct drm_panthor_vm_bind_op){
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY,
	};
}

static void make_bo(struct fuzz *fuzz, struct fuzz_request *call)
{
	(void)fuzz;
	call->arg.bo.size = FUZZ_MAP_SIZE;
}

static void make_group(struct fuzz *fuzz, struct fuzz_request *call)
{
	gpu_group_ask(&fuzz->gpu, fuzz->slot[FUZZ_VM][0], call->queue, GPU_QUEUES_MAX,
		      &call->arg.group);
	call->arg.group.queues.count = 1;
}

static void make_submit(struct fuzz *fuzz, struct fuzz_request *call)
{
	call->arg.submit.group_handle = fuzz->slot[FUZZ_GROUP][0];
	call->arg.submit.queue_submits =
		(struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(1, call->job);
}

static void make_heap(struct fuzz *fuzz, struct fuzz_request *call)
{
	call->arg.heap = (struct drm_panthor_tiler_heap_create){
		.vm_id = fuzz->slot[FUZZ_VM][0],
		.initial_chunk_count = 1,
		.chunk_size = HEAP_CHUNK,
		.max_chunks = 2,
		.target_in_flight = 65535,
	};
}

static void done_vm(struct fuzz *fuzz, struct fuzz_request *call, unsigned int slot)
{
	struct gpu_bo bo = { 0 };
	unsigned int i;

	for (i = 0; i < FUZZ_SLOTS; i++)	/* a number that was free again */
		if (fuzz->vm[i] == call->arg.vm_create.id)
			fuzz->vm[i] = 0;
	fuzz->vm[slot] = call->arg.vm_create.id;
	if (fuzz->streams[slot])	/* a mapping holds the file */
		munmap((void *)fuzz->streams[slot], FUZZ_STREAMS_SIZE);
	fuzz->slot[FUZZ_VM][slot] = call->arg.vm_create.id;
	fuzz->slot[FUZZ_END][slot] = call->arg.vm_create.user_va_range;
	if (gpu_bo_create(&fuzz->gpu, call->arg.vm_create.id, FUZZ_VA, FUZZ_STREAMS_SIZE,
			  DRM_PANTHOR_VM_BIND_OP_MAP_UNCACHED, &bo) == 0)
		fuzz_write_streams(bo.map);
	fuzz->streams[slot] = bo.map;
}

static void done_bo(struct fuzz *fuzz, struct fuzz_request *call, unsigned int slot)
{
	fuzz->slot[FUZZ_BO][slot] = call->arg.bo.handle;
}

static void done_group(struct fuzz *fuzz, struct fuzz_request *call, unsigned int slot)
{
	fuzz->slot[FUZZ_GROUP][slot] = call->arg.group.group_handle;
}

/* Tell the streams of its VM where the heap is. */
static void done_heap(struct fuzz *fuzz, struct fuzz_request *call, unsigned int slot)
{
	const struct drm_panthor_tiler_heap_create *heap = &call->arg.heap;
	unsigned int i;

	fuzz->slot[FUZZ_HEAP][slot] = heap->handle;
	for (i = 0; i < FUZZ_SLOTS; i++)
		if (fuzz->streams[i] && fuzz->slot[FUZZ_VM][i] == heap->vm_id)
			fuzz_set_heap(fuzz->streams[i], heap->tiler_heap_ctx_gpu_va,
				      heap->first_heap_chunk_gpu_va, heap->chunk_size);
}

/* Read and write the object as the CPU sees it, while it is there. */
static void done_offset(struct fuzz *fuzz, struct fuzz_request *call, unsigned int slot)
{
	volatile uint32_t *map = mmap(NULL, GPU_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
				      fuzz->gpu.fd, call->arg.offset.offset);

	(void)slot;
	if (map == MAP_FAILED)
		return;
	map[0] = map[1] + 1;
	munmap((void *)map, GPU_PAGE);
}

#define NOTHING	NULL, 0

static const struct fuzz_call_kind kinds[] = {
	{ "dev_query", DRM_IOCTL_PANTHOR_DEV_QUERY, make_query, NOTHING, .field = {
		{ "type", OF(arg.query.type) }, { "size", OF(arg.query.size) },
		{ "pointer", OF(arg.query.pointer) } } },
	{ "vm_create", DRM_IOCTL_PANTHOR_VM_CREATE, make_nothing, done_vm, FUZZ_VM, .field = {
		{ "flags", OF(arg.vm_create.flags) }, { "va", OF(arg.vm_create.user_va_range) } } },
	{ "vm_destroy", DRM_IOCTL_PANTHOR_VM_DESTROY, make_nothing, NOTHING, .field = {
		{ "vm", OF(arg.vm_destroy.id) }, { "pad", OF(arg.vm_destroy.pad) } } },
	{ "vm_state", DRM_IOCTL_PANTHOR_VM_GET_STATE, make_nothing, NOTHING, .field = {
		{ "vm", OF(arg.vm_state.vm_id) } } },
	{ "bind", DRM_IOCTL_PANTHOR_VM_BIND, make_bind, NOTHING, .field = { FUZZ_BIND_FIELDS } },
	{ "unbind", DRM_IOCTL_PANTHOR_VM_BIND, make_unbind, NOTHING, .field = { FUZZ_BIND_FIELDS } },
	{ "sync_only", DRM_IOCTL_PANTHOR_VM_BIND, make_sync_only, NOTHING, .field = { FUZZ_BIND_FIELDS } },
	{ "bo_create", DRM_IOCTL_PANTHOR_BO_CREATE, make_bo, done_bo, FUZZ_BO, .field = {
		{ "size", OF(arg.bo.size) }, { "flags", OF(arg.bo.flags) },
		{ "vm", OF(arg.bo.exclusive_vm_id) }, { "pad", OF(arg.bo.pad) } } },
	{ "bo_mmap", DRM_IOCTL_PANTHOR_BO_MMAP_OFFSET, make_nothing, done_offset, 0, .field = {
		{ "bo", OF(arg.offset.handle) }, { "pad", OF(arg.offset.pad) } } },
	{ "gem_close", DRM_IOCTL_GEM_CLOSE, make_nothing, NOTHING, .field = {
		{ "bo", OF(arg.gem_close.handle) } } },
	{ "group_create", DRM_IOCTL_PANTHOR_GROUP_CREATE, make_group, done_group, FUZZ_GROUP, .field = {
		{ "vm", OF(arg.group.vm_id) }, { "queues", OF(arg.group.queues.count) },
		{ "stride", OF(arg.group.queues.stride) }, { "prio", OF(arg.group.priority) },
		{ "compute", OF(arg.group.max_compute_cores) },
		{ "fragment", OF(arg.group.max_fragment_cores) },
		{ "tilers", OF(arg.group.max_tiler_cores) },
		{ "cores", OF(arg.group.compute_core_mask) },
		{ "fragments", OF(arg.group.fragment_core_mask) },
		{ "tilings", OF(arg.group.tiler_core_mask) },
		{ "ring", OF(queue[0].ringbuf_size) }, { "qprio", OF(queue[0].priority) },
		{ "pad", OF(arg.group.pad) } } },
	{ "group_destroy", DRM_IOCTL_PANTHOR_GROUP_DESTROY, make_nothing, NOTHING, .field = {
		{ "group", OF(arg.group_destroy.group_handle) },
		{ "pad", OF(arg.group_destroy.pad) } } },
	{ "group_state", DRM_IOCTL_PANTHOR_GROUP_GET_STATE, make_nothing, NOTHING, .field = {
		{ "group", OF(arg.group_state.group_handle) }, { "pad", OF(arg.group_state.pad) } } },
	{ "submit", DRM_IOCTL_PANTHOR_GROUP_SUBMIT, make_submit, NOTHING, .field = {
		{ "group", OF(arg.submit.group_handle) }, { "jobs", OF(arg.submit.queue_submits.count) },
		{ "stride", OF(arg.submit.queue_submits.stride) }, { "queue", OF(job[0].queue_index) },
		{ "addr", OF(job[0].stream_addr) }, { "size", OF(job[0].stream_size) },
		{ "flush", OF(job[0].latest_flush) }, { "pad", OF(arg.submit.pad) } } },
	{ "heap_create", DRM_IOCTL_PANTHOR_TILER_HEAP_CREATE, make_heap, done_heap, FUZZ_HEAP, .field = {
		{ "vm", OF(arg.heap.vm_id) }, { "chunks", OF(arg.heap.initial_chunk_count) },
		{ "size", OF(arg.heap.chunk_size) }, { "max", OF(arg.heap.max_chunks) },
		{ "inflight", OF(arg.heap.target_in_flight) } } },
	{ "heap_destroy", DRM_IOCTL_PANTHOR_TILER_HEAP_DESTROY, make_nothing, NOTHING, .field = {
		{ "heap", OF(arg.heap_destroy.handle) }, { "pad", OF(arg.heap_destroy.pad) } } },
	{ 0 }
};

const struct fuzz_call_kind *fuzz_kind_of(const char *name)
{
	static const struct fuzz_call_kind *const tables[] = { kinds, fuzz_later_kinds, fuzz_memory_kinds };
	const struct fuzz_call_kind *kind;
	size_t i;

	for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (kind = tables[i]; kind->name; kind++)
			if (!strcmp(kind->name, name))
				return kind;
	return NULL;
}

const struct fuzz_field *fuzz_field_of(const struct fuzz_call_kind *kind, const char *name)
{
	const struct fuzz_field *field;

	for (field = kind->field; field < kind->field + FUZZ_ARGS && field->name; field++)
		if (!strcmp(field->name, name))
			return field;
	return NULL;
}

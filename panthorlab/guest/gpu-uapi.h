/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_UAPI_H
#define PANTHORLAB_GUEST_GPU_UAPI_H

#include <limits.h>
#include <stdbool.h>

#include "gpu.h"

struct wrong;

#define UAPI_VA		0x2000000ull	/* where calls that map, map */
#define UAPI_BO_SIZE	0x4000u
#define NOBODY		65534	/* a user without rights */

/**
 * struct call - One ioctl with all that it points to, so that any field of it can be made wrong
 * @request: the ioctl
 * @arg: its argument
 * @queue: array of a GROUP_CREATE
 * @op: array of a VM_BIND
 * @job: array of a GROUP_SUBMIT
 * @sync: sync operation of @op or @job
 * @info: answer of a DEV_QUERY
 */
struct call {
	unsigned long request;
	union gpu_arg arg;
	struct drm_panthor_queue_create queue[GPU_QUEUES_MAX];
	struct drm_panthor_vm_bind_op op;
	struct drm_panthor_queue_submit job;
	struct drm_panthor_sync_op sync;
	struct drm_panthor_gpu_info info;
};

/**
 * struct uapi - One file with an object of each kind
 * @vm: has a heap
 * @other_vm: has none
 * @bo: exclusive to @vm
 * @foreign_bo: exclusive to @other_vm
 * @user_va: where the kernel's own addresses begin
 * @cs_slots: queues that a group may have
 * @judge: what is done with each wrong call; false: leave out worse ones of the same kind
 * @counting: only count the results, for the plan
 * @calls: how often each call is made in the first turn of mode leaks
 * @alone: calls that had to be looked at alone in mode leaks
 * @turns: that seemed to lose something there
 */
struct uapi {
	struct gpu gpu;
	uint32_t vm, other_vm, bo, foreign_bo, group, heap, syncobj;
	uint64_t user_va;
	unsigned int cs_slots;
	bool (*judge)(struct uapi *u, const struct wrong *w);
	bool counting;
	unsigned int results, failed;
	unsigned int calls, alone, turns;
};

/**
 * struct wrong - A call that works but for one field
 * @make: writes the call that works
 * @offset: of the field in struct call
 * @size: of the field
 * @value: of the field
 */
struct wrong {
	const char *name;
	void (*make)(struct uapi *u, struct call *call);
	size_t offset;
	size_t size;
	uint64_t value;
};

int uapi_open(struct uapi *u);
void uapi_wrong_calls(struct uapi *u);
void uapi_wrong_signals(struct uapi *u);
void uapi_wrong_counts(struct uapi *u);
void uapi_gone(struct uapi *u);
void uapi_mappings(struct uapi *u);
int uapi_priorities(struct uapi *u);
void uapi_answers(struct uapi *u);
int uapi_larger_than_memory(struct uapi *u);

int uapi_call(struct uapi *u, const struct wrong *w);
void uapi_leaks(struct uapi *u);
void uapi_result(struct uapi *u, bool ok, const char *name);

void make_DEV_QUERY(struct uapi *u, struct call *call);
void make_VM_CREATE(struct uapi *u, struct call *call);
void make_VM_DESTROY(struct uapi *u, struct call *call);
void make_VM_GET_STATE(struct uapi *u, struct call *call);
void make_MAP(struct uapi *u, struct call *call);
void make_UNMAP(struct uapi *u, struct call *call);
void make_MAP_ASYNC(struct uapi *u, struct call *call);
void make_MAP_AFTER(struct uapi *u, struct call *call);
void make_UNMAP_ASYNC(struct uapi *u, struct call *call);
void make_SYNC_ONLY(struct uapi *u, struct call *call);
void make_BO_CREATE(struct uapi *u, struct call *call);
void make_BO_MMAP_OFFSET(struct uapi *u, struct call *call);
void make_GROUP_CREATE(struct uapi *u, struct call *call);
void make_GROUP_DESTROY(struct uapi *u, struct call *call);
void make_GROUP_GET_STATE(struct uapi *u, struct call *call);
void make_SUBMIT(struct uapi *u, struct call *call);
void make_SUBMIT_AFTER(struct uapi *u, struct call *call);
void make_SUBMIT_NO_SYNCS(struct uapi *u, struct call *call);
void make_SUBMIT_NOTHING(struct uapi *u, struct call *call);
void make_BIND_NOTHING(struct uapi *u, struct call *call);
void make_BIND_NOTHING_ASYNC(struct uapi *u, struct call *call);
void make_MAP_ASYNC_NO_SYNCS(struct uapi *u, struct call *call);
void make_HEAP_CREATE(struct uapi *u, struct call *call);
void make_HEAP_DESTROY(struct uapi *u, struct call *call);

#endif

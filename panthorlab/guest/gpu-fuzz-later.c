// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The calls that panthor has learnt since 1.0, and those of DRM that make a file of a buffer and a buffer of a file. A
 * driver that has one not yet answers ENOTTY, or refuses the flag.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gpu-fuzz.h"

#define LABEL_LENGTH	31u
#define NOTHING		NULL, 0

static void make_sparse(struct fuzz *fuzz, struct fuzz_request *call)
{
	call->arg.bind.vm_id = fuzz->slot[FUZZ_VM][0];
	call->arg.bind.ops = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(1, call->op);
	call->op[0] = (struct drm_panthor_vm_bind_op){
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC | LATER_MAP_SPARSE,
		.va = FUZZ_MAP_VA,
		.size = FUZZ_MAP_SIZE,
	};
}

static void make_bo_sync(struct fuzz *fuzz, struct fuzz_request *call)
{
	call->later.sync.ops = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(1, call->sync_op);
	call->sync_op[0] = (struct later_bo_sync_op){
		.handle = fuzz->slot[FUZZ_BO][0],
		.type = LATER_BO_FLUSH_AND_INVALIDATE,
		.size = FUZZ_MAP_SIZE,
	};
}

static void make_bo_info(struct fuzz *fuzz, struct fuzz_request *call)
{
	call->later.info.handle = fuzz->slot[FUZZ_BO][0];
}

/* A label that ends where @end is written over nothing; else it is longer than labels may be. */
static void make_label(struct fuzz *fuzz, struct fuzz_request *call)
{
	memset(call->label, 'x', sizeof(call->label));
	call->label[LABEL_LENGTH] = '\0';
	call->later.label.handle = fuzz->slot[FUZZ_BO][0];
	call->later.label.label = (uintptr_t)call->label;
}

static void make_mmio_offset(struct fuzz *fuzz, struct fuzz_request *call)
{
	(void)fuzz;
	call->later.mmio.offset = LATER_MMIO_64BIT;
}

static void make_time(struct fuzz *fuzz, struct fuzz_request *call)
{
	(void)fuzz;
	call->arg.query.type = LATER_QUERY_TIMESTAMP;
	call->arg.query.size = sizeof(call->time);
	call->arg.query.pointer = (uintptr_t)&call->time;
}

static void make_export(struct fuzz *fuzz, struct fuzz_request *call)
{
	call->later.prime.handle = fuzz->slot[FUZZ_BO][0];
	call->later.prime.flags = DRM_CLOEXEC | DRM_RDWR;
	call->later.prime.fd = -1;
}

static void make_import(struct fuzz *fuzz, struct fuzz_request *call)
{
	call->later.prime.fd = fuzz->slot[FUZZ_FILE][0];
}

static void done_export(struct fuzz *fuzz, struct fuzz_request *call, unsigned int slot)
{
	int before = fuzz->slot[FUZZ_FILE][slot];

	if (before >= 0)
		close(before);
	fuzz->slot[FUZZ_FILE][slot] = call->later.prime.fd;
}

static void done_import(struct fuzz *fuzz, struct fuzz_request *call, unsigned int slot)
{
	fuzz->slot[FUZZ_BO][slot] = call->later.prime.handle;
}

const struct fuzz_call_kind fuzz_later_kinds[] = {
	{ "sparse", DRM_IOCTL_PANTHOR_VM_BIND, make_sparse, NOTHING, .field = { FUZZ_BIND_FIELDS } },
	{ "bo_sync", LATER_IOCTL_BO_SYNC, make_bo_sync, NOTHING, .field = {
		{ "bo", FUZZ_OF(sync_op[0].handle) }, { "type", FUZZ_OF(sync_op[0].type) },
		{ "offset", FUZZ_OF(sync_op[0].offset) }, { "size", FUZZ_OF(sync_op[0].size) },
		{ "ops", FUZZ_OF(later.sync.ops.count) }, { "stride", FUZZ_OF(later.sync.ops.stride) } } },
	{ "bo_info", LATER_IOCTL_BO_INFO, make_bo_info, NOTHING, .field = {
		{ "bo", FUZZ_OF(later.info.handle) }, { "pad", FUZZ_OF(later.info.pad) } } },
	{ "bo_label", LATER_IOCTL_SET_LABEL, make_label, NOTHING, .field = {
		{ "bo", FUZZ_OF(later.label.handle) }, { "label", FUZZ_OF(later.label.label) },
		{ "end", FUZZ_OF(label[LABEL_LENGTH]) }, { "pad", FUZZ_OF(later.label.pad) } } },
	{ "mmio_offset", LATER_IOCTL_SET_MMIO_OFFSET, make_mmio_offset, NOTHING, .field = {
		{ "offset", FUZZ_OF(later.mmio.offset) } } },
	{ "query_time", DRM_IOCTL_PANTHOR_DEV_QUERY, make_time, NOTHING, .field = {
		{ "flags", FUZZ_OF(time.flags) }, { "size", FUZZ_OF(arg.query.size) },
		{ "pointer", FUZZ_OF(arg.query.pointer) } } },
	{ "export", DRM_IOCTL_PRIME_HANDLE_TO_FD, make_export, done_export, FUZZ_FILE, .field = {
		{ "bo", FUZZ_OF(later.prime.handle) }, { "flags", FUZZ_OF(later.prime.flags) } }, .alone = true },
	{ "import", DRM_IOCTL_PRIME_FD_TO_HANDLE, make_import, done_import, FUZZ_BO, .field = {
		{ "file", FUZZ_OF(later.prime.fd) }, { "flags", FUZZ_OF(later.prime.flags) } }, .alone = true },
	{ 0 }
};

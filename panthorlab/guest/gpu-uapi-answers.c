// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What calls that work answer and do, where nobody would notice at once if it were otherwise: sizes and counts that
 * are told, arrays of a newer user space, what a buffer may not be used for, and each limit held against its own mask.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gpu-uapi.h"

#define NEWER		2u	/* words that a newer user space has at the end of a structure */
#define BIT_31		(1u << 31)

/**
 * struct answer - A promise of the uAPI
 * @holds: 0 if it is kept, else an errno and a line in last_error()
 */
struct answer {
	const char *name;
	int (*holds)(struct uapi *u);
};

static int size_is(struct uapi *u, uint32_t type, uint32_t size)
{
	struct drm_panthor_dev_query query = { .type = type };
	int ret = GPU_IOCTL(&u->gpu, PANTHOR_DEV_QUERY, &query);

	return ret ?: query.size == size ? 0 : fail(-EPROTO, "type %u: %u bytes, not %u", type, query.size, size);
}

/* The headers are those of the kernel, so its structures are as large as ours. */
static int query_sizes(struct uapi *u)
{
	return size_is(u, DRM_PANTHOR_DEV_QUERY_GPU_INFO, sizeof(struct drm_panthor_gpu_info)) ?:
	       size_is(u, DRM_PANTHOR_DEV_QUERY_CSIF_INFO, sizeof(struct drm_panthor_csif_info));
}

static int query_larger(struct uapi *u)
{
	struct {
		struct drm_panthor_csif_info csif;
		uint32_t newer[NEWER];
	} info;
	struct drm_panthor_dev_query query = {
		.type = DRM_PANTHOR_DEV_QUERY_CSIF_INFO,
		.size = sizeof(info),
		.pointer = (uintptr_t)&info,
	};
	int ret;

	memset(&info, 0xff, sizeof(info));
	ret = GPU_IOCTL(&u->gpu, PANTHOR_DEV_QUERY, &query);
	if (ret || (!info.newer[0] && !info.newer[1] && info.csif.cs_slot_count == u->cs_slots))
		return ret;
	return fail(-EPROTO, "%u queues, and 0x%x, 0x%x behind", info.csif.cs_slot_count, info.newer[0], info.newer[1]);
}

static int buffer_size(struct uapi *u)
{
	struct drm_panthor_bo_create create = { .size = 100 };
	int ret = GPU_IOCTL(&u->gpu, PANTHOR_BO_CREATE, &create);

	if (ret || create.size == GPU_PAGE)
		return ret;
	return fail(-EPROTO, "a buffer of 100 bytes has %llu", (unsigned long long)create.size);
}

static int user_range(struct uapi *u)
{
	struct drm_panthor_vm_create create = { .user_va_range = 1ull << 40 };
	int ret = GPU_IOCTL(&u->gpu, PANTHOR_VM_CREATE, &create);

	if (!ret && create.user_va_range < 1ull << 40)
		ret = fail(-EPROTO, "less than was asked for: 0x%llx", (unsigned long long)create.user_va_range);
	return ret ?: gpu_vm_destroy(&u->gpu, create.id);
}

/* Page @page of the buffer, to the same page of the range. */
static struct drm_panthor_vm_bind_op page_op(const struct uapi *u, unsigned int page)
{
	return (struct drm_panthor_vm_bind_op){
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
		.bo_handle = u->bo,
		.bo_offset = page * GPU_PAGE,
		.va = UAPI_VA + page * GPU_PAGE,
		.size = GPU_PAGE,
	};
}

/* So that user space knows what has been done, and what has not. */
static int failed_operation(struct uapi *u)
{
	struct drm_panthor_vm_bind_op ops[] = { page_op(u, 0), page_op(u, 1), page_op(u, 2), page_op(u, 3) };
	struct drm_panthor_vm_bind bind = { .vm_id = u->vm, .ops = DRM_PANTHOR_OBJ_ARRAY(4, ops) };
	int ret;

	ops[2].va++;
	ret = GPU_IOCTL(&u->gpu, PANTHOR_VM_BIND, &bind);
	if (ret != -EINVAL)
		return fail(-EPROTO, "a mapping at no page: %d", ret);
	return bind.ops.count == 2 ? 0 : fail(-EPROTO, "the third failed, %u were done", bind.ops.count);
}

static int larger_elements(struct uapi *u)
{
	struct {
		struct drm_panthor_vm_bind_op op;
		uint64_t newer[NEWER];
	} ops[3] = { { .op = page_op(u, 0) }, { .op = page_op(u, 1) }, { .op = page_op(u, 2) } };
	struct drm_panthor_vm_bind bind = { .vm_id = u->vm, .ops = DRM_PANTHOR_OBJ_ARRAY(3, ops) };
	int ret = GPU_IOCTL(&u->gpu, PANTHOR_VM_BIND, &bind);

	if (ret)
		return ret;
	/* What this kernel does not know must not be asked for. */
	ops[2].newer[NEWER - 1] = 1;
	ret = GPU_IOCTL(&u->gpu, PANTHOR_VM_BIND, &bind);
	return ret == -E2BIG ? 0 : fail(-EPROTO, "what no kernel knows by now: %d", ret);
}

#define REFUSED_EARLY	4	/* minor version: since then there is no offset for what cannot be mapped */

/* How far one gets: an offset, a mapping. */
struct way {
	bool offset;
	bool mapped;
};

static int mapped(struct uapi *u, uint32_t flags, struct way *way)
{
	struct drm_panthor_bo_create create = { .size = GPU_PAGE, .flags = flags };
	struct drm_panthor_bo_mmap_offset offset = { 0 };
	void *at;
	int ret = GPU_IOCTL(&u->gpu, PANTHOR_BO_CREATE, &create);

	offset.handle = create.handle;
	*way = (struct way){ .offset = !ret && !GPU_IOCTL(&u->gpu, PANTHOR_BO_MMAP_OFFSET, &offset) };
	if (!way->offset)
		return ret;
	at = mmap(NULL, GPU_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, u->gpu.fd, offset.offset);
	way->mapped = at != MAP_FAILED;
	return way->mapped ? munmap(at, GPU_PAGE) : 0;
}

static int not_mapped(struct uapi *u)
{
	struct way may, may_not;
	int ret = mapped(u, 0, &may) ?: mapped(u, DRM_PANTHOR_BO_NO_MMAP, &may_not);

	if (ret)
		return ret;
	if (!may.mapped || may_not.mapped)
		return fail(-EPROTO, "mapped: %d without the flag, %d with it", may.mapped, may_not.mapped);
	if (may_not.offset && u->gpu.version[0] == 1 && u->gpu.version[1] >= REFUSED_EARLY)
		return fail(-EPROTO, "what cannot be mapped has an offset to map it by");
	return 0;
}

/* 0, and the descriptor is closed; or why not. */
static int exported(struct uapi *u, uint32_t handle)
{
	struct drm_prime_handle prime = { .handle = handle, .flags = DRM_CLOEXEC, .fd = -1 };
	int ret = GPU_IOCTL(&u->gpu, PRIME_HANDLE_TO_FD, &prime);

	return ret ?: close(prime.fd);
}

static int exclusive(struct uapi *u)
{
	struct drm_panthor_bo_create create = { .size = GPU_PAGE };
	int ret = GPU_IOCTL(&u->gpu, PANTHOR_BO_CREATE, &create) ?: exported(u, create.handle);

	if (ret)
		return ret;
	ret = exported(u, u->bo);
	return ret == -EINVAL ? 0 : fail(-EPROTO, "a buffer that belongs to a VM is exported: %d", ret);
}

/* Only bits 24 to 30 are none of its. */
static int flush_id(struct uapi *u)
{
	struct call call = { 0 };

	make_SUBMIT(u, &call);
	call.job.latest_flush = BIT_31 | 0xffffff;
	return gpu_ioctl(&u->gpu, call.request, &call.arg, "a flush id with bit 31");
}

static int group_of(struct uapi *u, uint64_t compute, unsigned int computing, uint64_t fragment, unsigned int drawing)
{
	struct call call = { 0 };
	int ret;

	make_GROUP_CREATE(u, &call);
	call.arg.group.compute_core_mask = compute;
	call.arg.group.max_compute_cores = computing;
	call.arg.group.fragment_core_mask = fragment;
	call.arg.group.max_fragment_cores = drawing;
	ret = gpu_ioctl(&u->gpu, call.request, &call.arg, "GROUP_CREATE");
	return ret ?: gpu_group_destroy(&u->gpu, call.arg.group.group_handle);
}

static int cores(struct uapi *u)
{
	uint64_t all = u->gpu.shader_cores, one = all & -all;
	unsigned int most = __builtin_popcountll(all);
	int ret = group_of(u, all, most, one, 1) ?: group_of(u, one, 1, all, most);

	if (ret || most == 1)
		return ret;
	if (group_of(u, all, most, one, 2) != -EINVAL)
		return fail(-EPROTO, "two fragment cores of one");
	if (group_of(u, one, 2, all, most) != -EINVAL)
		return fail(-EPROTO, "two compute cores of one");
	return 0;
}

static const struct answer answers[] = {
	{ "sizes of what is told", query_sizes },
	{ "zeros behind what is told", query_larger },
	{ "the size that a buffer has", buffer_size },
	{ "as much address space as was asked for", user_range },
	{ "which operation has failed", failed_operation },
	{ "larger elements of an array", larger_elements },
	{ "a buffer that the CPU may not map", not_mapped },
	{ "a buffer that belongs to one VM", exclusive },
	{ "every flush id that there may be", flush_id },
	{ "no more cores than in their own mask", cores },
	{ "a buffer that is larger than all memory, each time", uapi_larger_than_memory },
};

void uapi_answers(struct uapi *u)
{
	size_t i;

	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		if (u->counting)
			u->results++;
		else
			uapi_result(u, !answers[i].holds(u), answers[i].name);
	}
}

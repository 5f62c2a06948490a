// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What buffers are, caches of the CPU, the place of LATEST_FLUSH_ID in a file, page sizes.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu-later.h"

#define NO_SUCH		0x7777u
#define NOWHERE_PTR	0x10ull		/* no address of a process */
#define NEWER		0xffffffffu	/* in what the driver is to write */

/* -- mmio-offset -------------------------------------------------------------------------------------------------- */

static int set_offset(struct gpu *gpu, uint64_t offset)
{
	struct later_set_mmio_offset call = { .offset = offset };

	return gpu_ioctl(gpu, LATER_IOCTL_SET_MMIO_OFFSET, &call, "SET_USER_MMIO_OFFSET");
}

/* Whether a page of the file is one that can be mapped and read. */
static bool maps(struct gpu *gpu, uint64_t offset)
{
	void *at = mmap(NULL, GPU_PAGE, PROT_READ, MAP_SHARED, gpu->fd, offset);

	if (at == MAP_FAILED)
		return false;
	(void)*(volatile uint32_t *)at;
	munmap(at, GPU_PAGE);
	return true;
}

static int only_at(struct gpu *gpu, uint64_t there, uint64_t not_there)
{
	if (!maps(gpu, there))
		return fail(0, "not at 0x%llx", (unsigned long long)there);
	if (maps(gpu, not_there))
		return fail(0, "also at 0x%llx", (unsigned long long)not_there);
	if (maps(gpu, there + GPU_PAGE) || maps(gpu, there - GPU_PAGE))
		return fail(0, "there is something beside 0x%llx", (unsigned long long)there);
	return 0;
}

static int at_first(struct later *later)
{
	return only_at(&later->scene.gpu, LATER_MMIO_64BIT, LATER_MMIO_32BIT);
}

static int moved(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu, other;
	void *at;
	int ret = set_offset(gpu, LATER_MMIO_32BIT) ?: only_at(gpu, LATER_MMIO_32BIT, LATER_MMIO_64BIT);

	ret = ret ?: gpu_open(&other) ?: only_at(&other, LATER_MMIO_64BIT, LATER_MMIO_32BIT);
	gpu_close(&other);
	ret = ret ?: later_mmap(gpu, later->bo.handle, later->bo.size, &at);
	return ret ?: munmap(at, later->bo.size);
}

static int moved_back(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu;

	return set_offset(gpu, LATER_MMIO_32BIT) ?: set_offset(gpu, LATER_MMIO_64BIT) ?: at_first(later);
}

static void make_offset(struct later *later, struct later_call *call)
{
	(void)later;
	call->request = LATER_IOCTL_SET_MMIO_OFFSET;
	call->arg.mmio.offset = LATER_MMIO_32BIT;
}

static int wrong_offsets(struct later *later)
{
	static const struct later_wrong wrong[] = {
		LATER_WRONG(make_offset, arg.mmio.offset, 0),
		LATER_WRONG(make_offset, arg.mmio.offset, GPU_PAGE),
		LATER_WRONG(make_offset, arg.mmio.offset, LATER_MMIO_32BIT + GPU_PAGE),
		LATER_WRONG(make_offset, arg.mmio.offset, LATER_MMIO_32BIT | LATER_MMIO_64BIT),
		LATER_WRONG(make_offset, arg.mmio.offset, 1ull << 44),
		LATER_WRONG(make_offset, arg.mmio.offset, ~0ull),
	};
	int ret = later_refused(later, wrong, LATER_COUNT(wrong));

	/* What is refused moves nothing. */
	if (!ret && !gpu_refusal(set_offset(&later->scene.gpu, GPU_PAGE)))
		ret = fail(0, "the offset of a page");
	return ret ?: only_at(&later->scene.gpu, LATER_MMIO_32BIT, LATER_MMIO_64BIT);
}

int later_mmio_offset(void)
{
	static const struct later_check checks[] = {
		{ "where it is at first", at_first },
		{ "moved, for this file", moved },
		{ "moved back", moved_back },
		{ "wrong places", wrong_offsets },
	};

	return LATER_RUN("mmio-offset", 5, "SET_USER_MMIO_OFFSET", checks);
}

/* -- bo-info ------------------------------------------------------------------------------------------------------ */

static int info_is(struct gpu *gpu, uint32_t handle, uint32_t create_flags)
{
	struct later_bo_info info = { handle, NEWER, NEWER, NEWER };
	int ret = gpu_ioctl(gpu, LATER_IOCTL_BO_INFO, &info, "BO_QUERY_INFO");

	if (!ret && (info.handle != handle || info.create_flags != create_flags || info.extra_flags || info.pad))
		ret = fail(0, "buffer %u is told to be %u: create flags 0x%x, extra flags 0x%x, pad 0x%x", handle,
			   info.handle, info.create_flags, info.extra_flags, info.pad);
	return ret;
}

/* Also for another file that has the buffer, and for this one when it comes back: it is no other driver's. */
static int told_as_made(struct later *later, uint32_t flags)
{
	struct gpu *gpu = &later->scene.gpu, other;
	uint32_t handle, there, again;
	int fd, ret = later_bo(gpu, GPU_PAGE, flags, &handle) ?: info_is(gpu, handle, flags);

	ret = ret ?: later_export(gpu, handle, &fd) ?: info_is(gpu, handle, flags) ?: gpu_open(&other);
	ret = ret ?: later_import(&other, fd, &there) ?: info_is(&other, there, flags);
	ret = ret ?: later_import(gpu, fd, &again) ?: info_is(gpu, again, flags);
	if (!ret && again != handle)
		ret = fail(0, "back home it is another buffer: %u, not %u", again, handle);
	gpu_close(&other);
	return ret ?: later_close(gpu, handle);
}

static int flags_told(struct later *later)
{
	return told_as_made(later, 0) ?: told_as_made(later, DRM_PANTHOR_BO_NO_MMAP) ?:
	       told_as_made(later, LATER_BO_WB_MMAP);
}

static int exclusive_told(struct later *later)
{
	return info_is(&later->scene.gpu, later->scene.streams.handle, 0);
}

static void make_info(struct later *later, struct later_call *call)
{
	call->request = LATER_IOCTL_BO_INFO;
	call->arg.info.handle = later->bo.handle;
}

static void make_bo(struct later *later, struct later_call *call)
{
	(void)later;
	call->request = DRM_IOCTL_PANTHOR_BO_CREATE;
	call->arg.create = (struct drm_panthor_bo_create){ .size = GPU_PAGE, .flags = LATER_BO_WB_MMAP };
}

static int wrong_infos(struct later *later)
{
	static const struct later_wrong wrong[] = {
		LATER_WRONG(make_info, arg.info.handle, 0),
		LATER_WRONG(make_info, arg.info.handle, NO_SUCH),
		LATER_WRONG(make_bo, arg.create.flags, LATER_BO_WB_MMAP | DRM_PANTHOR_BO_NO_MMAP),
		LATER_WRONG(make_bo, arg.create.flags, LATER_BO_WB_MMAP | 1 << 2),
		LATER_WRONG(make_bo, arg.create.flags, LATER_BO_WB_MMAP | 1u << 31),
	};

	return later_refused(later, wrong, LATER_COUNT(wrong));
}

int later_bo_info(void)
{
	static const struct later_check checks[] = {
		{ "flags of each kind of buffer", flags_told },
		{ "a buffer that belongs to a VM", exclusive_told },
		{ "wrong buffers", wrong_infos },
	};

	return LATER_RUN("bo-info", 7, "BO_QUERY_INFO", checks);
}

/* -- mmu-info ----------------------------------------------------------------------------------------------------- */

#define PAGE_SIZES	(GPU_PAGE | 2u << 20)	/* of every Mali with a command stream frontend */

static int page_sizes(struct later *later)
{
	struct later_mmu_info info;
	int ret = gpu_query(&later->scene.gpu, LATER_QUERY_MMU, &info, sizeof(info));

	return ret ?: info.page_sizes == PAGE_SIZES ? 0 : fail(0, "0x%llx", (unsigned long long)info.page_sizes);
}

static int mmu_size(struct later *later)
{
	struct drm_panthor_dev_query call = { .type = LATER_QUERY_MMU };
	int ret = GPU_IOCTL(&later->scene.gpu, PANTHOR_DEV_QUERY, &call);

	return ret ?: call.size >= sizeof(struct later_mmu_info) ? 0 : fail(0, "%u bytes", call.size);
}

static void make_mmu(struct later *later, struct later_call *call)
{
	(void)later;
	call->request = DRM_IOCTL_PANTHOR_DEV_QUERY;
	call->arg.query = (struct drm_panthor_dev_query){
		.type = LATER_QUERY_MMU,
		.size = sizeof(struct later_mmu_info),
		.pointer = (uintptr_t)&call->time,
	};
}

static int wrong_mmu(struct later *later)
{
	static const struct later_wrong wrong[] = {
		LATER_WRONG(make_mmu, arg.query.size, 0),
		LATER_WRONG(make_mmu, arg.query.size, 4),
		LATER_WRONG(make_mmu, arg.query.pointer, NOWHERE_PTR),
	};

	return later_refused(later, wrong, LATER_COUNT(wrong));
}

int later_mmu_info(void)
{
	static const struct later_check checks[] = {
		{ "page sizes", page_sizes },
		{ "the size that is told", mmu_size },
		{ "wrong buffers", wrong_mmu },
	};

	return LATER_RUN("mmu-info", 9, "MMU_INFO", checks);
}

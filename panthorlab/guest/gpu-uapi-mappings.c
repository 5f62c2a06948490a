// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a GPU file has to map: the page of LATEST_FLUSH_ID, to be read and shared and nothing else, and
 * buffer objects. Each mapping that must be refused is one that works but for one thing.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "gpu-uapi.h"

#define FLUSH_ID	DRM_PANTHOR_USER_FLUSH_ID_MMIO_OFFSET
#define ANY_ERROR	1

/**
 * struct mapping - A call of mmap(), and maybe one of mprotect()
 * @bo: of a buffer object; else at @offset
 * @then: protection to be asked for afterwards, 0: none
 * @expected: 0: all works, negative errno: mmap() or mprotect() must fail with it, ANY_ERROR: with any
 */
struct mapping {
	const char *name;
	bool bo;
	uint64_t offset;
	size_t size;
	int protection, flags, then;
	int expected;
};

static const struct mapping mappings[] = {
	{ "flush id, read and shared", false, FLUSH_ID, GPU_PAGE, PROT_READ, MAP_SHARED, 0, 0 },
	{ "flush id, private", false, FLUSH_ID, GPU_PAGE, PROT_READ, MAP_PRIVATE, 0, -EINVAL },
	{ "flush id, written", false, FLUSH_ID, GPU_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0, -EINVAL },
	{ "flush id, written and private", false, FLUSH_ID, GPU_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0,
	  -EINVAL },
	{ "flush id, executed", false, FLUSH_ID, GPU_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, 0, -EINVAL },
	{ "flush id, two pages", false, FLUSH_ID, 2 * GPU_PAGE, PROT_READ, MAP_SHARED, 0, -EINVAL },
	{ "flush id, written later", false, FLUSH_ID, GPU_PAGE, PROT_READ, MAP_SHARED,
	  PROT_READ | PROT_WRITE, -EACCES },
	{ "behind the flush id", false, FLUSH_ID + GPU_PAGE, GPU_PAGE, PROT_READ, MAP_SHARED, 0, -EINVAL },
	{ "offset of nothing", false, 0x1000, GPU_PAGE, PROT_READ, MAP_SHARED, 0, ANY_ERROR },
	{ "buffer, read and written", true, 0, UAPI_BO_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0, 0 },
	{ "buffer, beyond its end", true, 0, UAPI_BO_SIZE + GPU_PAGE, PROT_READ, MAP_SHARED, 0, ANY_ERROR },
	{ "buffer, private", true, 0, UAPI_BO_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, ANY_ERROR },
};

/* What became of the calls: 0 or a negative errno. */
static int map(struct uapi *u, const struct mapping *mapping)
{
	struct drm_panthor_bo_mmap_offset offset = { .handle = u->bo, .offset = mapping->offset };
	int error = 0;
	void *at;

	if (mapping->bo && GPU_IOCTL(&u->gpu, PANTHOR_BO_MMAP_OFFSET, &offset))
		return -EIO;
	at = mmap(NULL, mapping->size, mapping->protection, mapping->flags, u->gpu.fd, offset.offset);
	if (at == MAP_FAILED)
		return -errno;
	if (mapping->then && mprotect(at, mapping->size, mapping->then))
		error = -errno;
	if (!error && !mapping->expected)
		(void)*(volatile uint32_t *)at;
	munmap(at, mapping->size);
	return error;
}

void uapi_mappings(struct uapi *u)
{
	size_t i;

	for (i = 0; i < sizeof(mappings) / sizeof(mappings[0]); i++) {
		const struct mapping *mapping = &mappings[i];
		int got;

		if (u->counting) {
			u->results++;
			continue;
		}
		got = map(u, mapping);
		fail(0, "got %d, expected %d", got, mapping->expected);
		uapi_result(u, mapping->expected == ANY_ERROR ? got < 0 && got != -EIO : got == mapping->expected,
			    mapping->name);
	}
}

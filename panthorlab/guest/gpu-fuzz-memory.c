// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the CPU has of buffers: mappings that stay for as long as the script likes, of files, of dma-bufs and of the
 * register page; and memory that the driver lets go of. Each page of a buffer that is mapped whole gets a mark, which
 * nothing in a script may take away.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-buf.h>

#include "gpu-evict.h"
#include "gpu-fuzz.h"

#define MARK		0xb0f00000u	/* and the number of the page */
#define MARK_AT		4000u		/* in a page: no stream is there, and none stores there */

static volatile uint32_t *mark_of(const struct fuzz_map *map, unsigned int page)
{
	return (volatile uint32_t *)(map->at + (size_t)page * GPU_PAGE + MARK_AT);
}

/* Whoever maps a buffer later finds the marks of the first. One that has something else there is left alone. */
static void mark(struct fuzz_map *map)
{
	unsigned int page, pages = map->size / GPU_PAGE;

	for (page = 0; page < pages; page++) {
		volatile uint32_t *word = mark_of(map, page);

		if (!*word)
			*word = MARK + page;
		if (*word != MARK + page)
			return;
	}
	map->pages = pages;
}

static int look(const struct fuzz_map *map)
{
	unsigned int page;

	for (page = 0; page < map->pages; page++)
		if (*mark_of(map, page) != MARK + page)
			return -EUCLEAN;
	return 0;
}

static struct fuzz_map *map_at(struct fuzz *fuzz, uint64_t at)
{
	unsigned int i;

	for (i = 0; i < FUZZ_SLOTS; i++)
		if (at && fuzz->map[i].at == (char *)(uintptr_t)at)
			return &fuzz->map[i];
	return NULL;
}

static void drop(struct fuzz *fuzz, unsigned int slot)
{
	if (fuzz->map[slot].at)
		munmap(fuzz->map[slot].at, fuzz->map[slot].size);
	fuzz->map[slot] = (struct fuzz_map){ 0 };
	fuzz->slot[FUZZ_MAP][slot] = 0;
}

static void keep(struct fuzz *fuzz, unsigned int slot, const struct fuzz_plain *how, int fd, off_t offset)
{
	int protection = how->flags ? (int)how->flags : PROT_READ | PROT_WRITE;
	void *at = mmap(NULL, how->size, protection, MAP_SHARED, fd, offset + how->from);

	drop(fuzz, slot);
	if (at == MAP_FAILED)
		return;
	fuzz->map[slot] = (struct fuzz_map){ .at = at, .size = how->size };
	fuzz->slot[FUZZ_MAP][slot] = (uintptr_t)at;
	if (!how->from && protection & PROT_WRITE)
		mark(&fuzz->map[slot]);
}

static void make_map(struct fuzz *fuzz, struct fuzz_request *call)
{
	call->arg.offset.handle = fuzz->slot[FUZZ_BO][0];
	call->plain.size = FUZZ_MAP_SIZE;
}

static void done_map(struct fuzz *fuzz, struct fuzz_request *call, unsigned int slot)
{
	keep(fuzz, slot, &call->plain, fuzz->gpu.fd, call->arg.offset.offset);
}

static void make_file(struct fuzz *fuzz, struct fuzz_request *call)
{
	call->plain.file = fuzz->slot[FUZZ_FILE][0];
	call->plain.size = FUZZ_MAP_SIZE;
	call->plain.flags = DMA_BUF_SYNC_RW;
}

static int nothing(struct fuzz *fuzz, struct fuzz_request *call)
{
	(void)fuzz;
	(void)call;
	return 0;
}

static void done_file_map(struct fuzz *fuzz, struct fuzz_request *call, unsigned int slot)
{
	keep(fuzz, slot, &call->plain, call->plain.file, 0);
}

static int perform_access(struct fuzz *fuzz, struct fuzz_request *call)
{
	struct dma_buf_sync sync = { .flags = call->plain.flags };

	(void)fuzz;
	return ioctl(call->plain.file, DMA_BUF_IOCTL_SYNC, &sync) ? -errno : 0;
}

/* Only what the script has opened. */
static int perform_file_close(struct fuzz *fuzz, struct fuzz_request *call)
{
	unsigned int i;

	for (i = 0; call->plain.file >= 0 && i < FUZZ_SLOTS; i++)
		if ((int)fuzz->slot[FUZZ_FILE][i] == call->plain.file) {
			close(call->plain.file);
			fuzz->slot[FUZZ_FILE][i] = -1;
			return 0;
		}
	return -EBADF;
}

static void make_mmio(struct fuzz *fuzz, struct fuzz_request *call)
{
	(void)fuzz;
	call->plain.from = DRM_PANTHOR_USER_FLUSH_ID_MMIO_OFFSET;
	call->plain.size = GPU_PAGE;
	call->plain.flags = PROT_READ;
}

static void done_mmio(struct fuzz *fuzz, struct fuzz_request *call, unsigned int slot)
{
	keep(fuzz, slot, &call->plain, fuzz->gpu.fd, 0);
}

static void make_map_use(struct fuzz *fuzz, struct fuzz_request *call)
{
	call->plain.map = fuzz->slot[FUZZ_MAP][0];
	call->plain.size = UINT64_MAX;
}

/* Each page is read; the marks must be there. */
static int perform_touch(struct fuzz *fuzz, struct fuzz_request *call)
{
	const struct fuzz_map *map = map_at(fuzz, call->plain.map);
	size_t at;

	for (at = 0; map && at < map->size; at += GPU_PAGE)
		(void)*(volatile uint32_t *)(map->at + at);
	return map ? look(map) : -EFAULT;
}

/*
 * A part of it, or all. What is left is read and written no more: the driver may take another page for it
 * (docs/findings/0043).
 */
static int perform_unmap(struct fuzz *fuzz, struct fuzz_request *call)
{
	struct fuzz_map *map = map_at(fuzz, call->plain.map);
	uint64_t from = call->plain.from, size = call->plain.size;
	int ret;

	if (!map || from >= map->size || from % GPU_PAGE)
		return -EINVAL;
	ret = look(map);
	if (size >= map->size - from && !from) {
		drop(fuzz, map - fuzz->map);
		return ret;
	}
	size = size > map->size - from ? map->size - from : size;
	map->pages = 0;
	munmap(map->at + from, size);
	/* What is between is somebody else's soon: only the part before it is kept. */
	if (from + size < map->size)
		munmap(map->at + from + size, map->size - from - size);
	map->size = from;
	if (!from)
		drop(fuzz, map - fuzz->map);
	return ret;
}

static void make_evict(struct fuzz *fuzz, struct fuzz_request *call)
{
	(void)fuzz;
	call->plain.pages = ALL_PAGES;
}

/* The driver lets go of so many pages, and with `out` what was in them is written to the disk. */
static int perform_evict(struct fuzz *fuzz, struct fuzz_request *call)
{
	unsigned long gone;
	int ret = evict_can(&fuzz->gpu) ? evict_pages(&fuzz->gpu, call->plain.pages, &gone) : -ENOENT;

	return !ret && call->plain.out ? swap_out(0) : ret;
}

void fuzz_memory_begin(struct fuzz *fuzz)
{
	unsigned int i;

	for (i = 0; i < FUZZ_SLOTS; i++)
		fuzz->slot[FUZZ_FILE][i] = -1;
}

#define FILE_FIELD	{ "file", FUZZ_OF(plain.file) }
#define PLACE_FIELDS	{ "from", FUZZ_OF(plain.from) }, { "size", FUZZ_OF(plain.size) }

const struct fuzz_call_kind fuzz_memory_kinds[] = {
	{ "map", DRM_IOCTL_PANTHOR_BO_MMAP_OFFSET, make_map, done_map, FUZZ_MAP, .field = {
		{ "bo", FUZZ_OF(arg.offset.handle) }, PLACE_FIELDS }, .alone = true },
	{ "file_map", 0, make_file, done_file_map, FUZZ_MAP, .field = { FILE_FIELD, PLACE_FIELDS }, .perform = nothing, .alone = true },
	{ "mmio_map", 0, make_mmio, done_mmio, FUZZ_MAP, .field = {
		{ "offset", FUZZ_OF(plain.from) }, { "size", FUZZ_OF(plain.size) },
		{ "flags", FUZZ_OF(plain.flags) } }, .perform = nothing, .alone = true },
	{ "touch", 0, make_map_use, NULL, 0, .field = { { "map", FUZZ_OF(plain.map) } }, .perform = perform_touch, .alone = true },
	{ "unmap", 0, make_map_use, NULL, 0, .field = { { "map", FUZZ_OF(plain.map) }, PLACE_FIELDS }, .perform = perform_unmap, .alone = true },
	{ "access", 0, make_file, NULL, 0, .field = { FILE_FIELD, { "flags", FUZZ_OF(plain.flags) } }, .perform = perform_access },
	{ "file_close", 0, make_file, NULL, 0, .field = { FILE_FIELD }, .perform = perform_file_close, .alone = true },
	{ "evict", 0, make_evict, NULL, 0, .field = {
		{ "pages", FUZZ_OF(plain.pages) }, { "out", FUZZ_OF(plain.out) } }, .perform = perform_evict },
	{ 0 }
};

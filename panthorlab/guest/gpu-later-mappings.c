// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Parts of a buffer for the CPU: a file that is mapped from its second page on, a mapping whose first page is unmapped
 * before anybody has touched it, and a buffer that the CPU may not map. Kernels seen so far show the first page
 * instead of the second, and map the third (docs/findings), so no suite does this.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gpu-later.h"

static void number_pages(struct later *later)
{
	unsigned int page;

	for (page = 0; page < LATER_BO_SIZE / GPU_PAGE; page++)
		later->words[page * (GPU_PAGE / 4)] = page;
}

/* Page @page of the buffer is what is at @at. */
static int page_is(const volatile void *at, unsigned int page)
{
	uint32_t is = *(const volatile uint32_t *)at;

	return is == page ? 0 : fail(0, "page %u is where page %u must be", is, page);
}

static int part_of_a_file(struct later *later)
{
	void *at;
	int fd, ret = later_export(&later->scene.gpu, later->bo.handle, &fd);

	if (ret)
		return ret;
	number_pages(later);
	at = mmap(NULL, 2 * GPU_PAGE, PROT_READ, MAP_SHARED, fd, GPU_PAGE);
	close(fd);
	if (at == MAP_FAILED)
		return fail(-errno, "mmap of a part of a dma-buf");
	ret = page_is(at, 1) ?: page_is((char *)at + GPU_PAGE, 2);
	munmap(at, 2 * GPU_PAGE);
	return ret;
}

/* The first page of the mapping goes, then the others are looked at for the first time. */
static int rest_of(void *at)
{
	int ret;

	if (munmap(at, GPU_PAGE))
		return fail(-errno, "munmap of a page");
	ret = page_is((char *)at + GPU_PAGE, 1) ?: page_is((char *)at + 2 * GPU_PAGE, 2);
	munmap((char *)at + GPU_PAGE, LATER_BO_SIZE - GPU_PAGE);
	return ret;
}

static int rest_of_a_mapping(struct later *later)
{
	void *at;
	int ret = later_mmap(&later->scene.gpu, later->bo.handle, LATER_BO_SIZE, &at);

	number_pages(later);
	return ret ?: rest_of(at);
}

static int not_mapped(struct later *later)
{
	uint32_t handle;
	void *at;
	int fd, ret = later_bo(&later->scene.gpu, GPU_PAGE, DRM_PANTHOR_BO_NO_MMAP, &handle);

	ret = ret ?: later_export(&later->scene.gpu, handle, &fd);
	if (ret)
		return ret;
	at = mmap(NULL, GPU_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at != MAP_FAILED) {
		*(volatile uint32_t *)at = 1;
		munmap(at, GPU_PAGE);
		ret = fail(0, "it is mapped by its dma-buf");
	}
	return ret ?: later_close(&later->scene.gpu, handle);
}

int later_mappings(void)
{
	static const struct later_check checks[] = {
		{ "part of a dma-buf", part_of_a_file },
		{ "what is left of a mapping", rest_of_a_mapping },
		{ "a buffer that the CPU may not map", not_mapped },
	};

	return LATER_RUN("mappings", 0, "PRIME", checks);
}

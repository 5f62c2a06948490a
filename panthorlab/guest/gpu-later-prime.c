// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Buffers as files (PRIME): another file of the same GPU has the same memory, the CPU has it by the dma-buf, and it
 * goes with the last who has it.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-buf.h>

#include "gpu-later.h"
#include "held.h"

#define SHARED_VA	0x8000000ull
#define SIZE		(4 * GPU_PAGE)
#define WORD(page)	((page) * (GPU_PAGE / 4))
#define LARGE		(2u << 20)	/* bytes that can be told from what else comes and goes */
#define TOLERABLE_KIB	512
#define SETTLE_MS	500

/* A second file with a VM and a group. */
static struct scene other;

static int access_of_cpu(int fd, uint64_t flags)
{
	struct dma_buf_sync sync = { .flags = flags };

	return ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync) ? fail(-errno, "DMA_BUF_IOCTL_SYNC 0x%llx",
							    (unsigned long long)flags) : 0;
}

static int map_file(int fd, size_t size, off_t offset, volatile uint32_t **words)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

	*words = at;
	return at == MAP_FAILED ? fail(-errno, "mmap of a dma-buf") : 0;
}

/* The CPU writes @mine for a job of @scene to load, and reads what that stores. */
static int turns(struct scene *scene, int fd, volatile uint32_t *word, uint64_t va, uint32_t mine)
{
	uint32_t is = 0;
	int ret = access_of_cpu(fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW);

	if (!ret)
		*word = mine;
	ret = ret ?: access_of_cpu(fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW) ?: later_loads(scene, va, mine);
	ret = ret ?: later_stores(scene, va, ~mine) ?: access_of_cpu(fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ);
	if (!ret)
		is = *word;
	ret = ret ?: access_of_cpu(fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ);
	return ret ?: is == ~mine ? 0 : fail(0, "0x%x instead of 0x%x", is, ~mine);
}

/* Of each kind of buffer, and also of one that only the GPU has had so far. */
static int of_cpu(struct later *later)
{
	static const uint32_t kinds[] = { 0, LATER_BO_WB_MMAP };
	unsigned int i, page, known = later->scene.gpu.version[1] >= 7 ? 2 : 1;
	int ret = 0;

	for (i = 0; !ret && i < known; i++) {
		volatile uint32_t *words;
		uint32_t handle;
		int fd;

		ret = later_bo(&later->scene.gpu, SIZE, kinds[i], &handle);
		ret = ret ?: later_map(&later->scene.gpu, later->scene.vm, handle, SHARED_VA, SIZE);
		ret = ret ?: later_export(&later->scene.gpu, handle, &fd) ?: map_file(fd, SIZE, 0, &words);
		for (page = 0; !ret && page < SIZE / GPU_PAGE; page++)
			ret = turns(&later->scene, fd, &words[WORD(page)], SHARED_VA + page * GPU_PAGE, 0x9e1f0000 + page);
		if (ret)
			return ret;
		munmap((void *)words, SIZE);
		close(fd);
		ret = later_close(&later->scene.gpu, handle);
	}
	return ret;
}

static int wrong_access(struct later *later)
{
	int fd, ret = later_export(&later->scene.gpu, later->bo.handle, &fd);

	ret = ret ?: access_of_cpu(fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE) ?:
	      access_of_cpu(fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE);
	if (!ret && (access_of_cpu(fd, DMA_BUF_SYNC_START) != -EINVAL ||
		     access_of_cpu(fd, 1 << 3 | DMA_BUF_SYNC_RW) != -EINVAL))
		ret = fail(0, "access of no kind is granted");
	if (!ret && lseek(fd, 0, SEEK_END) != LATER_BO_SIZE)
		ret = fail(0, "the file has %lld bytes", (long long)lseek(fd, 0, SEEK_END));
	close(fd);
	return ret;
}

/* The other file has the same memory, at another address, and both GPUs' jobs and mappings see what either does. */
static int of_both_files(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu;
	uint32_t handle, again, back;
	void *map;
	volatile uint32_t *words;
	int fd, ret = later_export(gpu, later->bo.handle, &fd) ?: scene_create(&other, 1);

	ret = ret ?: later_import(&other.gpu, fd, &handle) ?: later_import(&other.gpu, fd, &again);
	ret = ret ?: later_import(gpu, fd, &back);
	close(fd);
	if (!ret && (again != handle || back != later->bo.handle))
		ret = fail(0, "imported again it is %u, not %u; at home %u, not %u", again, handle, back, later->bo.handle);
	ret = ret ?: later_map(&other.gpu, other.vm, handle, SHARED_VA, LATER_BO_SIZE);
	ret = ret ?: later_mmap(&other.gpu, handle, LATER_BO_SIZE, &map);
	if (ret)
		return ret;
	words = map;
	ret = later_stores(&later->scene, later->bo.va, 0x111) ?: later_loads(&other, SHARED_VA, 0x111);
	ret = ret ?: later_stores(&other, SHARED_VA + 8, 0x222) ?: later_loads(&later->scene, later->bo.va + 8, 0x222);
	if (!ret && (words[0] != 0x111 || later->words[2] != 0x222))
		ret = fail(0, "the mappings have 0x%x and 0x%x", words[0], later->words[2]);
	munmap(map, LATER_BO_SIZE);
	return ret ?: later_close(&other.gpu, handle);
}

/* The handle of the other file stays when this one's goes, and the GPU's mapping when both go. */
static int outlives_handle(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu;
	uint32_t handle, there;
	int fd, ret = later_bo(gpu, SIZE, 0, &handle) ?: later_export(gpu, handle, &fd);

	ret = ret ?: later_map(gpu, later->scene.vm, handle, SHARED_VA, SIZE);
	ret = ret ?: later_stores(&later->scene, SHARED_VA, 0x333) ?: later_import(&other.gpu, fd, &there);
	close(fd);
	ret = ret ?: later_close(gpu, handle) ?: later_map(&other.gpu, other.vm, there, SHARED_VA, SIZE);
	ret = ret ?: later_close(&other.gpu, there) ?: later_loads(&other, SHARED_VA, 0x333);
	return ret ?: later_stores(&other, SHARED_VA + 4, 0x444) ?: later_loads(&later->scene, SHARED_VA + 4, 0x444);
}

/* Memory that the CPU has written to, which is not there before that. */
static int filled(struct gpu *gpu, uint32_t *handle)
{
	void *at;
	int ret = later_bo(gpu, LARGE, 0, handle) ?: later_mmap(gpu, *handle, LARGE, &at);

	if (ret)
		return ret;
	memset(at, 1, LARGE);
	return munmap(at, LARGE) ? fail(-errno, "munmap") : 0;
}

static int has_gone(struct later *later, uint64_t offset, long before)
{
	long more;

	if (later_gems(&later->scene.gpu) && !later_row(&later->scene.gpu, offset, NULL))
		return fail(0, "nobody has the buffer, and it has its row");
	more = held_more(before, TOLERABLE_KIB, SETTLE_MS);
	return more > TOLERABLE_KIB ? fail(0, "nobody has the buffer, and there are %ld KiB of it", more) : 0;
}

static int is_there(struct later *later, uint64_t offset, long before)
{
	long more = held_kib() - before;

	if (later_gems(&later->scene.gpu) && later_row(&later->scene.gpu, offset, NULL))
		return fail(0, "somebody has the buffer, and it has no row");
	return more < LARGE / 1024 / 2 ? fail(0, "somebody has the buffer, and there are %ld KiB of it", more) : 0;
}

/* Handle, file and the other one's handle go in this order: the buffer is there until the last of them has gone. */
static int in_order(struct later *later, const unsigned int *order)
{
	struct gpu *gpu = &later->scene.gpu;
	long before = held_kib();
	uint32_t handle, there;
	uint64_t offset;
	unsigned int step;
	int fd, ret = filled(gpu, &handle) ?: later_offset(gpu, handle, &offset);

	ret = ret ?: later_export(gpu, handle, &fd) ?: later_import(&other.gpu, fd, &there);
	for (step = 0; !ret && step < 3; step++) {
		if (step == 2)
			ret = is_there(later, offset, before);
		switch (order[step]) {
		case 0:
			ret = ret ?: later_close(gpu, handle);
			break;
		case 1:
			ret = ret ?: close(fd) ? fail(-errno, "close") : 0;
			break;
		default:
			ret = ret ?: later_close(&other.gpu, there);
		}
	}
	return ret ?: has_gone(later, offset, before);
}

static int goes_with_the_last(struct later *later)
{
	static const unsigned int orders[][3] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
	};
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < LATER_COUNT(orders); i++)
		ret = in_order(later, orders[i]);
	return ret;
}

static void make_export(struct later *later, struct later_call *call)
{
	call->request = DRM_IOCTL_PRIME_HANDLE_TO_FD;
	call->arg.prime = (struct drm_prime_handle){ .handle = later->bo.handle, .flags = DRM_CLOEXEC | DRM_RDWR };
}

static int wrong_files(struct later *later)
{
	static struct later_wrong wrong[] = {
		LATER_WRONG(make_export, arg.prime.handle, 0),
		LATER_WRONG(make_export, arg.prime.handle, 0x7777),
		LATER_WRONG(make_export, arg.prime.flags, 1u << 30),
		LATER_WRONG(make_export, arg.prime.handle, 0),
	};
	uint32_t handle;
	int ret;

	wrong[3].name = "a buffer that belongs to a VM";
	wrong[3].value = later->scene.streams.handle;
	ret = later_refused(later, wrong, LATER_COUNT(wrong));
	if (!ret && !gpu_refusal(later_import(&other.gpu, later->scene.gpu.fd, &handle)))
		ret = fail(0, "a file that is no dma-buf becomes a buffer");
	return ret;
}

int later_prime(void)
{
	static const struct later_check checks[] = {
		{ "a dma-buf is the CPU's and the GPU's", of_cpu },
		{ "wrong access", wrong_access },
		{ "two files have one buffer", of_both_files },
		{ "it outlives its handles", outlives_handle },
		{ "it goes with the last who has it", goes_with_the_last },
		{ "wrong files", wrong_files },
	};

	return LATER_RUN("prime", 0, "PRIME", checks);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What fdinfo tells of a file, and of its memory.
 */

#include <unistd.h>

#include "gpu-files.h"
#include "gpu-later-usage.h"
#include "ktap.h"

#define MEMORY_VA	0x9000000ull
#define LISTED_VA	0x9100000ull
#define SIZE		(3ll * GPU_PAGE)
#define HEAP_CHUNK	(128ll * 1024)
#define CHUNKS		4

int usage_look(const struct gpu *gpu, struct usage *usage)
{
	static char text[FDINFO_SIZE];
	int ret = fdinfo_read(gpu, text);

	*usage = (struct usage){ -1, -1, -1, -1, -1, 0 };
	if (ret)
		return ret;
	fdinfo_number(text, "drm-engine-panthor", &usage->ns);
	fdinfo_number(text, "drm-cycles-panthor", &usage->cycles);
	fdinfo_number(text, "drm-total-memory", &usage->total);
	fdinfo_number(text, "drm-shared-memory", &usage->shared);
	fdinfo_number(text, "panthor-resident-memory", &usage->own);
	fdinfo_number(text, "drm-resident-memory", &usage->resident);
	return 0;
}

int usage_told(const struct gpu *gpu, bool *told)
{
	static char text[FDINFO_SIZE];
	long long hz = -1;
	int ret = fdinfo_read(gpu, text);

	if (!ret)
		fdinfo_number(text, "drm-maxfreq-panthor", &hz);
	*told = hz >= 0;
	return ret;
}

#define ANY		-1	/* bytes that may be resident, or not: kernels before 7.0 have all pages at once */

static int expect(struct gpu *gpu, const struct usage *before, long long total, long long shared, long long resident,
		  const char *what)
{
	struct usage after;
	int ret = usage_look(gpu, &after);

	if (!ret && (after.total - before->total != total || after.shared - before->shared != shared ||
		     (resident != ANY && after.resident - before->resident != resident)))
		ret = fail(0, "%s: %lld bytes more, %lld of them shared, %lld resident", what,
			   after.total - before->total, after.shared - before->shared, after.resident - before->resident);
	return ret;
}

/* One buffer: made, used by the GPU, shared, had by another file as well, and gone. */
static int memory_of_a_buffer(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu, other;
	struct usage before, others;
	uint32_t handle, there;
	int fd, ret = usage_look(gpu, &before) ?: gpu_open(&other) ?: usage_look(&other, &others);

	ret = ret ?: later_bo(gpu, SIZE, 0, &handle) ?: expect(gpu, &before, SIZE, 0, gpu->version[1] >= 7 ? 0 : ANY, "made");
	ret = ret ?: later_map(gpu, later->scene.vm, handle, MEMORY_VA, SIZE);
	ret = ret ?: expect(gpu, &before, SIZE, 0, SIZE, "mapped") ?: later_export(gpu, handle, &fd);
	ret = ret ?: expect(gpu, &before, SIZE, SIZE, SIZE, "a file") ?: expect(&other, &others, 0, 0, 0, "another's");
	ret = ret ?: later_import(&other, fd, &there) ?: expect(gpu, &before, SIZE, SIZE, SIZE, "shared");
	ret = ret ?: expect(&other, &others, SIZE, SIZE, SIZE, "imported") ?: later_close(gpu, handle);
	ret = ret ?: expect(gpu, &before, 0, 0, 0, "closed") ?: expect(&other, &others, SIZE, SIZE, SIZE, "left over");
	close(fd);
	ret = ret ?: later_close(&other, there) ?: expect(&other, &others, 0, 0, 0, "closed there, too");
	gpu_close(&other);
	return ret;
}

/* In debugfs, against what the list told before: the row of the buffer, and the sums, where they are told. */
static int listed(struct gpu *gpu, uint64_t offset, const struct later_sizes *before, long long resident, const char *what)
{
	struct later_sizes now;
	long long more, reclaimable;
	int ret = later_sizes(gpu, offset, &now);

	more = before->all_resident < 0 ? resident : now.all_resident - before->all_resident;
	reclaimable = before->all_reclaimable < 0 ? resident : now.all_reclaimable - before->all_reclaimable;
	if (!ret && (now.size != SIZE || now.resident != resident || more != resident || reclaimable != resident))
		ret = fail(0, "%s: %lld bytes, %lld resident; of all %lld more, %lld more to be had", what, now.size,
			   now.resident, more, reclaimable);
	return ret;
}

/* A buffer has memory from its first use on. What it has, and what of that may be taken away from it. */
static int memory_in_the_list(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu;
	struct later_sizes made;
	uint32_t handle;
	uint64_t offset;
	int ret;

	if (!later_gems(gpu) || gpu->version[1] < 7)	/* kernels before 7.0 have all pages at once, and tell no sums */
		return 0;
	ret = later_bo(gpu, SIZE, 0, &handle) ?: later_offset(gpu, handle, &offset);
	ret = ret ?: later_sizes(gpu, offset, &made) ?: listed(gpu, offset, &made, 0, "made");
	ret = ret ?: later_map(gpu, later->scene.vm, handle, LISTED_VA, SIZE);
	ret = ret ?: listed(gpu, offset, &made, SIZE, "mapped");
	return ret ?: later_close(gpu, handle);
}

/* What a heap has is told with what the driver has for the file, while the heap is there and no longer. */
static int memory_of_a_heap(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu;
	struct usage before, with, after;
	struct gpu_heap heap;
	int ret = gpu_heap_create(gpu, later->scene.vm, 1, HEAP_CHUNK, 1, &heap);	/* makes the VM's pool, which stays */

	ret = ret ?: gpu_heap_destroy(gpu, heap.handle) ?: usage_look(gpu, &before);
	if (ret || before.own < 0)
		return ret;
	ret = gpu_heap_create(gpu, later->scene.vm, CHUNKS, HEAP_CHUNK, CHUNKS, &heap) ?: usage_look(gpu, &with);
	ret = ret ?: gpu_heap_destroy(gpu, heap.handle) ?: usage_look(gpu, &after);
	if (!ret && (with.own != before.own + CHUNKS * HEAP_CHUNK || after.own != before.own))
		ret = fail(0, "%lld bytes of the driver's own, %lld with a heap of %lld, then %lld", before.own, with.own,
			   CHUNKS * HEAP_CHUNK, after.own);
	return ret;
}

int later_memory(void)
{
	static const struct later_check checks[] = {
		{ "memory of a buffer", memory_of_a_buffer },
		{ "memory of a heap", memory_of_a_heap },
		{ "memory in the list of buffers", memory_in_the_list },
	};
	struct gpu gpu;
	bool told;
	int ret = gpu_open(&gpu) ?: usage_told(&gpu, &told);

	gpu_close(&gpu);
	if (!ret && !told) {
		ktap_start(1);
		out("ok 1 memory # SKIP fdinfo does not tell of memory\n");
		out_flush();
		return 0;
	}
	return LATER_RUN("memory", 0, "memory in fdinfo", checks);
}

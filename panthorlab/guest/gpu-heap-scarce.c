// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A heap for which there is not memory enough: it has all chunks that were asked for, or there is none. The kernel is told
 * to promise no more memory than for some of the chunks, as an administrator may (vm.overcommit_memory=2): what it refuses
 * then are pages, and no allocation is made to fail.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "gpu-heap.h"
#include "ktap.h"

#define CHUNKS		8u
#define CHUNK_KIB	2048ll

#define POLICY		"/proc/sys/vm/overcommit_memory"
#define KBYTES		"/proc/sys/vm/overcommit_kbytes"
#define RATIO		"/proc/sys/vm/overcommit_ratio"
#define NEVER		"2"	/* more than there is */

/**
 * struct promises - How the kernel is set, as text
 */
struct promises {
	char policy[32], kbytes[32], ratio[32];
};

static int meminfo(const char *key, long long *kib)
{
	static char text[8192];
	const char *line;
	int ret = read_text("/proc/meminfo", text, sizeof(text));

	line = ret ? NULL : strstr(text, key);
	if (!ret && (!line || sscanf(line + strlen(key), ": %lld", kib) != 1))
		ret = fail(0, "no %s in /proc/meminfo", key);
	return ret;
}

/* The policy first: what is promised by then is counted anew when it changes. */
static int promise(long long more_kib)
{
	long long promised, swap;
	char text[32];
	int ret = write_text(POLICY, NEVER) ?: meminfo("Committed_AS", &promised) ?: meminfo("SwapTotal", &swap);

	snprintf(text, sizeof(text), "%lld", promised + more_kib > swap ? promised + more_kib - swap : 1);
	return ret ?: write_text(KBYTES, text);
}

/* Each of the two limits sets the other one to 0. */
static int restore(const struct promises *was)
{
	return write_text(POLICY, was->policy) ?: write_text(atoll(was->kbytes) ? KBYTES : RATIO,
							       atoll(was->kbytes) ? was->kbytes : was->ratio);
}

/* A heap while there is room for @room chunks. @cost: what its being there has cost. */
static int heap_with(struct heap_scene *scene, unsigned int chunks, unsigned int room, const struct promises *was,
		     struct gpu_heap *heap, long long *cost_kib)
{
	long long before, after;
	int set = promise(room * CHUNK_KIB), made, ret;

	ret = set ?: meminfo("Committed_AS", &before);
	made = ret ?: gpu_heap_create(&scene->gpu, scene->vm, chunks, CHUNK_KIB * 1024, chunks, heap);
	ret = ret ?: meminfo("Committed_AS", &after);
	*cost_kib = ret ? 0 : after - before;
	ret = restore(was) ?: ret;
	if (!ret && !made)
		return gpu_heap_destroy(&scene->gpu, heap->handle);
	return ret ? -1 : made;
}

static int all_or_none(struct heap_scene *scene, const struct promises *was, unsigned int *refused)
{
	struct gpu_heap heap;
	long long cost;
	unsigned int room;

	for (room = CHUNKS - 1; room && !*refused; room--) {
		int ret = heap_with(scene, CHUNKS, room, was, &heap, &cost);

		if (ret)
			*refused = heap_with(scene, 1, room, was, &heap, &cost) ? 0 : CHUNKS - room;
		else if (cost < (CHUNKS - 1) * CHUNK_KIB)
			return fail(0, "a heap of %u chunks of %lld KiB was made of %lld KiB", CHUNKS, CHUNK_KIB, cost);
	}
	return 0;
}

void heap_scarce(struct heap_checks *checks, unsigned int count)
{
	struct promises was = { 0 };
	struct heap_scene scene;
	struct gpu_heap heap;
	unsigned int refused = 0;
	int ret = heap_open(&scene);

	(void)count;
	ret = ret ?: read_text(POLICY, was.policy, sizeof(was.policy)) ?: read_text(KBYTES, was.kbytes, sizeof(was.kbytes)) ?:
	      read_text(RATIO, was.ratio, sizeof(was.ratio));
	/* What the VM has for heaps, and for its first one, stays. */
	ret = ret ?: gpu_heap_create(&scene.gpu, scene.vm, 1, CHUNK_KIB * 1024, 1, &heap) ?:
	      gpu_heap_destroy(&scene.gpu, heap.handle);
	heap_check(checks, ret ?: all_or_none(&scene, &was, &refused), "a heap has all its chunks, or there is none");
	ret = ret ?: gpu_heap_create(&scene.gpu, scene.vm, CHUNKS, CHUNK_KIB * 1024, CHUNKS, &heap) ?:
	      gpu_heap_destroy(&scene.gpu, heap.handle);
	heap_check(checks, ret, "it is there when there is memory again");
	out("# info refused=%u\n", refused);
	heap_scene_close(&scene);
}

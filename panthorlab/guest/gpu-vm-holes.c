// SPDX-License-Identifier: GPL-2.0-or-later
/* Mode holes: where nothing is mapped any more, a store must fault. */

#include "gpu-vm.h"

#include <errno.h>
#include <stdio.h>

#include "gpu-vm-arena.h"
#include "ktap.h"

#define FATAL_MS	2000

static int wait_fatal(struct arena *arena, uint32_t group)
{
	uint32_t state, queues;
	int ret = gpu_wait_group_state(&arena->scene.gpu, group, DRM_PANTHOR_GROUP_STATE_FATAL_FAULT,
				       FATAL_MS, &state, &queues);

	if (!ret && !(state & DRM_PANTHOR_GROUP_STATE_FATAL_FAULT))
		return fail(-ETIME, "the group is not flagged fatal after its fault, %u ms", FATAL_MS);
	return ret;
}

/*
 * A store to @page must fault and reach nothing, in a group of its own, which it costs. @was: what
 * was mapped there. The status of the fence does not tell: a kernel that hears of the end of the
 * job before the fault says success.
 */
static int must_fault(struct arena *arena, unsigned int page, struct place was)
{
	uint64_t va = ARENA_VA + (uint64_t)page * GPU_PAGE;
	struct cs cs = scene_stream(&arena->scene, 0);
	uint32_t before = *word_of(arena, was), group;
	int status, ret;

	ret = gpu_group_create(&arena->scene.gpu, arena->scene.vm, 1, &group);
	if (ret)
		return ret;
	scene_store(&cs, va, ~before);
	ret = scene_submit(&arena->scene, group, 0, &cs, 0);
	if (!ret)
		ret = gpu_fence_status(&arena->scene.gpu, arena->scene.syncobj[0], GPU_TIMEOUT_MS,
				       &status);
	if (!ret && *word_of(arena, was) != before)
		ret = fail(0, "page %u: a store reached the buffer that was unmapped", page);
	if (!ret)
		ret = wait_fatal(arena, group);
	if (!ret)
		out("# info fault%u=0x%llx\n# fence status %d\n", page, (unsigned long long)va, status);
	return ret ?: gpu_group_destroy(&arena->scene.gpu, group);
}

/* The middle, the end and all of what the GPU has just used: no translation may be left over. */
int mode_holes(unsigned int count, unsigned int seed)
{
	static const struct { unsigned int start, size, faults; } holes[] = {
		{ 3, 2, 4 }, { 6, 4, 8 }, { 0, 1, 0 }, { 15, 1, 15 }, { 0, 16, 9 },
	};
	static struct arena arena;
	unsigned int i, failed = 0;
	int ret;

	(void)count, (void)seed;
	ktap_start(sizeof(holes) / sizeof(holes[0]));
	ret = arena_create(&arena, 8);
	for (i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
		struct place was;
		char name[64];

		arena.async = i % 2;
		if (!ret)
			ret = bind_op(&arena, map_op(&arena, 0, 8, 0, 0));
		if (!ret)
			ret = bind_op(&arena, map_op(&arena, 8, 8, 1, 0));
		if (!ret)
			ret = probe_around(&arena, holes[i].start, holes[i].start + holes[i].size);
		was = arena.at[holes[i].faults];
		if (!ret)
			ret = bind_op(&arena, unmap_op(&arena, holes[i].start, holes[i].size));
		if (!ret)
			ret = must_fault(&arena, holes[i].faults, was);
		/* A fault costs the VM its groups and, until all have gone, its address space. */
		if (!ret)
			ret = gpu_group_create(&arena.scene.gpu, arena.scene.vm, 1,
					       &arena.scene.group);
		if (!ret)
			ret = probe_around(&arena, holes[i].start, holes[i].start + holes[i].size);
		snprintf(name, sizeof(name), "pages %u to %u unmapped", holes[i].start,
			 holes[i].start + holes[i].size - 1);
		ktap_result(i + 1, !ret, name, last_error());
		failed += ret != 0;
	}
	return failed ? 1 : 0;
}

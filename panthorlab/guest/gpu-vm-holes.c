// SPDX-License-Identifier: GPL-2.0-or-later
/* Mode holes: where nothing is mapped any more, a store must fault. */

#include "gpu-vm.h"

#include <stdio.h>

#include "gpu-vm-arena.h"
#include "ktap.h"

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
			ret = scene_must_fault(&arena.scene, ARENA_VA + (uint64_t)holes[i].faults * GPU_PAGE,
					       word_of(&arena, was));
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

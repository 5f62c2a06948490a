// SPDX-License-Identifier: GPL-2.0-or-later
/* Mode random: operations drawn from a seed, several in one call. */

#include "gpu-vm.h"

#include <stdio.h>

#include "gpu-vm-arena.h"
#include "ktap.h"

#define PROBES_MAX	40u
#define OPS_MAX		4u

static unsigned int draw(uint64_t *state, unsigned int below)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (*state >> 33) % below;
}

static int random_call(struct arena *arena, uint64_t *state)
{
	struct drm_panthor_vm_bind_op ops[OPS_MAX];
	unsigned int n = 1 + draw(state, OPS_MAX), pages[PROBES_MAX], probes = 0, i;
	int ret;

	arena->async = draw(state, 2);
	for (i = 0; i < n; i++) {
		unsigned int start = draw(state, arena->pages);
		unsigned int size = 1 + draw(state, arena->pages - start);
		unsigned int bo = draw(state, BOS);

		if (draw(state, 3)) {
			if (size > arena->bo_pages)
				size = arena->bo_pages;
			ops[i] = map_op(arena, start, size, bo,
					draw(state, arena->bo_pages - size + 1));
		} else {
			ops[i] = unmap_op(arena, start, size);
		}
		pages[probes++] = start - 1;
		pages[probes++] = start;
		pages[probes++] = start + size - 1;
		pages[probes++] = start + size;
		pages[probes++] = start + draw(state, size);
	}
	ret = bind_ops(arena, ops, n);
	return ret ?: probe(arena, pages, probes);
}

int mode_random(unsigned int count, unsigned int seed)
{
	static struct arena arena;
	uint64_t state = seed;
	unsigned int i;
	char why[160];
	int ret;

	ktap_start(1);
	ret = arena_create(&arena, 64);
	for (i = 0; !ret && i < count; i++)
		ret = random_call(&arena, &state);
	snprintf(why, sizeof(why), "call %u of seed %u: %s", i, seed, last_error());
	out("# operations %u\n# probes %u\n", arena.ops, arena.probes);
	ktap_result(1, !ret && arena.probes, "random binds", why);
	return ret ? 1 : 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* Modes small, huge and huge-pages: parts of mappings, around every place where one could be cut wrongly. */

#include "gpu-vm.h"

#include <stdio.h>

#include "gpu-vm-arena.h"
#include "ktap.h"

/* Both BOs side by side; without [start, end); with the other BO there; with nothing. */
static int cut(struct arena *arena, unsigned int start, unsigned int end)
{
	unsigned int size = end - start, other = start < arena->bo_pages;
	int ret;

	ret = bind_op(arena, map_op(arena, 0, arena->bo_pages, 0, 0));
	if (!ret)
		ret = bind_op(arena, map_op(arena, arena->bo_pages, arena->bo_pages, 1, 0));
	if (!ret)
		ret = bind_op(arena, unmap_op(arena, start, size));
	if (!ret)
		ret = probe_around(arena, start, end);
	if (size > arena->bo_pages)
		size = arena->bo_pages;
	if (!ret)
		ret = bind_op(arena, map_op(arena, start, size, other, arena->bo_pages - size));
	if (!ret)
		ret = probe_around(arena, start, start + size);
	/* Over what is mapped by now, so that a map splits mappings, too. */
	if (!ret && size > 1)
		ret = bind_op(arena, map_op(arena, start + 1, size - 1, !other, 0));
	if (!ret)
		ret = probe_around(arena, start, start + size);
	return ret ?: bind_op(arena, unmap_op(arena, 0, arena->pages));
}

/* Huge pages for all of the buffers, as far as there are any. */
static int have_huge_pages(struct arena *arena)
{
	long before, after;
	unsigned int i, page;
	int ret = huge_pages_ask();

	before = ret ?: huge_pages_kib();
	for (i = 0; before >= 0 && i < BOS; i++)
		for (page = 0; page < arena->bo_pages; page++)
			*word_of(arena, (struct place){ .bo = i + 1, .page = page }) = 0;
	after = before < 0 ? before : huge_pages_kib();
	ret = huge_pages_end();
	if (after < 0 || ret)
		return after < 0 ? (int)after : ret;
	out("# info huge_kib=%ld\n", after - before);
	return 0;
}

/* Every pair of @points, synchronously and asynchronously. */
static int cuts(unsigned int bo_pages, bool huge_pages, const unsigned int *points, unsigned int count)
{
	static struct arena arena;
	unsigned int i, k, failed = 0;
	int way, ret;

	ktap_start(2);
	ret = arena_create(&arena, bo_pages);
	if (!ret && huge_pages)
		ret = have_huge_pages(&arena);
	for (way = 0; way < 2; way++) {
		char why[128];

		arena.async = way;
		for (i = 0; !ret && i < count; i++) {
			for (k = i + 1; !ret && k < count; k++) {
				ret = cut(&arena, points[i], points[k]);
				snprintf(why, sizeof(why), "[%u, %u): %s", points[i], points[k],
					 last_error());
			}
		}
		out("# operations %u\n# probes %u\n", arena.ops, arena.probes);
		if (!ret && !arena.probes)
			ret = fail(0, "nothing was probed");
		ktap_result(way + 1, !ret, way ? "asynchronously" : "synchronously",
			    arena.ops ? why : last_error());
		failed += ret != 0;
	}
	return failed ? 1 : 0;
}

int mode_small(unsigned int count, unsigned int seed)
{
	static const unsigned int points[] = { 0, 1, 4, 7, 8, 9, 15, 16 };

	(void)count, (void)seed;
	return cuts(8, false, points, sizeof(points) / sizeof(points[0]));
}

static const unsigned int huge_points[] = { 0, 1, 511, 512, 1024, 1025, 1536, 2048 };

#define HUGE_POINTS	(sizeof(huge_points) / sizeof(huge_points[0]))

int mode_huge(unsigned int count, unsigned int seed)
{
	(void)count, (void)seed;
	return cuts(1024, false, huge_points, HUGE_POINTS);
}

int mode_huge_pages(unsigned int count, unsigned int seed)
{
	(void)count, (void)seed;
	return cuts(1024, true, huge_points, HUGE_POINTS);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A VM that is destroyed while TILER_HEAP_CREATE makes a heap in it: the call has found the VM and its
 * pool of heaps, and takes memory for the chunks; the pool is gone when it has that.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "gpu-race.h"
#include "gpu-race-edge.h"
#include "ktap.h"

#define CHUNK_SIZE	0x20000u
#define CHUNKS		4u
#define STEP_NS		2048	/* of the places where the VM is found, and where the heap is made */
#define EARLIEST_NS	10000	/* after the call has been started */
#define WHOLE_NS	200000	/* a first guess at how long it takes; twice as long until one is made */

static void call_heap(struct actor *actor)
{
	struct drm_panthor_tiler_heap_create create = {
		.vm_id = actor->race->handle,
		.initial_chunk_count = CHUNKS,
		.chunk_size = CHUNK_SIZE,
		.max_chunks = CHUNKS,
		.target_in_flight = 65535,
	};

	actor->ret = raw(actor->race, DRM_IOCTL_PANTHOR_TILER_HEAP_CREATE, &create);
}

/**
 * struct tally - Calls, by where they were when their VM went
 * @refused: those that made no heap
 * @made: those that had made one
 */
struct tally {
	unsigned int refused, made;
};

/* Stopped around the place where the heap is made: half of the calls shortly before it. */
static int heap_round(struct race *race, struct actor *maker, struct edge *edge, struct tally *tally)
{
	uint32_t handle;
	int destroyed, ret = vm_make(race, 0, &handle);

	if (ret)
		return fail(ret, "VM_CREATE");
	race->handle = handle;
	ret = actor_stop_after(maker, ACTOR, EARLIEST_NS + edge->ns / 2 + rand() % (edge->ns / 2 + 1));
	destroyed = vm_drop(race, handle);
	ret = actor_finish_last(maker) ?: ret;
	if (ret || destroyed)
		return ret ?: fail(destroyed, "VM_DESTROY");
	if (maker->ret && maker->ret != -EINVAL)
		return fail(maker->ret, "TILER_HEAP_CREATE in a VM that goes");
	tally->refused += maker->ret != 0;
	tally->made += !maker->ret;
	if (tally->made)
		edge_move(edge, maker->ret != 0);
	else
		edge->ns *= 2;
	return 0;
}

int race_heap(struct race *race)
{
	int64_t deadline = now_us() + race->limit_ms * 1000LL;
	unsigned int wanted = race->count ?: 60;
	struct edge edge = edge_begin(STEP_NS);
	struct tally tally = { 0 };
	struct actor maker;
	int ret = actor_create(race, &maker, call_heap);

	edge.ns = WHOLE_NS;
	while (!ret && (tally.refused < wanted || tally.made < wanted / 4) && now_us() < deadline)
		ret = heap_round(race, &maker, &edge, &tally);
	if (!ret)
		actor_end(&maker);
	out("# the VM went before the heap was made %u, after that %u\n# made after %lld ns\n", tally.refused,
	    tally.made, (long long)edge.ns);
	out("# info struck=%u\n", tally.made ? tally.refused : 0);
	return ret;
}

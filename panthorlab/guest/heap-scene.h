/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Groups that render: each has a tiler heap, a stream that takes chunks from it, and an exception
 * handler that gives them back, as Mesa's incremental rendering does. The emulated tiler takes a
 * chunk for a tiler job if it is told to ("tiler-chunk"); a real one would need something to draw.
 */
#ifndef PANTHORLAB_GUEST_HEAP_SCENE_H
#define PANTHORLAB_GUEST_HEAP_SCENE_H

#include "cs.h"
#include "gpu.h"

#define HEAP_GROUPS	64u		/* of one client */
#define HEAP_CHUNK	(128u * 1024)	/* bytes: the least that a kernel grants */
#define HEAP_VA		0x1000000ull	/* one page per group */
#define HEAP_FATAL_MS	8000		/* from the fault to the group being flagged: 5 s of them a job's time */

/**
 * struct pass - What a render pass does
 * @context: heap context that it binds
 * @chunk: first chunk of the heap, 0: the tiler has no descriptor of it and asks for all
 * @tilings: tiler jobs, one chunk each
 * @gated: it waits before them until heap_begin() lets it go on
 * @handler: it has an exception handler
 * @unstarted: it does not say that it starts
 * @twice_done: it says that fragment work is done which was not started
 * @value: stored when it is over
 */
struct pass {
	uint64_t context;
	uint64_t chunk;
	unsigned int tilings;
	bool gated;
	bool handler;
	bool unstarted;
	bool twice_done;
	uint32_t value;
};

/**
 * struct heap_scene - A file with a VM and groups that render
 * @user_va_range: where the kernel's own addresses in the VM begin
 * @bo: a page for each group: its streams, its tiler context, its results
 * @groups: how many
 * @heaps: the first so many groups have a heap
 */
struct heap_scene {
	struct gpu gpu;
	uint32_t vm;
	uint64_t user_va_range;
	struct gpu_bo bo;
	unsigned int groups, heaps;
	uint32_t group[HEAP_GROUPS];
	uint32_t syncobj[HEAP_GROUPS];
	struct gpu_heap heap[HEAP_GROUPS];
};

int heap_open(struct heap_scene *scene);
int heap_open_range(struct heap_scene *scene, uint64_t user_va_range);
int heap_add_group(struct heap_scene *scene);
int heap_add_heap(struct heap_scene *scene, uint32_t chunks, uint32_t max_chunks,
		  uint32_t target_in_flight);
int heap_scene_create(struct heap_scene *scene, unsigned int groups, uint32_t chunks,
		      uint32_t max_chunks);
void heap_scene_close(struct heap_scene *scene);

struct pass heap_pass(const struct heap_scene *scene, unsigned int g, unsigned int tilings);
int heap_submit(struct heap_scene *scene, unsigned int g, const struct pass *pass);
void heap_begin(struct heap_scene *scene, unsigned int g);
int heap_right(struct heap_scene *scene, unsigned int g, const struct pass *pass);
int heap_run(struct heap_scene *scene, unsigned int g, const struct pass *pass);
uint32_t heap_handler_calls(struct heap_scene *scene, unsigned int g);
int heap_must_die(struct heap_scene *scene, unsigned int g, const struct pass *pass);

#endif

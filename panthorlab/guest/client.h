/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A GPU client as the workloads need it: one VM, some groups of one queue, some tiler heaps, and
 * jobs that bind a heap, store a value and are checked by fence status and by memory.
 */
#ifndef PANTHORLAB_GUEST_CLIENT_H
#define PANTHORLAB_GUEST_CLIENT_H

#include "gpu.h"

#define CLIENT_MAX	64u		/* groups, and heaps, of one client */
#define CLIENT_VA	0x1000000ull	/* streams; the results are in the last page */

/**
 * struct client_config - What to make
 * @groups: groups, each with its own job
 * @heaps: tiler heaps; group g binds heap g if there is one
 * @chunks: initial chunks of every heap
 * @chunk_size: bytes
 * @rounds: jobs per group, one at a time
 * @loops: iterations of a counting loop in every job, to make it last
 * @bind: execute HEAP_SET
 * @spin: let a stream that never ends follow the last job of every group
 */
struct client_config {
	unsigned int groups;
	unsigned int heaps;
	unsigned int chunks;
	uint32_t chunk_size;
	unsigned int rounds;
	uint32_t loops;
	bool bind;
	bool spin;
};

/**
 * struct client - What was made
 * @round: jobs every group has had, over all client_run(); the value a job stores depends on it
 */
struct client {
	struct client_config config;
	unsigned int round;
	struct gpu gpu;
	uint32_t vm;
	struct gpu_bo bo;
	uint32_t group[CLIENT_MAX];
	uint32_t syncobj[CLIENT_MAX];
	struct gpu_heap heap[CLIENT_MAX];
};

int client_create(struct client *client, const struct client_config *config);
int client_run(struct client *client);
void client_release(struct client *client);
unsigned int client_bound(const struct client_config *config);
void client_facts(const struct client *client, char *text, size_t size);

int gpu_job_right(struct gpu *gpu, uint32_t syncobj, const volatile uint32_t *result,
		  uint32_t value);

#endif

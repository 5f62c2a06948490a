// SPDX-License-Identifier: GPL-2.0-or-later

#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "cs.h"

#define STREAM_SIZE	256u	/* one per group, and one more that spins */

/* Registers of the streams */
enum { REG_ADDR = 0, REG_VALUE = 2, REG_FLUSH = 3, REG_LOOPS = 4, REG_HEAP = 6 };

static size_t stream_area(const struct client_config *config)
{
	return ((config->groups + 1) * STREAM_SIZE + GPU_PAGE - 1) & -(size_t)GPU_PAGE;
}

/* Groups that have a heap bound when the client dies. */
unsigned int client_bound(const struct client_config *config)
{
	if (!config->bind)
		return 0;
	return config->groups < config->heaps ? config->groups : config->heaps;
}

/* The group is created before the heap, as user-space drivers do. */
int client_create(struct client *client, const struct client_config *config)
{
	struct gpu *gpu = &client->gpu;
	unsigned int i;
	int ret;

	client->config = *config;
	client->round = 0;
	if (!config->groups || config->groups > CLIENT_MAX || config->heaps > CLIENT_MAX)
		return fail(-EINVAL, "%u groups, %u heaps", config->groups, config->heaps);

	ret = gpu_open(gpu);
	if (!ret)
		ret = gpu_vm_create(gpu, &client->vm);
	if (!ret)
		ret = gpu_bo_create(gpu, client->vm, CLIENT_VA, stream_area(config) + GPU_PAGE,
				    DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC, &client->bo);
	for (i = 0; !ret && i < config->groups; i++) {
		ret = gpu_group_create(gpu, client->vm, 1, &client->group[i]);
		if (!ret)
			ret = gpu_syncobj_create(gpu, &client->syncobj[i]);
	}
	for (i = 0; !ret && i < config->heaps; i++)
		ret = gpu_heap_create(gpu, client->vm, config->chunks, config->chunk_size,
				      config->chunks + 4, &client->heap[i]);
	return ret;
}

/* Drop the CPU mappings and the file, and with the last of them all there is on the GPU. */
void client_release(struct client *client)
{
	if (client->bo.map)
		munmap((void *)client->bo.map, client->bo.size);
	client->bo.map = NULL;
	gpu_close(&client->gpu);
}

static struct cs stream_at(struct client *client, unsigned int index)
{
	return (struct cs){
		.words = (volatile uint64_t *)client->bo.map + index * STREAM_SIZE / 8,
		.capacity = STREAM_SIZE / 8,
	};
}

static uint64_t stream_va(const struct client *client, unsigned int index)
{
	return client->bo.va + index * STREAM_SIZE;
}

/* Store @value for group @g; the first job of a group also binds its heap. */
static uint32_t write_stream(struct client *client, unsigned int g, bool bind, uint32_t value)
{
	const struct client_config *config = &client->config;
	struct cs cs = stream_at(client, g);
	unsigned int loop;

	if (bind) {
		cs_move48(&cs, REG_HEAP, client->heap[g].context_va);
		cs_heap_set(&cs, REG_HEAP);
	}
	if (config->loops) {
		cs_move32(&cs, REG_LOOPS, config->loops);
		loop = cs.count;
		cs_add_imm32(&cs, REG_LOOPS, REG_LOOPS, -1);
		cs_branch(&cs, CS_GREATER, REG_LOOPS, loop);
	}
	cs_move48(&cs, REG_ADDR, client->bo.va + stream_area(config) + g * sizeof(uint32_t));
	cs_move32(&cs, REG_VALUE, value);
	cs_store32(&cs, REG_ADDR, REG_VALUE);
	cs_wait(&cs, CS_SB_ALL);
	cs_move32(&cs, REG_FLUSH, 0);
	cs_flush(&cs, REG_FLUSH);
	cs_wait(&cs, CS_SB_ALL);
	return cs_size(&cs);
}

static uint32_t write_spin(struct client *client)
{
	struct cs cs = stream_at(client, client->config.groups);

	cs_branch(&cs, CS_ALWAYS, 0, 0);
	return cs_size(&cs);
}

static int submit_group(struct client *client, unsigned int g, bool last, uint32_t value)
{
	const struct client_config *config = &client->config;
	bool bind = !client->round && g < client_bound(config);
	bool spin = config->spin && last;
	struct gpu_job jobs[] = {
		{
			.va = stream_va(client, g),
			.size = write_stream(client, g, bind, value),
			.syncobj = client->syncobj[g],
		},
		{ .va = stream_va(client, config->groups) },
	};

	if (spin)
		jobs[1].size = write_spin(client);
	return gpu_submit(&client->gpu, client->group[g], jobs, spin ? 2 : 1);
}

/* Has the job ended well? Only if its fence says so and what it had to store is there. */
int gpu_job_right(struct gpu *gpu, uint32_t syncobj, const volatile uint32_t *result,
		  uint32_t value)
{
	int status;
	int ret;

	ret = gpu_fence_status(gpu, syncobj, GPU_TIMEOUT_MS, &status);
	if (ret)
		return ret;
	__sync_synchronize();
	if (status != 1)
		return fail(0, "fence status %d, memory 0x%08x, expected 1 and 0x%08x",
				status, *result, value);
	if (*result != value)
		return fail(0, "fence status 1, but memory is 0x%08x, expected 0x%08x",
				*result, value);
	return 0;
}

/* Run the jobs of all groups and check every one. */
int client_run(struct client *client)
{
	const struct client_config *config = &client->config;
	const volatile uint32_t *result = client->bo.map + stream_area(config);
	unsigned int round, g;
	int ret = 0;

	for (round = 0; !ret && round < config->rounds; round++, client->round++) {
		uint32_t value = 0xc0de0000 + (client->round << 8);

		for (g = 0; !ret && g < config->groups; g++)
			ret = submit_group(client, g, round + 1 == config->rounds, value + g);
		for (g = 0; !ret && g < config->groups; g++)
			ret = gpu_job_right(&client->gpu, client->syncobj[g], &result[g],
					    value + g);
	}
	return ret;
}

/* The addresses that a fault may be attributed to, one line each. */
void client_facts(const struct client *client, char *text, size_t size)
{
	size_t streams = stream_area(&client->config);
	size_t used = 0;
	unsigned int i;

#define FACT(...)								\
	do {									\
		int n = snprintf(text + used, size - used, __VA_ARGS__);	\
		used += n > 0 && (size_t)n < size - used ? (size_t)n : 0;	\
	} while (0)

	for (i = 0; i < client->config.heaps; i++) {
		const struct gpu_heap *heap = &client->heap[i];

		FACT("# gpu heap-context va=0x%llx size=0x40 heap=%u\n",
		     (unsigned long long)heap->context_va, i);
		FACT("# gpu heap-chunk va=0x%llx size=0x%x heap=%u\n",
		     (unsigned long long)heap->chunk_va, heap->chunk_size, i);
	}
	FACT("# gpu user-bo va=0x%llx size=0x%zx name=stream\n", CLIENT_VA, streams);
	FACT("# gpu user-bo va=0x%llx size=0x%x name=result\n", CLIENT_VA + streams, GPU_PAGE);
#undef FACT
}

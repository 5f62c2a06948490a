// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Processes that use the GPU, each with a first job that has worked, while the driver is taken off it.
 */

#define _GNU_SOURCE
#include "gpu-bind.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "client.h"
#include "gpu-job.h"

/* What a process begins with: objects, and a job that works, of which @ready is told. */
static void begin(struct client *client, const struct client_config *config, int ready)
{
	if (client_create(client, config) || client_run(client)) {
		dprintf(STDOUT_FILENO, "# %s\n", last_error());
		_exit(1);
	}
	if (write(ready, "r", 1) != 1)
		_exit(1);
}

/* @ready: told when the first job has worked. Then more of them if @busy, until one fails. */
static void client_process(int ready, unsigned int number, bool busy)
{
	static struct client client;
	const struct client_config config = {
		.groups = 2, .heaps = number % 2, .chunks = 1, .chunk_size = 128 << 10, .rounds = 1, .bind = true,
		.loops = busy ? 2000 : 0, .spin = busy && number == 2,
	};

	begin(&client, &config, ready);
	while (busy && !client_run(&client))
		;
	pause();	/* with all its objects, until it is killed */
	_exit(0);
}

/* Keeps mapping calls in the driver: an unplug must wait for one that has begun. */
static void mapping_process(int ready)
{
	static struct client client;
	static const struct client_config config = { .groups = 1, .rounds = 1 };
	struct gpu_bo bo;
	uint64_t va = CLIENT_VA + 0x100000;

	begin(&client, &config, ready);
	while (!gpu_bo_create(&client.gpu, client.vm, va, GPU_PAGE, 0, &bo))
		va += 0x10000;
	pause();
	_exit(0);
}

enum { STREAM = 0, SYNC = 1 };		/* places in the scene */
enum { REG_SYNC = 0, REG_ONE = 2 };	/* of the stream */

/* One job, so that none is left to be run when the GPU is gone, which adds to a sync object for ever. */
static void storm_process(int ready)
{
	static struct scene scene;
	unsigned int loop;
	struct cs cs;

	if (scene_create(&scene, 1))
		_exit(1);
	cs = scene_stream(&scene, STREAM);
	cs_move48(&cs, REG_SYNC, scene_result_va(&scene, SYNC));
	cs_move48(&cs, REG_ONE, 1);
	loop = cs.count;
	cs_sync_add64(&cs, REG_SYNC, REG_ONE);
	cs_branch(&cs, CS_ALWAYS, 0, loop);
	if (scene_submit(&scene, scene.group, 0, &cs, STREAM))
		_exit(1);
	while (!*scene_result(&scene, SYNC))
		sleep_us(100);
	if (write(ready, "r", 1) != 1)
		_exit(1);
	pause();
	_exit(0);
}

void kill_processes(const pid_t *pid, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (pid[i] > 0)
			kill(pid[i], SIGKILL);
	for (unsigned int i = 0; i < count; i++)
		if (pid[i] > 0)
			wait_for_child(pid[i]);
}

/* @count processes, each with a first job that has worked. */
int start_processes(pid_t *pid, unsigned int count, enum use use)
{
	int ready[2], ret = 0;
	unsigned int i;
	char byte;

	if (pipe(ready))
		return fail(-errno, "pipe");
	for (i = 0; i < count; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			close(ready[0]);
			if (use == MAPPING)
				mapping_process(ready[1]);
			if (use == STORM)
				storm_process(ready[1]);
			client_process(ready[1], i, use != HELD);
		}
	}
	close(ready[1]);
	for (i = 0; i < count; i++)
		if (read(ready[0], &byte, 1) != 1)
			ret = fail(0, "the first job of a process did not work");
	close(ready[0]);
	return ret;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Work for the GPU: a job, and a process that is killed with all it has, in the middle of its own.
 */

#include "gpu-module.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "client.h"
#include "sentinel.h"

/* Two groups, one of them with a heap; @ready is told when they have worked. */
static void hold(int ready, bool busy)
{
	static struct client client;
	const struct client_config config = {
		.groups = 2, .heaps = 1, .chunks = 1, .chunk_size = 128 << 10, .rounds = 1, .bind = true, .spin = busy,
	};

	if (client_create(&client, &config) || client_run(&client)) {
		dprintf(STDOUT_FILENO, "# %s\n", last_error());
		_exit(1);
	}
	if (write(ready, "r", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

pid_t work_start(bool busy)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready))
		return fail(-errno, "pipe");
	pid = fork();
	if (!pid) {
		close(ready[0]);
		hold(ready[1], busy);
	}
	close(ready[1]);
	if (pid > 0 && read(ready[0], &byte, 1) != 1)
		pid = fail(-EIO, "the first job of a process did not work");
	close(ready[0]);
	return pid;
}

void work_end(pid_t pid)
{
	kill(pid, SIGKILL);
	wait_for_child(pid);
}

int work(void)
{
	const pid_t pid = work_start(true);

	if (pid < 0)
		return pid;
	work_end(pid);
	return sentinel_job();
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The sentinel: a fresh process whose job proves two things. The GPU still works for others; and
 * the scheduler has run a tick since the process before died, so what that one had on the GPU has
 * been terminated and acknowledged. panthor's ticks do both in one: groups that have to go are
 * waited for before new ones start.
 */

#define _GNU_SOURCE
#include "sentinel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

static const struct client_config config = { .groups = 1, .rounds = 1 };

/*
 * vfork(): the child needs a file table and a process of its own, not a copy of the memory. So its
 * buffers have to be unmapped by hand, they hold the device open. That its GPU calls end is up to
 * their own deadlines.
 */
bool sentinel_run(char *why, size_t size)
{
	static struct client client;
	pid_t pid;
	int status;

	pid = vfork();
	if (!pid) {
		int ret = client_create(&client, &config) ?: client_run(&client);

		client_release(&client);
		_exit(ret ? 1 : 0);
	}
	if (pid < 0) {
		snprintf(why, size, "vfork: %s", strerror(errno));
		return false;
	}
	status = wait_for_child(pid);
	if (client.bo.map)	/* it was killed, and its mapping is ours too */
		munmap((void *)client.bo.map, client.bo.size);
	client.bo.map = NULL;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	snprintf(why, size, "%s", WIFEXITED(status) ? last_error() : "killed");
	return false;
}

int sentinel_job(void)
{
	char why[256];

	return sentinel_run(why, sizeof(why)) ? 0 : fail(0, "a job: %s", why);
}

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
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

static const struct client_config config = { .groups = 1, .rounds = 1 };

static void sentinel_process(int report)
{
	struct client client;

	if (client_create(&client, &config) || client_run(&client)) {
		const char *error = last_error();

		if (write(report, error, strlen(error)) < 0)
			_exit(2);
		_exit(1);
	}
	_exit(0);
}

/* Runs it to its end. Returns whether its job was right, else says why. */
bool sentinel_run(unsigned int timeout_ms, char *why, size_t size)
{
	struct pollfd pfd = { .events = POLLIN };
	int report[2], status;
	ssize_t n = 0;
	pid_t pid;

	if (pipe(report)) {
		snprintf(why, size, "pipe: %s", strerror(errno));
		return false;
	}
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sentinel_process(report[1]);
	}
	close(report[1]);
	pfd.fd = report[0];
	if (pid < 0)
		snprintf(why, size, "fork: %s", strerror(errno));
	else if (poll(&pfd, 1, timeout_ms) <= 0)
		snprintf(why, size, "no answer for %u ms", timeout_ms);
	else
		n = read(report[0], why, size - 1);
	close(report[0]);
	if (pid < 0)
		return false;
	if (n > 0)
		why[n] = '\0';

	/* End of file comes while it exits; after a report or at the deadline it has no business. */
	if (n || !pfd.revents)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return pfd.revents && !n && WIFEXITED(status) && !WEXITSTATUS(status);
}

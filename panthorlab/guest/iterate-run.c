// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One run of a program: started, its output passed on, until it and all its descendants are gone.
 */

#define _GNU_SOURCE
#include "iterate-run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "util.h"

#define REAP_MS		5000	/* from SIGKILL to the process being gone */
/*
 * Output that comes within this time is passed on in one go: every switch to a reader takes half a
 * millisecond from an iteration where page tables are emulated.
 */
#define GATHER_MS	50

static int64_t flushed;	/* when output was last passed on */
static int child_fd;	/* signalfd of SIGCHLD */

void flush_output(void)
{
	out_flush();
	flushed = now_us();
}

bool gathering(void)
{
	return now_us() - flushed < GATHER_MS * 1000LL;
}

int runs_prepare(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	child_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (child_fd < 0)
		return fail(-errno, "signalfd");
	/* Descendants that outlive the program are reaped here, not by init. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		return fail(-errno, "PR_SET_CHILD_SUBREAPER");
	return 0;
}

int run_start(struct run *run, char **argv)
{
	pid_t parent = getpid();
	sigset_t none;
	int pipefd[2];

	if (pipe2(pipefd, O_CLOEXEC) || fcntl(pipefd[0], F_SETFL, O_NONBLOCK))
		return -errno;
	run->output = pipefd[0];
	run->subtests.planned = -1;
	run->orphans = true;
	run->pid = vfork();	/* a third faster than fork() where page tables are emulated */
	if (run->pid < 0)
		return -errno;
	if (run->pid) {
		setpgid(run->pid, run->pid);	/* both sides do it: neither knows who is first */
		close(pipefd[1]);
		return 0;
	}
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(pipefd[1], STDOUT_FILENO);
	dup2(pipefd[1], STDERR_FILENO);
	execvp(argv[0], argv);
	dprintf(STDERR_FILENO, "# iterate: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void read_output(struct run *run)
{
	char data[4096];
	ssize_t n;

	while ((n = read(run->output, data, sizeof(data))) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			subtests_feed(&run->subtests, data, n);
	if (!n) {
		close(run->output);
		run->output = -1;	/* poll() ignores it */
	}
}

static void reap(struct run *run)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(child_fd, &info, sizeof(info)) == sizeof(info))
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != run->pid)
			continue;
		run->status = status;
		run->reaped = true;
	}
	if (pid < 0 && errno == ECHILD)
		run->orphans = false;
}

/* Wait until the program and all its descendants are gone. False: they cannot even be killed. */
bool run_finish(struct run *run, unsigned int timeout_ms)
{
	int64_t deadline = now_us() + timeout_ms * 1000LL;

	while (run->orphans) {
		struct pollfd fds[2] = {
			{ .fd = child_fd, .events = POLLIN },
			{ .fd = run->output, .events = POLLIN },
		};
		int64_t left = deadline - now_us();
		bool gather = gathering();

		if (left <= 0) {
			if (run->timed_out)
				return false;
			run->timed_out = true;
			kill(-run->pid, SIGKILL);
			deadline = now_us() + REAP_MS * 1000LL;
			continue;
		}
		/* Mostly it is over before its output has to be looked at. */
		if (gather && left > GATHER_MS * 1000)
			left = GATHER_MS * 1000;
		if (!gather)
			flush_output();
		if (poll(fds, gather ? 1 : 2, (int)(left / 1000) + 1) <= 0)
			continue;
		if (fds[0].revents)
			reap(run);
		if (fds[1].revents)
			read_output(run);
	}
	if (run->output >= 0)
		read_output(run);
	if (run->subtests.length)
		subtests_feed(&run->subtests, "\n", 1);
	return true;
}

bool run_ended_as_expected(const struct run *run, int expect_signal)
{
	if (!run->reaped || run->timed_out)
		return false;
	if (expect_signal)
		return WIFSIGNALED(run->status) && WTERMSIG(run->status) == expect_signal;
	return WIFEXITED(run->status) && !WEXITSTATUS(run->status);
}

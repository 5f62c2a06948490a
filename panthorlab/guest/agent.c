// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The agent on an emulated board, through which the host runs commands and moves files: one poll loop that serves the
 * protocol of agent.h. Whatever may hang in the kernel is done by a child (agent-helpers.c), so that it keeps answering.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "agent-frames.h"
#include "agent-main.h"
#include "agent-port.h"
#include "agent-procs.h"
#include "board.h"

#define LOADER_LIST	"/lib/modules/panthorlab.order"

static void on_child(int sig)
{
	(void)sig;	/* only interrupts ppoll() */
}

static int add(struct pollfd *fds, int n, int fd, short events)
{
	fds[n] = (struct pollfd){ .fd = fd, .events = events };
	return n;
}

/* Waits for the next thing to do, and does it. Pipes are looked at only while there is room for what they hold. */
static void turn(const sigset_t *mask)
{
	static struct pollfd fds[1 + 3 * MAX_PROCS];
	static unsigned int first;	/* turns, so that no process starves another while the port is slow */
	int at[MAX_PROCS][3], n = 1;
	const bool ready = out_free() >= CHUNK + 2 * OUT_REPLY;

	do_frames();
	add(fds, 0, port, (frames_fit() ? POLLIN : 0) | (out_pending() ? POLLOUT : 0));
	for (int i = 0; i < MAX_PROCS; i++) {
		struct proc *p = &procs[i];

		for (int k = 0; k < 2; k++)
			at[i][k] = ready && p->used && p->out[k].fd >= 0 ? add(fds, n++, p->out[k].fd, POLLIN) : 0;
		at[i][2] = ready && p->used && p->in >= 0 && p->in_off < p->in_len ?
			   add(fds, n++, p->in, POLLOUT) : 0;
	}
	if (ppoll(fds, n, NULL, mask) < 0) {
		if (errno != EINTR)
			stop(strerror(errno));
		for (int i = 0; i < n; i++)
			fds[i].revents = 0;
	}
	reap();
	first++;
	for (int j = 0; j < MAX_PROCS; j++) {
		const int i = (first + j) % MAX_PROCS;
		struct proc *p = &procs[i];

		for (int k = 0; k < 2; k++)
			if (at[i][k] && fds[at[i][k]].revents && p->out[k].fd >= 0 &&
			    out_free() >= CHUNK + 2 * OUT_REPLY)
				service_stream(p, &p->out[k]);
		if (at[i][2] && fds[at[i][2]].revents && out_free() >= 2 * OUT_REPLY)
			service_stdin(p);
		if (p->used)
			finish(p);
	}
	if (fds[0].revents & ~POLLOUT)
		read_port();
	write_port();
}

void agent(void)
{
	struct {
		uint32_t version;
		uint64_t ns;
		char boot_id[36];
	} __attribute__((packed)) hello = { .version = AGENT_VERSION };
	struct sigaction act = { .sa_handler = on_child };
	sigset_t block, open_mask;
	int fd;

	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write_all(fd, "-1000", 5))
		say("agent may be killed for memory: %s", strerror(errno));
	close(fd);
	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, &open_mask);
	sigaction(SIGCHLD, &act, NULL);
	signal(SIGPIPE, SIG_IGN);

	start_helper(0, false, loader_main, LOADER_LIST);
	if (!open_port()) {
		say("no virtio port " AGENT_PORT);
		_exit(1);
	}
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, hello.boot_id, sizeof(hello.boot_id)) != sizeof(hello.boot_id))
		stop("no boot_id");
	close(fd);
	hello.ns = uptime_ns();
	queue(0, AGENT_HELLO, &hello, sizeof(hello));
	for (;;)
		turn(&open_mask);
}

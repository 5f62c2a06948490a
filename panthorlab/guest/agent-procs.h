/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The processes that the agent has started, and their pipes. */
#ifndef PANTHORLAB_AGENT_PROCS_H
#define PANTHORLAB_AGENT_PROCS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_PROCS	64

struct stream {			/* one of a process's output pipes */
	int fd;			/* -1: at its end */
	uint32_t type;
	bool last;		/* the process is gone: only `left` bytes are still its own */
	unsigned int left;
};

struct proc {
	bool used, reaped;
	uint32_t id;
	pid_t pid;
	int status;		/* exit status or -signal */
	struct stream out[2];
	int in;			/* -1: closed */
	bool in_eof;		/* the host sends no more */
	unsigned int in_len, in_off;
	char *in_buf;		/* AGENT_WINDOW bytes */
};

extern struct proc procs[MAX_PROCS];

struct proc *find(uint32_t id);
struct proc *new_proc(uint32_t id, bool with_stdin, int child[3]);
void forget(struct proc *p);
void become_child(const int child[3]);
void start_helper(uint32_t id, bool with_stdin, int (*main_fn)(const void *), const void *arg);
void close_end(int *fd);

void service_stdin(struct proc *p);
void service_stream(struct proc *p, struct stream *s);
void reap(void);
void finish(struct proc *p);

#endif

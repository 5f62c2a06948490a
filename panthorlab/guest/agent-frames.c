// SPDX-License-Identifier: GPL-2.0-or-later

#define _GNU_SOURCE
#include "agent-frames.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "agent-main.h"
#include "agent-port.h"
#include "agent-procs.h"
#include "board.h"

static char in_frame[sizeof(struct agent_frame) + AGENT_MAX];
static unsigned int in_have;

static uint32_t get_u32(const char *data)
{
	uint32_t value;

	memcpy(&value, data, sizeof(value));
	return value;
}

/* Splits NUL-terminated strings into `list`, NULL-terminated; returns how many, or -1 if there are too many. */
static int split(char *data, const char *end, char **list, int room)
{
	int n = 0;

	for (; data < end; data += strlen(data) + 1) {
		if (n == room - 1)
			return -1;
		list[n++] = data;
	}
	list[n] = NULL;
	return n;
}

static void do_exec(uint32_t id, char *data, uint32_t size)
{
	static char *strings[4096], *argv[4096];
	volatile int error = 0;
	struct proc *p;
	uint32_t argc;
	int child[3], n;

	if (size < 10 || data[size - 1])
		stop("malformed EXEC");
	argc = get_u32(data + 4);
	n = split(data + 8, data + size, strings, 4096);
	if (n < 0)
		return refuse(id, 126, "exec", E2BIG);
	if (!argc || argc > (uint32_t)n)
		stop("malformed EXEC");
	memcpy(argv, strings, argc * sizeof(*argv));
	argv[argc] = NULL;
	for (n = argc; strings[n]; n++)
		if (!strncmp(strings[n], "PATH=", 5))
			setenv("PATH", strings[n] + 5, 1);	/* where execvpe() looks */

	p = new_proc(id, get_u32(data), child);
	if (!p)
		return refuse(id, 126, argv[0], errno);
	p->pid = vfork();
	if (p->pid == 0) {
		become_child(child);
		execvpe(argv[0], argv, strings + argc);
		error = errno;
		_exit(127);
	}
	for (int i = 0; i < 3; i++)
		close(child[i]);
	if (p->pid < 0)
		error = errno;
	if (!error)
		return;
	if (p->pid > 0)
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
	forget(p);
	refuse(id, error == ENOENT ? 127 : 126, argv[0], error);
}

static void do_put(uint32_t id, const char *data, uint32_t size)
{
	struct put put;

	if (size < 14 || data[size - 1])
		stop("malformed PUT");
	put.mode = get_u32(data);
	memcpy(&put.size, data + 4, sizeof(put.size));
	put.path = data + 12;
	start_helper(id, true, put_main, &put);
}

static void do_stdin(struct proc *p, const char *data, uint32_t size)
{
	if (!size)
		p->in_eof = true;
	if (p->in < 0)
		return;		/* the process closed it: the rest is discarded, as by a shell's pipe */
	if (p->in_off) {
		memmove(p->in_buf, p->in_buf + p->in_off, p->in_len - p->in_off);
		p->in_len -= p->in_off;
		p->in_off = 0;
	}
	if (size > AGENT_WINDOW - p->in_len)
		stop("more stdin than the window");
	memcpy(p->in_buf + p->in_len, data, size);
	p->in_len += size;
	if (p->in_eof && p->in_off == p->in_len)
		close_end(&p->in);
}

static void do_frame(const struct agent_frame *f, char *data)
{
	struct proc *p = find(f->id);

	switch (f->type) {
	case AGENT_EXEC:
	case AGENT_PUT:
	case AGENT_GET:
		if (p || !f->id)
			stop("process number in use");
		if (f->type == AGENT_EXEC)
			do_exec(f->id, data, f->size);
		else if (f->type == AGENT_PUT)
			do_put(f->id, data, f->size);
		else if (f->size < 2 || data[f->size - 1])
			stop("malformed GET");
		else
			start_helper(f->id, false, get_main, data);
		break;
	case AGENT_STDIN:
		if (p)		/* else: it has ended meanwhile */
			do_stdin(p, data, f->size);
		break;
	case AGENT_KILL:
		if (f->size != 4)
			stop("malformed KILL");
		if (p && !p->reaped)
			kill(-p->pid, get_u32(data));
		break;
	case AGENT_PING:
		queue(f->id, AGENT_PONG, NULL, 0);
		break;
	default:
		stop("unknown frame type");
	}
}

/* Handles the frames that have come in whole, while there is room for the replies. */
void do_frames(void)
{
	unsigned int off = 0;

	while (in_have - off >= sizeof(struct agent_frame)) {
		struct agent_frame f;

		memcpy(&f, in_frame + off, sizeof(f));
		if (f.size > AGENT_MAX)
			stop("frame too large");
		if (in_have - off < sizeof(f) + f.size || out_free() < OUT_REPLY)
			break;
		do_frame(&f, in_frame + off + sizeof(f));
		off += sizeof(f) + f.size;
	}
	memmove(in_frame, in_frame + off, in_have - off);
	in_have -= off;
}

bool frames_fit(void)
{
	return in_have < sizeof(in_frame);
}

void read_port(void)
{
	ssize_t n = read(port, in_frame + in_have, sizeof(in_frame) - in_have);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		stop(strerror(errno));
	if (n > 0)
		in_have += n;
	else
		msleep(STEP_MS);	/* hung up: the host is not there yet */
}

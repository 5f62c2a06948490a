// SPDX-License-Identifier: GPL-2.0-or-later

#define _GNU_SOURCE
#include "agent-procs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "agent-port.h"

struct proc procs[MAX_PROCS];

struct proc *find(uint32_t id)
{
	for (int i = 0; i < MAX_PROCS; i++)
		if (procs[i].used && procs[i].id == id)
			return &procs[i];
	return NULL;
}

void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* The pipes of a new process: `child[3]` become its stdin, stdout, stderr. */
struct proc *new_proc(uint32_t id, bool with_stdin, int child[3])
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
	struct proc *p = NULL;

	for (int i = 0; i < MAX_PROCS && !p; i++)
		if (!procs[i].used)
			p = &procs[i];
	if (!p) {
		errno = EAGAIN;
		return NULL;
	}
	memset(p, 0, sizeof(*p));
	if (with_stdin) {
		p->in_buf = malloc(AGENT_WINDOW);
		if (!p->in_buf || pipe2(in, O_CLOEXEC))
			goto fail;
	} else {
		in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (in[0] < 0)
			goto fail;
	}
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		goto fail;
	if (with_stdin)
		fcntl(in[1], F_SETFL, O_NONBLOCK);
	child[0] = in[0];
	child[1] = out[1];
	child[2] = err[1];
	p->used = true;
	p->id = id;
	p->in = in[1];
	p->out[0] = (struct stream){ .fd = out[0], .type = AGENT_STDOUT };
	p->out[1] = (struct stream){ .fd = err[0], .type = AGENT_STDERR };
	return p;
fail:
	for (int i = 0; i < 2; i++) {
		close_end(&in[i]);
		close_end(&out[i]);
		close_end(&err[i]);
	}
	free(p->in_buf);
	p->in_buf = NULL;
	return NULL;
}

void forget(struct proc *p)
{
	close_end(&p->in);
	close_end(&p->out[0].fd);
	close_end(&p->out[1].fd);
	free(p->in_buf);
	memset(p, 0, sizeof(*p));
}

/* In the child: its own session, so that a kill reaches all it started; its pipes; a clean signal state. */
void become_child(const int child[3])
{
	sigset_t none;

	sigemptyset(&none);
	setsid();
	for (int i = 0; i < 3; i++)
		dup2(child[i], i);	/* never the same numbers: main() has filled 0, 1, 2 */
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Start a child that runs `main_fn(arg)` of this program. */
void start_helper(uint32_t id, bool with_stdin, int (*main_fn)(const void *), const void *arg)
{
	int child[3];
	struct proc *p = new_proc(id, with_stdin, child);

	if (!p)
		return refuse(id, EAGAIN, "cannot start a helper", errno);
	p->pid = fork();
	if (p->pid == 0) {
		become_child(child);
		close_range(3, ~0u, 0);	/* a stuck helper must not hold other processes' stdin open */
		_exit(main_fn(arg));
	}
	for (int i = 0; i < 3; i++)
		close(child[i]);
	if (p->pid < 0) {
		const int error = errno;

		forget(p);
		refuse(id, EAGAIN, "fork", error);
	}
}

void service_stdin(struct proc *p)
{
	ssize_t n = write(p->in, p->in_buf + p->in_off, p->in_len - p->in_off);
	uint32_t credit;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)		/* EPIPE: nobody reads it any more; the host may go on, into nothing */
		n = p->in_len - p->in_off;
	credit = n;
	p->in_off += n;
	queue(p->id, AGENT_CREDIT, &credit, sizeof(credit));
	if (p->in_off == p->in_len && p->in_eof)
		close_end(&p->in);
}

void service_stream(struct proc *p, struct stream *s)
{
	static char buf[CHUNK];
	size_t want = s->last && s->left < CHUNK ? s->left : CHUNK;
	ssize_t n = want ? read(s->fd, buf, want) : 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		queue(p->id, s->type, buf, n);
		s->left -= s->last ? n : 0;
	}
	if (n <= 0 || (s->last && !s->left))
		close_end(&s->fd);
}

/* Once a process has ended, what is in its pipes is its own; what others who hold them write later is not. */
void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = 0; i < MAX_PROCS; i++) {
			struct proc *p = &procs[i];

			if (!p->used || p->reaped || p->pid != pid)
				continue;
			p->reaped = true;
			p->status = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
			for (int k = 0; k < 2; k++) {
				int left = 0;

				if (p->out[k].fd < 0)
					continue;
				ioctl(p->out[k].fd, FIONREAD, &left);
				p->out[k].last = true;
				p->out[k].left = left;
				if (!left)
					close_end(&p->out[k].fd);
			}
			break;
		}
	}
}

void finish(struct proc *p)
{
	const int32_t code = p->status;

	if (!p->reaped || p->out[0].fd >= 0 || p->out[1].fd >= 0 || out_free() < OUT_REPLY)
		return;
	queue(p->id, AGENT_EXIT, &code, sizeof(code));
	forget(p);
}

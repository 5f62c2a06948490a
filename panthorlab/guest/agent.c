// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The agent on an emulated board, through which the host runs commands and moves files: one poll loop that serves the
 * protocol of agent.h. Whatever may hang in the kernel is done by a child (agent-helpers.c), so that it keeps answering.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "agent-main.h"
#include "board.h"

#define CHUNK		16384u		/* most that is read from a process at once */
#define OUT_SIZE	131072u
#define OUT_REPLY	1024u		/* room that the reply to any one host frame needs */
#define MAX_PROCS	64
#define PORT_WAIT_MS	10000
#define LOADER_LIST	"/lib/modules/panthorlab.order"

/* ---- Processes ---- */

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

static struct proc procs[MAX_PROCS];
static int port = -1;
static char out_buf[OUT_SIZE];
static unsigned int out_len, out_off;
static char in_frame[sizeof(struct agent_frame) + AGENT_MAX];
static unsigned int in_have;

static unsigned int out_free(void)
{
	if (out_off) {
		memmove(out_buf, out_buf + out_off, out_len - out_off);
		out_len -= out_off;
		out_off = 0;
	}
	return OUT_SIZE - out_len;
}

/* The caller has made sure of the room: see OUT_REPLY and service_stream(). */
static void queue(uint32_t id, uint32_t type, const void *data, uint32_t size)
{
	const struct agent_frame f = { size, id, type };

	memcpy(out_buf + out_len, &f, sizeof(f));
	if (size)
		memcpy(out_buf + out_len + sizeof(f), data, size);
	out_len += sizeof(f) + size;
}

static void queue_text(uint32_t id, uint32_t type, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void queue_text(uint32_t id, uint32_t type, const char *fmt, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	queue(id, type, text, n < (int)sizeof(text) ? n : (int)sizeof(text) - 1);
}

/* The host broke the protocol: say so once, and answer nothing any more. */
static void __attribute__((noreturn)) stop(const char *why)
{
	say("agent stops: %s", why);
	fcntl(port, F_SETFL, 0);
	if (out_len > out_off && write_all(port, out_buf + out_off, out_len - out_off))
		_exit(1);
	out_len = out_off = 0;
	queue_text(0, AGENT_ERROR, "%s", why);
	if (write_all(port, out_buf, out_len))
		_exit(1);
	for (;;)
		pause();
}

static struct proc *find(uint32_t id)
{
	for (int i = 0; i < MAX_PROCS; i++)
		if (procs[i].used && procs[i].id == id)
			return &procs[i];
	return NULL;
}

static void refuse(uint32_t id, int status, const char *what, int error)
{
	const int32_t code = status;

	queue_text(id, AGENT_STDERR, "panthorlab-agent: %s: %s\n", what, strerror(error));
	queue(id, AGENT_EXIT, &code, sizeof(code));
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* The pipes of a new process: `child[3]` become its stdin, stdout, stderr. */
static struct proc *new_proc(uint32_t id, bool with_stdin, int child[3])
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

static void forget(struct proc *p)
{
	close_end(&p->in);
	close_end(&p->out[0].fd);
	close_end(&p->out[1].fd);
	free(p->in_buf);
	memset(p, 0, sizeof(*p));
}

/* In the child: its own session, so that a kill reaches all it started; its pipes; a clean signal state. */
static void become_child(const int child[3])
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
static void start_helper(uint32_t id, bool with_stdin, int (*main_fn)(const void *), const void *arg)
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

/* ---- Frames from the host ---- */

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
static void do_frames(void)
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

static void read_port(void)
{
	ssize_t n = read(port, in_frame + in_have, sizeof(in_frame) - in_have);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		stop(strerror(errno));
	if (n > 0)
		in_have += n;
	else
		msleep(STEP_MS);	/* hung up: the host is not there yet */
}

/* ---- The loop ---- */

static void write_port(void)
{
	while (out_off < out_len) {
		ssize_t n = write(port, out_buf + out_off, out_len - out_off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		out_off += n;
	}
}

static void service_stdin(struct proc *p)
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

static void service_stream(struct proc *p, struct stream *s)
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
static void reap(void)
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

static void finish(struct proc *p)
{
	const int32_t code = p->status;

	if (!p->reaped || p->out[0].fd >= 0 || p->out[1].fd >= 0 || out_free() < OUT_REPLY)
		return;
	queue(p->id, AGENT_EXIT, &code, sizeof(code));
	forget(p);
}

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
	add(fds, 0, port, (in_have < sizeof(in_frame) ? POLLIN : 0) | (out_len > out_off ? POLLOUT : 0));
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

static int open_port(void)
{
	const char *base = "/sys/class/virtio-ports";
	char path[300], name[64];

	for (int waited = 0; waited < PORT_WAIT_MS; waited += STEP_MS, msleep(STEP_MS)) {
		DIR *dir = opendir(base);
		struct dirent *d;

		while (dir && (d = readdir(dir))) {
			int fd, n = 0;

			snprintf(path, sizeof(path), "%s/%s/name", base, d->d_name);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			n = read(fd, name, sizeof(name) - 1);
			close(fd);
			name[n > 0 ? n : 0] = 0;
			name[strcspn(name, "\n")] = 0;
			if (strcmp(name, AGENT_PORT))
				continue;
			snprintf(path, sizeof(path), "/dev/%s", d->d_name);
			fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
			if (fd < 0)
				continue;
			closedir(dir);
			return fd;
		}
		if (dir)
			closedir(dir);
	}
	return -1;
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
	port = open_port();
	if (port < 0) {
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

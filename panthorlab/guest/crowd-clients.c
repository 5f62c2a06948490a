// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The clients of a crowd: started from the program or forked from a warm one, killed when it is time, counted.
 */

#define _GNU_SOURCE
#include "crowd.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "util.h"
#include "warm.h"

#define PEEK_US		2000	/* between looks at a client that has yet to open it */
#define TAIL		1500	/* bytes that are told of what a failed client said */
#ifndef NODE
#define NODE		"/dev/dri/renderD"
#endif

/**
 * struct one - A client that runs
 * @pid: 0 if there is none
 * @output: memfd with what it says
 * @delay: microseconds from the GPU being open to its death
 * @end: when it is to be killed, of now_us(); 0 while it has not opened the GPU
 * @killed: it was
 */
struct one {
	pid_t pid;
	int output;
	int64_t delay;
	int64_t end;
	bool killed;
};

struct counts counts;
static struct one ones[MAX_AT_ONCE];
static unsigned int need_open;	/* so often a client that has the GPU open has */
static uint64_t state;
static struct warm warm;
static int warm_output = -1;	/* of all its clients */

void clients_prepare(const struct options *options, uint64_t seed)
{
	state = seed;
	need_open = options->open;
}

void clients_end(void)
{
	warm_end(&warm);
}

bool client_is_there(unsigned int place)
{
	return ones[place].pid;
}

static uint64_t draw(uint64_t below)	/* splitmix64 */
{
	uint64_t z = (state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31)) % below;
}

static bool has_gpu_open(pid_t pid)
{
	char path[64], target[128];
	struct dirent *entry;
	unsigned int open = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && open < need_open && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		open += n > 0 && !strncmp(target, NODE, strlen(NODE));
	}
	if (dir)
		closedir(dir);
	return open >= need_open;
}

static int start_cold(struct one *one, const struct options *options)
{
	pid_t parent = getpid();

	one->output = memfd_create("output", MFD_CLOEXEC);
	if (one->output < 0)
		return fail(-errno, "memfd_create");
	one->pid = fork();
	if (one->pid < 0)
		return fail(-errno, "fork");
	if (!one->pid) {
		sigset_t none;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		dup2(one->output, STDOUT_FILENO);
		dup2(one->output, STDERR_FILENO);
		execv(options->argv[0], options->argv);
		dprintf(STDERR_FILENO, "%s: %s\n", options->argv[0], strerror(errno));
		_exit(127);
	}
	return 0;
}

static int start_warm(struct one *one, const struct options *options)
{
	int ret = 0;

	if (!warm.pid) {
		warm_output = memfd_create("output", MFD_CLOEXEC);
		ret = warm_output < 0 ? fail(-errno, "memfd_create") :
					warm_up(&warm, NODE, options->argv, warm_output);
	}
	if (ret < 0)
		return ret;
	one->output = dup(warm_output);
	one->pid = warm_fork(&warm);
	if (one->pid < 0)
		return one->pid;
	return 0;
}

int client_start(unsigned int place, const struct options *options)
{
	struct one *one = &ones[place];
	int ret;

	*one = (struct one){ 0 };
	ret = options->warm ? start_warm(one, options) : start_cold(one, options);
	if (ret < 0) {
		one->pid = 0;
		return ret;
	}
	if (options->kill)
		one->delay = 1000 * options->min_ms +
			     draw(1000 * (options->max_ms - options->min_ms) + 1);
	else
		one->end = INT64_MAX;
	counts.started++;
	return 0;
}

static void tell(const struct one *one, int status)
{
	off_t size = lseek(one->output, 0, SEEK_END);
	char text[TAIL + 1], *line, *rest = text;
	ssize_t n = pread(one->output, text, TAIL, size > TAIL ? size - TAIL : 0);

	text[n > 0 ? n : 0] = '\0';
	if (WIFSIGNALED(status))
		out("# a client died of signal %d\n", WTERMSIG(status));
	else
		out("# a client ended with status %d\n", WEXITSTATUS(status));
	while ((line = strsep(&rest, "\n")))
		if (*line)
			out("#   %s\n", line);
}

void clients_reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct one *one = ones;

		while (one < ones + MAX_AT_ONCE && one->pid != pid)
			one++;
		if (one == ones + MAX_AT_ONCE)
			continue;	/* a child of a client, left to us */
		if (one->killed) {
			counts.killed++;
		} else if (WIFEXITED(status) && !WEXITSTATUS(status)) {
			counts.ended++;
		} else {
			counts.failed++;
			tell(one, status);
		}
		close(one->output);
		one->pid = 0;
	}
}

int64_t clients_kill_due(void)
{
	int64_t next = INT64_MAX;

	for (struct one *one = ones; one < ones + MAX_AT_ONCE; one++) {
		if (!one->pid || one->killed)
			continue;
		if (!one->end && has_gpu_open(one->pid))
			one->end = now_us() + one->delay;
		if (!one->end) {
			next = now_us() + PEEK_US;
		} else if (one->end <= now_us()) {
			kill(one->pid, SIGKILL);
			one->killed = true;
		} else if (one->end < next) {
			next = one->end;
		}
	}
	return next;
}

void clients_look(void)
{
	unsigned int open = 0;

	for (struct one *one = ones; one < ones + MAX_AT_ONCE; one++)
		open += one->pid && has_gpu_open(one->pid);
	if (open > counts.most)
		counts.most = open;
}

unsigned int clients_there(void)
{
	unsigned int n = 0;

	for (struct one *one = ones; one < ones + MAX_AT_ONCE; one++)
		n += !!one->pid;
	return n;
}

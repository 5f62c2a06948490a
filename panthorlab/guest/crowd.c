// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Run a client program of somebody else's many times, several at once, and let each end by itself or
 * kill it at a random moment. Every client that ends by itself must end with status 0.
 *
 *   crowd [--count N] [--at-once P] [--together M] [--open F] [--kill-ms MIN:MAX --seed S] [--warm] --
 *         PROGRAM ARG...
 *
 * With --warm the program is started once, and each client is a fork of it from where it opens the GPU
 * for the first time (warm.c).
 *
 * The moments are drawn from the seed and PANTHORLAB_ITERATION, in milliseconds after the client was
 * seen to have the GPU open (F times: Vulkan opens it again for a logical device), however long it
 * takes to get there. It is counted how many were killed,
 * and how many had the GPU open at the same time: if there is none of the former, or fewer than
 * --together of the latter, nothing was tried, and the result is not ok.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "util.h"
#include "warm.h"

#define MAX_AT_ONCE	64u
#define LOOK_US		100000	/* between looks at how many have the GPU open */
#define PEEK_US		2000	/* between looks at a client that has yet to open it */
#define TAIL		1500	/* bytes that are told of what a failed client said */
#ifndef NODE
#define NODE		"/dev/dri/renderD"
#endif

struct options {
	unsigned int count;
	unsigned int at_once;
	unsigned int together;
	unsigned int open;
	unsigned int min_ms;
	unsigned int max_ms;
	bool kill;
	bool warm;
	unsigned int seed;
	char **argv;
};

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

static struct one ones[MAX_AT_ONCE];
static unsigned int started, ended, killed, most, failed;
static uint64_t state;
static struct warm warm;
static int warm_output = -1;	/* of all its clients */

static uint64_t draw(uint64_t below)	/* splitmix64 */
{
	uint64_t z = (state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31)) % below;
}

static unsigned int need_open;

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

static int start(struct one *one, const struct options *options)
{
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
	started++;
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

static void reap(void)
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
			killed++;
		} else if (WIFEXITED(status) && !WEXITSTATUS(status)) {
			ended++;
		} else {
			failed++;
			tell(one, status);
		}
		close(one->output);
		one->pid = 0;
	}
}

/* Kill whose time has come. Returns when to look again. */
static int64_t kill_due(void)
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

static void look(void)
{
	unsigned int open = 0;

	for (struct one *one = ones; one < ones + MAX_AT_ONCE; one++)
		open += one->pid && has_gpu_open(one->pid);
	if (open > most)
		most = open;
}

static unsigned int alive(void)
{
	unsigned int n = 0;

	for (struct one *one = ones; one < ones + MAX_AT_ONCE; one++)
		n += !!one->pid;
	return n;
}

static int run(const struct options *options)
{
	int64_t next_look = now_us() + LOOK_US;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	while (started < options->count || alive()) {
		int64_t next, now;
		int ret;

		for (unsigned int i = 0; i < options->at_once && started < options->count && !failed; i++)
			if (!ones[i].pid && (ret = start(&ones[i], options)))
				return ret;
		if (failed && !alive())
			break;
		next = kill_due();
		now = now_us();
		if (now >= next_look) {
			look();
			next_look = now_us() + LOOK_US;
		}
		if (next > next_look)
			next = next_look;
		now = now_us();
		if (next > now) {
			struct timespec wait = { .tv_sec = (next - now) / 1000000,
						 .tv_nsec = (next - now) % 1000000 * 1000 };

			sigtimedwait(&child, NULL, &wait);
		}
		reap();
	}
	return 0;
}

static unsigned int number(const char *text, char end, char **rest)
{
	unsigned long value = strtoul(text, rest, 10);

	if (*text < '0' || *text > '9' || **rest != end || value > 1000000000) {
		fprintf(stderr, "crowd: %s\n", text);
		exit(2);
	}
	return value;
}

static void usage(FILE *stream)
{
	fputs("usage: crowd [OPTION...] -- PROGRAM [ARG...]\n\n"
	      "  --count N          clients in all, default 1\n"
	      "  --at-once P        clients at a time, default 1, at most 64\n"
	      "  --together M       so many must have been seen with the GPU open at the same time\n"
	      "  --open F           a client has the GPU open when it has it open F times, default 1\n"
	      "  --kill-ms MIN:MAX  kill each so long after it has opened the GPU\n"
	      "  --seed S           of these moments, together with PANTHORLAB_ITERATION\n"
	      "  --warm             start the program once, and fork clients where it opens the GPU\n", stream);
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option long_options[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "at-once", required_argument, NULL, 'p' },
		{ "together", required_argument, NULL, 't' },
		{ "open", required_argument, NULL, 'o' },
		{ "kill-ms", required_argument, NULL, 'k' },
		{ "seed", required_argument, NULL, 's' },
		{ "warm", no_argument, NULL, 'w' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	char *rest;
	int opt;

	*options = (struct options){ .count = 1, .at_once = 1, .open = 1 };
	while ((opt = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		if (opt == 'c')
			options->count = number(optarg, '\0', &rest);
		else if (opt == 'p')
			options->at_once = number(optarg, '\0', &rest);
		else if (opt == 't')
			options->together = number(optarg, '\0', &rest);
		else if (opt == 'o')
			options->open = number(optarg, '\0', &rest);
		else if (opt == 's')
			options->seed = number(optarg, '\0', &rest);
		else if (opt == 'w')
			options->warm = true;
		else if (opt == 'k') {
			options->kill = true;
			options->min_ms = number(optarg, ':', &rest);
			options->max_ms = number(rest + 1, '\0', &rest);
		} else {
			usage(opt == 'h' ? stdout : stderr);
			exit(opt == 'h' ? 0 : 2);
		}
	}
	options->argv = argv + optind;
	if (optind == argc || !options->count || !options->at_once || !options->open ||
	    options->at_once > MAX_AT_ONCE || options->max_ms < options->min_ms) {
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	const char *iteration = getenv("PANTHORLAB_ITERATION");
	struct options options;
	char why[256] = "";
	int64_t begin;
	int error;

	parse(argc, argv, &options);
	state = options.seed * 1000003ull + (iteration ? strtoul(iteration, NULL, 10) : 0);
	need_open = options.open;
	begin = now_us();
	ktap_start(1);
	error = run(&options);
	warm_end(&warm);
	out("# info killed=%u\n# info ended=%u\n# info at_once=%u\n# info us=%lld\n",
	    killed, ended, most, (long long)(now_us() - begin));
	out("# terminations %u\n", killed + ended);
	if (error)
		snprintf(why, sizeof(why), "%s", last_error());
	else if (failed)
		snprintf(why, sizeof(why), "%u of %u clients failed", failed, started);
	else if (options.kill && !killed)
		snprintf(why, sizeof(why), "all %u clients ended before they could be killed", ended);
	else if (most < options.together)
		snprintf(why, sizeof(why), "only %u clients had the GPU open at the same time", most);
	ktap_result(1, !*why, "clients", why);
	return *why ? 1 : 0;
}

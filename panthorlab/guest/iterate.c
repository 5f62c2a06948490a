// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Run a program many times, each time in a fresh process between two markers in the kernel log,
 * and see how it ended. The end marker is written when the program and all its descendants are
 * reaped and a sentinel job of another process has run (sentinel.c): what the kernel says about an
 * iteration lies between its markers. The program finds its number in PANTHORLAB_ITERATION.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "mark.h"
#include "sentinel.h"
#include "util.h"

#ifndef KMSG_PATH
#define KMSG_PATH	"/dev/kmsg"
#endif
#define BOOT_ID_PATH	"/proc/sys/kernel/random/boot_id"
#define BOOT_ID_LEN	36
#define LINE_MAX_LEN	1024
#define REAP_MS		5000	/* from SIGKILL to the process being gone */
/*
 * Output that comes within this time is passed on in one go: every switch to a reader takes half a
 * millisecond from an iteration where page tables are emulated.
 */
#define GATHER_MS	50

struct options {
	const char *name;
	const char *prefix;
	unsigned long first;
	unsigned long count;
	unsigned int timeout_ms;
	int expect_signal;
	bool sentinel;
	char **argv;
};

/**
 * struct subtests - What the KTAP of a program says
 * @line: the current line so far
 * @length: of it
 * @version: a KTAP version line was seen
 * @planned: from the plan, -1 while there is none
 * @ok: results that are ok
 * @not_ok: results that are not
 */
struct subtests {
	char line[LINE_MAX_LEN];
	size_t length;
	bool version;
	long planned;
	long ok;
	long not_ok;
};

/**
 * struct run - One run of the program
 * @output: read end of its stdout and stderr, nonblocking
 * @pid: the program, its process group too
 * @status: as wait() gives it, valid when @reaped
 * @reaped: the program is gone
 * @orphans: there may be descendants
 * @timed_out: it was killed at the deadline
 */
struct run {
	int output;
	pid_t pid;
	int status;
	bool reaped;
	bool orphans;
	bool timed_out;
	struct subtests subtests;
};

static int64_t flushed;	/* when output was last passed on */
static int kmsg_fd;
static int child_fd;	/* signalfd of SIGCHLD */
static char boot_id[BOOT_ID_LEN + 1];

static void flush_output(void)
{
	out_flush();
	flushed = now_us();
}

static bool gathering(void)
{
	return now_us() - flushed < GATHER_MS * 1000LL;
}

static int mark(const char *text)
{
	char record[256];
	int n = snprintf(record, sizeof(record), "<6>panthorlab: %s\n", text);

	if (write(kmsg_fd, record, n) == n)
		return 0;
	out("# %s: %s\n", KMSG_PATH, strerror(errno));
	return -1;
}

static void parse_line(struct subtests *tests)
{
	char *line = tests->line;
	long plan;

	line[tests->length] = '\0';
	if (!strncmp(line, "KTAP version ", 13))
		tests->version = true;
	else if (!strncmp(line, "ok ", 3))
		tests->ok++;
	else if (!strncmp(line, "not ok ", 7) || !strncmp(line, "Bail out!", 9))
		tests->not_ok++;
	else if (sscanf(line, "1..%ld", &plan) == 1)
		tests->planned = plan;
}

/* Pass lines on, indented. Of overlong ones only the beginning. */
static void feed(struct subtests *tests, const char *data, size_t size)
{
	for (; size; data++, size--) {
		if (*data != '\n') {
			if (tests->length < sizeof(tests->line) - 1)
				tests->line[tests->length++] = *data;
			continue;
		}
		parse_line(tests);
		out("    %s\n", tests->line);
		tests->length = 0;
	}
}

/*
 * All subtests were run and were ok. A program without KTAP is judged by how it ends alone; but one
 * that dies of a signal must have said first that it did its work.
 */
static bool subtests_ok(const struct subtests *tests, int expect_signal)
{
	if (tests->not_ok)
		return false;
	if (tests->version || tests->planned >= 0)
		return tests->planned == tests->ok;
	return !expect_signal || tests->ok;
}

static int start(struct run *run, char **argv)
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
			feed(&run->subtests, data, n);
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
static bool finish(struct run *run, unsigned int timeout_ms)
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
		feed(&run->subtests, "\n", 1);
	return true;
}

static bool ended_as_expected(const struct run *run, int expect_signal)
{
	if (!run->reaped || run->timed_out)
		return false;
	if (expect_signal)
		return WIFSIGNALED(run->status) && WTERMSIG(run->status) == expect_signal;
	return WIFEXITED(run->status) && !WEXITSTATUS(run->status);
}

/* One iteration. Returns 1 if it was ok, 0 if not, -1 if nothing more can be run. */
static int iterate(const struct options *options, unsigned long index)
{
	const char *sentinel = "none";
	struct run run = { .output = -1 };
	char text[224], id[128], why[192] = "";
	bool ok, gone = true;
	int64_t begin, us;
	int error;

	snprintf(id, sizeof(id), "%s-%lu", options->prefix, options->first + index);
	snprintf(text, sizeof(text), "begin id=%s workload=%s boot=%s", id, options->name, boot_id);
	ok = !mark(text);
	out("# panthorlab %s\n", text);
	snprintf(text, sizeof(text), "%lu", options->first + index);
	setenv("PANTHORLAB_ITERATION", text, 1);
	mark_iteration(id, true);

	begin = now_us();
	error = start(&run, options->argv);
	if (error) {
		out("# fork: %s\n", strerror(-error));
		return -1;
	}
	gone = finish(&run, options->timeout_ms);
	us = now_us() - begin;
	ok = ok && gone && ended_as_expected(&run, options->expect_signal) &&
	     subtests_ok(&run.subtests, options->expect_signal);
	if (run.output >= 0)
		close(run.output);

	if (options->sentinel && gone) {
		sentinel = sentinel_run(why, sizeof(why)) ? "ok" : "fail";
		if (!strcmp(sentinel, "fail")) {
			out("# sentinel: %s\n", why);
			ok = false;
		}
	}
	mark_iteration(id, false);
	snprintf(text, sizeof(text), "end id=%s", id);
	if (mark(text))
		ok = false;
	out("%s %lu %s # id=%s status=%d signal=%d us=%lld sentinel=%s%s\n"
	    "# panthorlab %s\n",
	    ok ? "ok" : "not ok", index + 1, options->name, id,
	    run.reaped && WIFEXITED(run.status) ? WEXITSTATUS(run.status) : -1,
	    run.reaped && WIFSIGNALED(run.status) ? WTERMSIG(run.status) : 0,
	    (long long)us, sentinel, run.timed_out ? " timeout=1" : "", text);
	if (!gathering())
		flush_output();
	return gone ? ok : -1;
}

static void usage(FILE *stream)
{
	fputs("usage: iterate --name NAME --prefix P [OPTION...] -- PROGRAM [ARG...]\n\n"
	      "  --first N          number of the first iteration, default 0\n"
	      "  --count C          iterations, default 1\n"
	      "  --timeout-ms T     for one run of the program, default 60000\n"
	      "  --expect-signal S  the program is to die of signal S, not to exit with 0\n"
	      "  --no-sentinel      no GPU job of a fresh process after each run\n", stream);
}

static void bad(const char *what, const char *text)
{
	fprintf(stderr, "iterate: %s: %s\n", what, text);
	exit(2);
}

static unsigned long number(const char *text, const char *option, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value > max)
		bad(option, text);
	return value;
}

/* Names become part of log markers and of lines that are split at spaces. */
static const char *word(const char *text, const char *option)
{
	static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._:/@+-";

	if (!*text || strlen(text) > 64 || text[strspn(text, valid)])
		bad(option, text);
	return text;
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option long_options[] = {
		{ "name", required_argument, NULL, 'n' },
		{ "prefix", required_argument, NULL, 'p' },
		{ "first", required_argument, NULL, 'f' },
		{ "count", required_argument, NULL, 'c' },
		{ "timeout-ms", required_argument, NULL, 't' },
		{ "expect-signal", required_argument, NULL, 's' },
		{ "no-sentinel", no_argument, NULL, 'N' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int opt;

	*options = (struct options){ .count = 1, .timeout_ms = 60000, .sentinel = true };
	while ((opt = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		switch (opt) {
		case 'n':
			options->name = word(optarg, "--name");
			break;
		case 'p':
			options->prefix = word(optarg, "--prefix");
			break;
		case 'f':
			options->first = number(optarg, "--first", 1000000000);
			break;
		case 'c':
			options->count = number(optarg, "--count", 1000000000);
			break;
		case 't':
			options->timeout_ms = number(optarg, "--timeout-ms", 86400000);
			break;
		case 's':
			options->expect_signal = number(optarg, "--expect-signal", 64);
			break;
		case 'N':
			options->sentinel = false;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			exit(2);
		}
	}
	options->argv = argv + optind;
	if (!options->name || !options->prefix || optind == argc) {
		usage(stderr);
		exit(2);
	}
}

/* Each iteration says which boot it ran on: this process cannot outlive it, so reading it once will do. */
static int read_boot_id(void)
{
	int fd = open(BOOT_ID_PATH, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, boot_id, BOOT_ID_LEN);

	if (n != BOOT_ID_LEN)
		return fail(n < 0 ? -errno : 0, "%s", BOOT_ID_PATH);
	close(fd);
	return 0;
}

static int set_up(void)
{
	sigset_t mask;

	if (read_boot_id())
		return -1;
	kmsg_fd = open(KMSG_PATH, O_WRONLY | O_CLOEXEC);
	if (kmsg_fd < 0)
		return fail(-errno, "%s", KMSG_PATH);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	child_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (child_fd < 0)
		return fail(-errno, "signalfd");
	/* Descendants that outlive the program are reaped here, not by init. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		return fail(-errno, "PR_SET_CHILD_SUBREAPER");
	mark_open();
	return 0;
}

int main(int argc, char **argv)
{
	struct options options;
	unsigned long i, good = 0;

	parse(argc, argv, &options);
	if (set_up()) {
		fprintf(stderr, "iterate: %s\n", last_error());
		return 1;
	}
	ktap_start(options.count);
	flush_output();
	for (i = 0; i < options.count; i++) {
		int ret = iterate(&options, i);

		if (ret < 0) {
			out("Bail out! iteration %s-%lu cannot be ended\n", options.prefix,
			    options.first + i);
			out_flush();
			return 1;
		}
		good += ret;
	}
	out_flush();
	return good == options.count ? 0 : 1;
}

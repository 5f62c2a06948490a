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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "iterate-run.h"
#include "ktap.h"
#include "mark.h"
#include "options.h"
#include "sentinel.h"
#include "util.h"

#ifndef KMSG_PATH
#define KMSG_PATH	"/dev/kmsg"
#endif
#define BOOT_ID_PATH	"/proc/sys/kernel/random/boot_id"
#define BOOT_ID_LEN	36

struct options {
	const char *name;
	const char *prefix;
	unsigned int first;
	unsigned int count;
	unsigned int timeout_ms;
	unsigned int expect_signal;
	bool sentinel;
	char **argv;
};

static int kmsg_fd;
static char boot_id[BOOT_ID_LEN + 1];

static int mark(const char *text)
{
	char record[256];
	int n = snprintf(record, sizeof(record), "<6>panthorlab: %s\n", text);

	if (write(kmsg_fd, record, n) == n)
		return 0;
	out("# %s: %s\n", KMSG_PATH, strerror(errno));
	return -1;
}

/* One iteration. Returns 1 if it was ok, 0 if not, -1 if nothing more can be run. */
static int iterate(const struct options *options, unsigned int index)
{
	const char *sentinel = "none";
	struct run run = { .output = -1 };
	char text[224], id[128], why[192] = "";
	bool ok, gone = true;
	int64_t begin, us;
	int error;

	snprintf(id, sizeof(id), "%s-%u", options->prefix, options->first + index);
	snprintf(text, sizeof(text), "begin id=%s workload=%s boot=%s", id, options->name, boot_id);
	ok = !mark(text);
	out("# panthorlab %s\n", text);
	snprintf(text, sizeof(text), "%u", options->first + index);
	setenv("PANTHORLAB_ITERATION", text, 1);
	mark_iteration(id, true);

	begin = now_us();
	error = run_start(&run, options->argv);
	if (error) {
		out("# fork: %s\n", strerror(-error));
		return -1;
	}
	gone = run_finish(&run, options->timeout_ms);
	us = now_us() - begin;
	ok = ok && gone && run_ended_as_expected(&run, options->expect_signal) &&
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
	out("%s %u %s # id=%s status=%d signal=%d us=%lld sentinel=%s%s\n"
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

/* Names become part of log markers and of lines that are split at spaces. */
static void check_word(const char *text, const char *option)
{
	static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._:/@+-";

	if (!*text || strlen(text) > 64 || text[strspn(text, valid)]) {
		fprintf(stderr, "iterate: %s: %s\n", option, text);
		exit(2);
	}
}

static void parse(int argc, char **argv, struct options *options)
{
	bool no_sentinel = false;
	const struct program_option all[] = {
		{ "name", .word = &options->name },
		{ "prefix", .word = &options->prefix },
		{ "first", .number = &options->first, .most = 1000000000 },
		{ "count", .number = &options->count, .most = 1000000000 },
		{ "timeout-ms", .number = &options->timeout_ms, .most = 86400000 },
		{ "expect-signal", .number = &options->expect_signal, .most = 64 },
		{ "no-sentinel", .flag = &no_sentinel },
		{ 0 }
	};

	*options = (struct options){ .count = 1, .timeout_ms = 60000 };
	options->argv = read_options_and_rest(argc, argv, all, usage);
	options->sentinel = !no_sentinel;
	if (!options->name || !options->prefix || !*options->argv)
		bad_usage(usage);
	check_word(options->name, "--name");
	check_word(options->prefix, "--prefix");
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
	if (read_boot_id())
		return -1;
	kmsg_fd = open(KMSG_PATH, O_WRONLY | O_CLOEXEC);
	if (kmsg_fd < 0)
		return fail(-errno, "%s", KMSG_PATH);
	if (runs_prepare())
		return -1;
	mark_open();
	return 0;
}

int main(int argc, char **argv)
{
	struct options options;
	unsigned int i, good = 0;

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
			out("Bail out! iteration %s-%u cannot be ended\n", options.prefix,
			    options.first + i);
			out_flush();
			return 1;
		}
		good += ret;
	}
	out_flush();
	return good == options.count ? 0 : 1;
}

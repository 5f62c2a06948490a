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

#include "crowd.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ktap.h"
#include "options.h"
#include "util.h"

#define LOOK_US		100000	/* between looks at how many have the GPU open */

static int run(const struct options *options)
{
	int64_t next_look = now_us() + LOOK_US;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	while (counts.started < options->count || clients_there()) {
		int64_t next, now;
		int ret;

		for (unsigned int i = 0; i < options->at_once && counts.started < options->count && !counts.failed; i++)
			if (!client_is_there(i) && (ret = client_start(i, options)))
				return ret;
		if (counts.failed && !clients_there())
			break;
		next = clients_kill_due();
		now = now_us();
		if (now >= next_look) {
			clients_look();
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
		clients_reap();
	}
	return 0;
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

/* MIN:MAX */
static void parse_range(const char *text, struct options *options)
{
	unsigned long min, max;
	int end = 0;

	if (sscanf(text, "%lu:%lu%n", &min, &max, &end) != 2 || text[end] || text[strspn(text, "0123456789:")] ||
	    min > max || max > 1000000000) {
		fprintf(stderr, "crowd: --kill-ms %s: not MIN:MAX\n", text);
		exit(2);
	}
	options->min_ms = min;
	options->max_ms = max;
}

static void parse(int argc, char **argv, struct options *options)
{
	const char *kill_ms = NULL;
	const struct program_option all[] = {
		{ "count", .number = &options->count, .least = 1, .most = 1000000000 },
		{ "at-once", .number = &options->at_once, .least = 1, .most = MAX_AT_ONCE },
		{ "together", .number = &options->together, .most = 1000000000 },
		{ "open", .number = &options->open, .least = 1, .most = 1000000000 },
		{ "kill-ms", .word = &kill_ms },
		{ "seed", .number = &options->seed, .most = 1000000000 },
		{ "warm", .flag = &options->warm },
		{ 0 }
	};

	*options = (struct options){ .count = 1, .at_once = 1, .open = 1 };
	options->argv = read_options_and_rest(argc, argv, all, usage);
	if (!*options->argv)
		bad_usage(usage);
	options->kill = kill_ms;
	if (kill_ms)
		parse_range(kill_ms, options);
}

int main(int argc, char **argv)
{
	const char *iteration = getenv("PANTHORLAB_ITERATION");
	struct options options;
	char why[256] = "";
	int64_t begin;
	int error;

	parse(argc, argv, &options);
	clients_prepare(&options, options.seed * 1000003ull + (iteration ? strtoul(iteration, NULL, 10) : 0));
	begin = now_us();
	ktap_start(1);
	error = run(&options);
	clients_end();
	out("# info killed=%u\n# info ended=%u\n# info at_once=%u\n# info us=%lld\n",
	    counts.killed, counts.ended, counts.most, (long long)(now_us() - begin));
	out("# terminations %u\n", counts.killed + counts.ended);
	if (error)
		snprintf(why, sizeof(why), "%s", last_error());
	else if (counts.failed)
		snprintf(why, sizeof(why), "%u of %u clients failed", counts.failed, counts.started);
	else if (options.kill && !counts.killed)
		snprintf(why, sizeof(why), "all %u clients ended before they could be killed", counts.ended);
	else if (counts.most < options.together)
		snprintf(why, sizeof(why), "only %u clients had the GPU open at the same time", counts.most);
	ktap_result(1, !*why, "clients", why);
	return *why ? 1 : 0;
}

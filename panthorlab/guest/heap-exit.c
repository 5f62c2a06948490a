// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Make tiler heaps, run GPU jobs that bind them, and die abruptly: in many ways, one per process.
 *
 * What is printed is complete before the process dies: KTAP, the GPU addresses of what was made,
 * and the number of heap-bound terminations that follow. A job counts only if its fence status and
 * the memory it had to write are right.
 */

#include "heap-exit.h"

#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crew.h"
#include "ktap.h"
#include "options.h"

#define AS_GROUPS	UINT32_MAX	/* heaps: one for each group */

int complain(const char *what)
{
	out("# %s: %s\n", what, last_error());
	out_flush();
	return 1;
}

static int run_vms(struct options *options)
{
	return crew_vms(&options->config, options->processes);
}

static int run_clients(struct options *options)
{
	return crew_clients(&options->config, options->terminations);
}

#define MAKE(g, h, c)	.groups = (g), .heaps = (h), .chunks = (c), .chunk_size = 128 * 1024
#define ONE		MAKE(1, 1, 1), .rounds = 1, .bind = true

static const struct mode modes[] = {
	{ "exit", "claim", "_exit as soon as the job is done", { ONE }, .die = die_exit },
	{ "sigkill", "claim", "SIGKILL while a stream spins", { ONE, .spin = true },
	  .die = die_sigkill },
	{ "sigsegv", "claim", "SIGSEGV", { ONE }, .die = die_sigsegv },
	{ "exec", "claim", "exec another program, which exits", { ONE }, .die = die_exec },
	{ "destroy", "claim", "GROUP_DESTROY, then VM_DESTROY", { ONE }, .die = die_destroy },

	{ "groups", "watch", "several groups, each with its heap",
	  { MAKE(4, 4, 1), .rounds = 1, .bind = true }, .heap_per_group = true, .die = die_exit },
	{ "heaps", "watch", "several heaps, one of them bound",
	  { MAKE(1, 8, 1), .rounds = 1, .bind = true }, .die = die_exit },
	{ "chunks", "watch", "several initial chunks",
	  { MAKE(1, 1, 8), .rounds = 1, .bind = true }, .die = die_exit },
	{ "slots", "watch", "more groups than slots, each with its heap and several jobs",
	  { MAKE(12, 12, 1), .rounds = 3, .bind = true }, .heap_per_group = true, .die = die_exit },
	{ "vms", "watch", "processes with a VM each, more than address spaces",
	  { ONE }, .run = run_vms },
	{ "fork-storm", "watch", "many processes share the file and exit at once",
	  { ONE }, .die = die_fork_storm },
	{ "fd-inherit", "watch", "a child that outlives its parent closes the file",
	  { ONE }, .die = die_fd_inherit },
	{ "fd-pass", "watch", "a process that got the file by SCM_RIGHTS closes it",
	  { ONE }, .prepare = prepare_fd_pass, .die = die_fd_pass },
	{ "heap-destroy", "watch", "TILER_HEAP_DESTROY, then _exit",
	  { ONE }, .die = die_heap_destroy },
	{ "vm-destroy-live", "watch", "VM_DESTROY under a live group, evicted as the GPU suspends",
	  { ONE }, .die = die_vm_destroy_live },
	{ "clients", "watch", "at once: one exits, one is killed, one has no heap; repeatedly",
	  { ONE }, .run = run_clients },

	{ "no-heap-set", "control", "a heap that no stream binds", { MAKE(1, 1, 1), .rounds = 1 },
	  .die = die_exit },
	{ "idle-exit", "control", "200 ms idle and GPU suspended before _exit", { ONE },
	  .evicted = true, .die = die_idle_exit },
	{ "destroy-wait", "control", "GROUP_DESTROY, 150 ms and GPU suspended, then _exit",
	  { ONE }, .die = die_destroy_wait },
};

#define MODES	(sizeof(modes) / sizeof(modes[0]))

static void usage(FILE *stream)
{
	size_t i;

	fputs("usage: heap-exit --mode MODE [OPTION...]\n\n"
	      "  --groups N         scheduling groups of one queue\n"
	      "  --heaps N          tiler heaps; group k binds heap k\n"
	      "  --chunks N         initial chunks of each heap\n"
	      "  --chunk-size BYTES 131072\n"
	      "  --rounds N         jobs per group, one after the other\n"
	      "  --loops N          iterations of a counting loop in each job\n"
	      "  --bind-every N     bind heaps only when PANTHORLAB_ITERATION is a multiple of N\n"
	      "  --processes N      of mode vms, default 9\n"
	      "  --terminations N   per heap-bound client of mode clients, default 10\n\n"
	      "modes:\n", stream);
	for (i = 0; i < MODES; i++)
		fprintf(stream, "  %-16s %-8s %s\n", modes[i].name, modes[i].role, modes[i].help);
}

/* Which iteration this is, as iterate says it; 0 without it. */
static unsigned long iteration(void)
{
	const char *text = getenv("PANTHORLAB_ITERATION");

	return text ? strtoul(text, NULL, 10) : 0;
}

/* The mode first: it has the defaults that the other options change. */
static void parse(int argc, char **argv, struct options *options)
{
	struct client_config *config = &options->config;
	unsigned int bind_every = 1;
	const char *name = "";
	const struct program_option all[] = {
		{ "mode", .word = &name },
		{ "groups", .number = &config->groups, .least = 1, .most = INT32_MAX },
		{ "heaps", .number = &config->heaps, .most = INT32_MAX },
		{ "chunks", .number = &config->chunks, .least = 1, .most = INT32_MAX },
		{ "chunk-size", .number = &config->chunk_size, .least = 1, .most = INT32_MAX },
		{ "rounds", .number = &config->rounds, .least = 1, .most = INT32_MAX },
		{ "loops", .number = &config->loops, .most = INT32_MAX },
		{ "bind-every", .number = &bind_every, .least = 1, .most = INT32_MAX },
		{ "processes", .number = &options->processes, .least = 1, .most = INT32_MAX },
		{ "terminations", .number = &options->terminations, .least = 1, .most = INT32_MAX },
		{ 0 }
	};

	read_options(argc, argv, all, usage);
	if (!strcmp(name, EXEC_TARGET))
		exit(0);
	*options = (struct options){ .mode = CHOOSE_MODE(modes, name, usage), .terminations = 10, .processes = 9 };
	*config = options->mode->config;
	if (options->mode->heap_per_group)
		config->heaps = AS_GROUPS;
	optind = 1;
	read_options(argc, argv, all, usage);
	config->bind &= iteration() % bind_every == 0;
	if (config->heaps == AS_GROUPS)
		config->heaps = config->groups;
}

int main(int argc, char **argv)
{
	struct options options;
	const struct mode *mode;
	struct client client;
	static char facts[12288];
	char name[40];
	int ret = 0;

	parse(argc, argv, &options);
	mode = options.mode;
	ktap_start(1);
	if (mode->run)
		return mode->run(&options);

	snprintf(name, sizeof(name), "job %s", mode->name);
	if (mode->prepare)
		ret = mode->prepare(&options);
	if (!ret)
		ret = client_create(&client, &options.config);
	if (!ret)
		ret = client_run(&client);
	if (ret) {
		ktap_result(1, false, name, last_error());
		return 1;
	}
	client_facts(&client, facts, sizeof(facts));
	out("%s# terminations %u\n", facts, mode->evicted ? 0 : client_bound(&options.config));
	ktap_result(1, true, name, "");
	return mode->die(&client, &options);
}

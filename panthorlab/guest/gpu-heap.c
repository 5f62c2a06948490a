// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tiler heaps that run out of chunks: how far they grow, what happens then, and what else goes on
 * meanwhile. The emulated GPU's tiler has to be told to take chunks ("tiler-chunk"); with one that
 * takes none nothing passes that must see the exception handler run or a group die.
 */

#include <stdio.h>
#include <stdlib.h>

#include "gpu-heap.h"
#include "ktap.h"
#include "options.h"

struct mode {
	const char *name;
	const char *help;
	unsigned int count;
	void (*run)(struct heap_checks *checks, unsigned int count);
};

static const struct mode modes[] = {
	{ "grow", "a heap has as many chunks as it may, and not one more (--count)", 8, heap_grow },
	{ "handler", "incremental rendering: --count tiler jobs with three chunks", 20,
	  heap_handler },
	{ "in-flight", "a heap that may not grow while a pass is in flight (--count tiler jobs)", 6,
	  heap_in_flight },
	{ "no-pool", "out of memory in a VM that has no heap, or no heap any more", 1,
	  heap_no_pool },
	{ "wrong", "out of memory with heap contexts and counts that cannot be", 1, heap_wrong },
	{ "calls", "HEAP_CREATE and HEAP_DESTROY where there is no pool, no VM, no room", 1,
	  heap_calls },
	{ "scarce", "a heap for which there is not memory enough has all its chunks, or is not there", 1, heap_scarce },
	{ "exhausted", "a full heap and no handler: the job is given up after 5 s", 1,
	  heap_exhausted },
	{ "evict", "more groups than slots run out of memory all the time (--count tiler jobs)", 4,
	  heap_evict },
	{ "last-slot", "only one of eight groups runs out of memory: tell the GPU which slot", 4,
	  heap_last_slot },
	{ "walk", "debugfs and fdinfo are read while clients come and go, --count times", 12,
	  heap_walk },
	{ "churn", "heaps come and go, --count of them, though the MMU may not answer", 60,
	  heap_churn },
	{ "race-group", "GROUP_DESTROY while the heap grows, --count times", 100, heap_race_group },
	{ "race-heap", "TILER_HEAP_DESTROY while the heap grows, --count times", 100,
	  heap_race_heap },
	{ "race-vm", "VM_DESTROY while the heap grows, --count times", 30, heap_race_vm },
	{ "race-kill", "SIGKILL while the heap grows, --count times", 30, heap_race_kill },
};

#define MODES	(sizeof(modes) / sizeof(modes[0]))

void heap_check(struct heap_checks *checks, int ret, const char *name)
{
	unsigned int i = checks->count++;

	if (i >= HEAP_CHECKS)
		abort();
	snprintf(checks->name[i], sizeof(checks->name[i]), "%s", name);
	snprintf(checks->why[i], sizeof(checks->why[i]), "%s", ret ? last_error() : "");
}

static int run(const struct mode *mode, unsigned int count)
{
	static struct heap_checks checks;
	unsigned int i, failed = 0;

	mode->run(&checks, count ?: mode->count);
	ktap_start(checks.count);
	for (i = 0; i < checks.count; i++) {
		failed += *checks.why[i] != '\0';
		ktap_result(i + 1, !*checks.why[i], checks.name[i], checks.why[i]);
	}
	return failed || !checks.count ? 1 : 0;
}

static void usage(FILE *stream)
{
	size_t i;

	fputs("usage: gpu-heap --mode MODE [--count N]\n\nmodes:\n", stream);
	for (i = 0; i < MODES; i++)
		fprintf(stream, "  %-11s %s (%u)\n", modes[i].name, modes[i].help, modes[i].count);
}

int main(int argc, char **argv)
{
	unsigned int count = 0;
	const char *mode = "";
	const struct program_option options[] = {
		{ "mode", .word = &mode },
		{ "count", .number = &count, .least = 1, .most = INT32_MAX },
		{ 0 }
	};

	read_options(argc, argv, options, usage);
	return run(CHOOSE_MODE(modes, mode, usage), count);
}

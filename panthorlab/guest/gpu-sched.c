// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How the driver schedules groups and orders jobs, judged by the order of things on the GPU and by
 * comparing groups with each other: a machine that is slow, or has no time for us, is no fault.
 */

#include "gpu-sched.h"
#include "options.h"

#include <stdio.h>

static const struct {
	const char *name;
	const char *help;
	int (*run)(void);
} modes[] = {
	{ "fair", "more busy groups than slots get equal shares", sched_fair },
	{ "spaces", "more busy groups, each with its VM, than address spaces, too", sched_spaces },
	{ "priority", "a higher priority comes first, a lower one when that is idle",
	  sched_priority },
	{ "realtime", "a realtime group gets a slot at once", sched_realtime },
	{ "wake", "a group that left its slot gets one for a new job", sched_wake },
	{ "tick", "the scheduler ticks while there is something to rotate, and only then",
	  sched_tick },
	{ "evict", "a destroyed group leaves its slot before its VM goes", sched_evict },
	{ "sync-only", "submissions without a stream keep their order", sched_sync_only },
	{ "blocked", "groups that wait for a sync object go on, on a slot or not", sched_blocked },
	{ "places", "groups without a slot wait in a part of a buffer, and at one place after another", sched_places },
	{ "ring", "more jobs than a ring buffer has room for", sched_ring },
	{ "deferred", "a group that waits for work of its own comes back into a slot",
	  sched_deferred },
	{ "shared", "who shares a buffer need not wait for jobs", sched_shared },
	{ "timeline", "jobs of one call and points of timelines keep their order", sched_timeline },
	{ "errors", "no fence behind a fault says success", sched_errors },
	{ "destroy", "jobs queued at GROUP_DESTROY end", sched_destroy },
	{ "close", "jobs queued when the file is closed end", sched_close },
	{ "vm-destroy", "jobs queued at VM_DESTROY end", sched_vm_destroy },
	{ "long", "jobs that end in time are not timed out, however many", sched_long },
	{ "handles", "groups destroyed and used by guessed handles while being created",
	  sched_handles },
	{ "walk", "debugfs, fdinfo and names of fences read while groups come and go", sched_walk },
	{ "names", "a fence is asked for its names while what they are of goes", sched_names },
	{ "asleep", "no register is used asleep for what the firmware says on the way there",
	  sched_asleep },
	{ "patient", "one job, which may wait for a reset", sched_patient },
};

#define MODES	(sizeof(modes) / sizeof(modes[0]))

static void usage(FILE *stream)
{
	size_t i;

	fputs("usage: gpu-sched --mode MODE\n\nmodes:\n", stream);
	for (i = 0; i < MODES; i++)
		fprintf(stream, "  %-11s %s\n", modes[i].name, modes[i].help);
}

int main(int argc, char **argv)
{
	const char *mode = "";
	const struct program_option options[] = { { "mode", .word = &mode }, { 0 } };

	read_options(argc, argv, options, usage);
	return CHOOSE_MODE(modes, mode, usage)->run();
}

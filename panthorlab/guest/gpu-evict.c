// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The driver lets go of buffers when memory is short, if there is swap, and gets them back when they are used. Debugfs
 * has it do so at once.
 *
 *   --mode cases       each way in which a buffer may be used, mapped and shared
 *   --mode protection  what may not be written, and what was unmapped meanwhile
 *   --mode race        --count jobs, while all is let go again and again
 *   --mode binds       --count random operations drawn from --seed, as gpu-vm --mode random, meanwhile
 *   --mode heap        --count render passes, between which the heap is let go
 *   --mode sparse      ranges without a buffer, which lose and get back what is behind them, and --count random operations
 *   --mode sparse-race --count random operations with such ranges, while all is let go again and again
 */

#include "gpu-evict.h"

#include <stdio.h>

#include "ktap.h"
#include "options.h"

static const struct {
	const char *name;
	int (*run)(unsigned int count, unsigned int seed);
} modes[] = {
	{ "cases", mode_cases },
	{ "protection", mode_protection },
	{ "race", mode_race },
	{ "binds", mode_binds },
	{ "heap", mode_heap },
	{ "sparse", mode_sparse },
	{ "sparse-race", mode_sparse_race },
};

static void usage(FILE *stream)
{
	fputs("usage: gpu-evict --mode cases|protection|race|binds|heap|sparse|sparse-race [--count N] [--seed N]\n", stream);
}

static int begin(bool *can)
{
	struct gpu gpu;
	int ret = gpu_open(&gpu);

	if (ret)
		return ret;
	*can = evict_can(&gpu);
	gpu_close(&gpu);
	out("# info can=%d\n", *can);
	return *can ? swap_begin() : 0;
}

int main(int argc, char **argv)
{
	unsigned int count = 20, seed = 1;
	const char *mode = "";
	const struct program_option options[] = {
		{ "mode", .word = &mode },
		{ "count", .number = &count, .least = 1, .most = UINT32_MAX },
		{ "seed", .number = &seed, .most = UINT32_MAX },
		{ 0 }
	};
	int (*run)(unsigned int, unsigned int);
	bool can = false;
	int ret;

	read_options(argc, argv, options, usage);
	run = CHOOSE_MODE(modes, mode, usage)->run;
	ret = begin(&can);
	if (ret || !can) {
		ktap_start(1);
		ktap_check(ret, "the driver is asked whether it can let go of buffers");
		return ktap_status();
	}
	ret = run(count, seed);
	if (swap_end()) {
		out("Bail out! %s\n", last_error());
		ret = 1;
	}
	out_flush();
	return ret;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unloads the driver of the GPU, which must be a module, and loads it again: after work, while somebody has the GPU
 * open, or once, in whatever state the GPU is.
 *
 * When it is unloaded nothing of it may be left: no device file, interrupt or thread, no clock that runs, no reference to
 * the modules that it needs. A device that is never freed keeps its minor number: then the next one has another name.
 */

#include "gpu-module.h"

#include <errno.h>
#include <stdio.h>

#include "ktap.h"
#include "options.h"

static const struct {
	const char *name;
	int (*run)(struct module *);
} modes[] = { 
	{ "reload", module_reload }, { "held", module_held }, { "shared", module_shared }, { "once", module_once },
 };

static void usage(FILE *stream)
{
	fputs("usage: gpu-module --mode reload|held|shared|once [--count N]\n", stream);
}

int main(int argc, char **argv)
{
	struct module m = { .count = 10 };
	const char *mode = "";
	const struct program_option options[] = {
		{ "mode", .word = &mode },
		{ "count", .number = &m.count, .least = 1, .most = 100000 },
		{ 0 }
	};
	int (*run)(struct module *);

	read_options(argc, argv, options, usage);
	run = CHOOSE_MODE(modes, mode, usage)->run;
	if (find_module(&m)) {
		ktap_start(1);
		ktap_check(-ENODEV, "find the module");
		return ktap_status();
	}
	return run(&m);
}

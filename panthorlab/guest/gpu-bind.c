// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Takes the driver off its GPU and puts it back, as sysfs can (`unbind`, `bind`): idle, under load, while the GPU goes to
 * sleep, or with one firmware image after the other.
 *
 * It says what came of each step; whether that is right for a firmware image is judged by who made the image. The
 * kernel log has a line "panthorlab: image NAME" before each, so that what the driver says of it can be told apart. A driver
 * that takes no jobs yet works if it tells what the GPU is.
 */

#include "gpu-bind.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ktap.h"
#include "options.h"

static const struct {
	const char *name;
	int (*run)(struct bind *);
} modes[] = {
	{ "images", bind_images }, { "once", bind_once }, { "off", bind_off }, { "replug", bind_replug },
	{ "idle", bind_idle }, { "busy", bind_busy }, { "ahead", bind_ahead }, { "held", bind_held },
	{ "drowsy", bind_drowsy }, { "events", bind_events },
};

static void usage(FILE *stream)
{
	fputs("usage: gpu-bind --mode off|once|replug|idle|busy|ahead|held|drowsy|events [--count N]\n"
	      "       gpu-bind --mode images --images PACK [--hang]\n"
	      "  --lenient: no matter how much memory idle or images lose (KASAN keeps back what is freed)\n", stream);
}

int main(int argc, char **argv)
{
	struct bind b = { .count = 10, .irqs = -1 };
	const char *mode = "";
	const struct program_option options[] = {
		{ "mode", .word = &mode },
		{ "count", .number = &b.count, .least = 1, .most = 100000 },
		{ "images", .word = &b.pack },
		{ "hang", .flag = &b.hang },
		{ "lenient", .flag = &b.lenient },
		{ 0 }
	};
	int (*run)(struct bind *);

	read_options(argc, argv, options, usage);
	run = CHOOSE_MODE(modes, mode, usage)->run;
	if (!strcmp(mode, "images") != !!b.pack)
		bad_usage(usage);
	if (find_device(&b)) {
		ktap_start(1);
		ktap_check(-ENODEV, "find the GPU");
		return ktap_status();
	}
	return run(&b);
}

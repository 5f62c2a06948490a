// SPDX-License-Identifier: GPL-2.0-or-later
/* A program with one option of each kind; prints their values. */

#include <stdio.h>
#include <stdlib.h>

#include "options.h"

static void usage(FILE *stream)
{
	fputs("usage: options\n", stream);
}

int main(int argc, char **argv)
{
	unsigned int count = 7;
	const char *mode = "";
	bool hang = false;
	const struct program_option options[] = {
		{ "mode", .word = &mode },
		{ "count", .number = &count, .least = 1, .most = 100 },
		{ "hang", .flag = &hang },
		{ 0 }
	};

	read_options(argc, argv, options, usage);
	printf("%s %u %d%s%s\n", mode, count, hang, getenv(DEVICE_CHOICE) ? " GPU " : "", getenv(DEVICE_CHOICE) ?: "");
	return 0;
}

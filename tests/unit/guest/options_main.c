// SPDX-License-Identifier: GPL-2.0-or-later
/* A program with one option of each kind; prints their values, or what stands beside the name that is to be chosen. */

#include <stdio.h>
#include <stdlib.h>

#include "options.h"

static const struct {
	int value;
	const char *name;
} choices[] = { { 11, "one" }, { 22, "two" }, { 33, "twofold" } };

static void usage(FILE *stream)
{
	fputs("usage: options\n", stream);
}

int main(int argc, char **argv)
{
	unsigned int count = 7;
	const char *mode = "", *choice = NULL;
	bool hang = false;
	const struct program_option options[] = {
		{ "mode", .word = &mode },
		{ "choose", .word = &choice },
		{ "count", .number = &count, .least = 1, .most = 100 },
		{ "hang", .flag = &hang },
		{ 0 }
	};

	read_options(argc, argv, options, usage);
	if (choice) {
		printf("%d\n", CHOOSE_MODE(choices, choice, usage)->value);
		return 0;
	}
	printf("%s %u %d%s%s\n", mode, count, hang, getenv(DEVICE_CHOICE) ? " GPU " : "", getenv(DEVICE_CHOICE) ?: "");
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later

#define _GNU_SOURCE
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static unsigned int number(const char *text, const struct program_option *option)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value < option->least || value > option->most) {
		fprintf(stderr, "%s: --%s %s: not a number from %u to %u\n", program_invocation_short_name,
			option->name, text, option->least, option->most);
		exit(2);
	}
	return value;
}

static void take(const struct program_option *option)
{
	if (option->word)
		*option->word = optarg;
	else if (option->number)
		*option->number = number(optarg, option);
	else
		*option->flag = true;
}

/* Also of the processes that this one starts. */
static void choose_device(const char *text)
{
	const struct program_option option = { .name = "device", .most = DEVICES_MAX - 1 };

	number(text, &option);
	setenv(DEVICE_CHOICE, text, 1);
}

_Noreturn void bad_usage(void (*usage)(FILE *stream))
{
	usage(stderr);
	exit(2);
}

size_t choose_mode(const char *const *names, size_t stride, size_t count, const char *wanted,
		   void (*usage)(FILE *stream))
{
	size_t i;

	for (i = 0; i < count; i++)
		if (!strcmp(*(const char *const *)((const char *)names + i * stride), wanted))
			return i;
	bad_usage(usage);
}

char **read_options_and_rest(int argc, char **argv, const struct program_option *options, void (*usage)(FILE *stream))
{
	struct option all[OPTIONS_MAX + 3] = { 0 };
	unsigned int i;
	int found;

	for (i = 0; i < OPTIONS_MAX && options[i].name; i++)
		all[i] = (struct option){ options[i].name, options[i].flag ? no_argument : required_argument, NULL, i };
	all[i] = (struct option){ "help", no_argument, NULL, OPTIONS_MAX };
	all[i + 1] = (struct option){ "device", required_argument, NULL, OPTIONS_MAX + 1 };
	while ((found = getopt_long(argc, argv, "+", all, NULL)) != -1) {
		if (found == OPTIONS_MAX) {
			usage(stdout);
			exit(0);
		}
		if (found == '?')
			exit(2);
		if (found == OPTIONS_MAX + 1)
			choose_device(optarg);
		else
			take(&options[found]);
	}
	return argv + optind;
}

void read_options(int argc, char **argv, const struct program_option *options, void (*usage)(FILE *stream))
{
	if (*read_options_and_rest(argc, argv, options, usage))
		bad_usage(usage);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_OPTIONS_H
#define PANTHORLAB_GUEST_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define OPTIONS_MAX	12u
#define DEVICES_MAX	8u
#define DEVICE_CHOICE	"PANTHORLAB_GPU"	/* as GPU_CHOICE in gpu.h */

/* One option of a program, `--name`: of word, number and flag one is set, and takes its value. */
struct program_option {
	const char *name;	/* NULL after the last one */
	const char **word;
	unsigned int *number;
	unsigned int least, most;	/* of the number */
	bool *flag;
};

/*
 * Takes the values of @options from the command line, which has nothing else but --help and --device N, by which every
 * program uses that one of several GPUs. Ends the program after --help (status 0), and with what is wrong (status 2).
 */
void read_options(int argc, char **argv, const struct program_option *options, void (*usage)(FILE *stream));

/* The same for a command line that goes on, behind "--", with the one of another program, which it returns. */
char **read_options_and_rest(int argc, char **argv, const struct program_option *options, void (*usage)(FILE *stream));

/* Ends a program that cannot be called like this, with its usage and status 2. */
_Noreturn void bad_usage(void (*usage)(FILE *stream));

/* The one of @modes, an array of structures with a member `name`, that is called @wanted; without one, bad_usage(). */
#define CHOOSE_MODE(modes, wanted, usage)									\
	(&(modes)[choose_mode(&(modes)[0].name, sizeof((modes)[0]), sizeof(modes) / sizeof((modes)[0]), wanted, usage)])

/* Its index. @names: the first one's, of @count that are @stride bytes apart. */
size_t choose_mode(const char *const *names, size_t stride, size_t count, const char *wanted,
		   void (*usage)(FILE *stream));

#endif

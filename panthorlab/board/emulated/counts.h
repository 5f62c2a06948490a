/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file in which a plugin counts instructions; see counts.c. */
#ifndef COUNTS_H
#define COUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct range {
	uint64_t start, end;
};

struct counts {
	int fd;
	size_t size;			/* of the file, in bytes */
	uint64_t *words;		/* the whole file, shared */
	const struct range *ranges;
	size_t range_count;
};

/* Map FILE and check that it is as large as its ranges say; false, and a line on stderr, if not. */
extern bool counts_open(struct counts *counts, const char *plugin, const char *path);

/* Which word of the file is the count of the instruction at this address; 0: none. */
extern size_t counts_word(const struct counts *counts, uint64_t address);

#endif

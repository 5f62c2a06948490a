// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The file in which a plugin counts how often each instruction of chosen address ranges runs.
 *
 * Counts go into a shared mapping, so they are there for whoever reads the file, at any time and whatever ends QEMU. The
 * file is made beforehand (panthorlab/coverage/counts.py), in the host's byte order: u64 magic, u64 number of ranges, per
 * range u64 start and u64 end, and then a u64 count per 4-byte instruction of each range.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "counts.h"

#define MAGIC 0x31637668746e6170ull	/* "panthvc1" */
#define INSN_SIZE 4
#define HEAD 2				/* words before the ranges */

static bool fits(const struct counts *counts)
{
	size_t have = counts->size / sizeof(uint64_t);
	uint64_t insns = 0;

	if (counts->words[0] != MAGIC || counts->range_count > (have - HEAD) / 2)
		return false;
	for (size_t i = 0; i < counts->range_count; i++)
		insns += (counts->ranges[i].end - counts->ranges[i].start) / INSN_SIZE;
	return insns == have - HEAD - 2 * counts->range_count;
}

bool counts_open(struct counts *counts, const char *plugin, const char *path)
{
	struct stat st;

	counts->fd = open(path, O_RDWR | O_CLOEXEC);
	if (counts->fd < 0 || fstat(counts->fd, &st)) {
		fprintf(stderr, "%s: ", plugin);
		perror(path);
		return false;
	}
	counts->size = (size_t)st.st_size;
	counts->words = counts->size < HEAD * sizeof(uint64_t) ? MAP_FAILED :
			mmap(NULL, counts->size, PROT_READ | PROT_WRITE, MAP_SHARED, counts->fd, 0);
	if (counts->words != MAP_FAILED) {
		counts->ranges = (const struct range *)(counts->words + HEAD);
		counts->range_count = counts->words[1];
		if (fits(counts))
			return true;
	}
	fprintf(stderr, "%s: %s is no file of counts\n", plugin, path);
	return false;
}

size_t counts_word(const struct counts *counts, uint64_t address)
{
	size_t word = HEAD + 2 * counts->range_count;

	for (size_t i = 0; i < counts->range_count; i++) {
		const struct range *range = &counts->ranges[i];

		if (address >= range->start && address < range->end)
			return word + (address - range->start) / INSN_SIZE;
		word += (range->end - range->start) / INSN_SIZE;
	}
	return 0;
}

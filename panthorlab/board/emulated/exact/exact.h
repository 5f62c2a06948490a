/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the exact plugin have in common. */
#ifndef EXACT_H
#define EXACT_H

#include <stdbool.h>

#include "../tcg_plugin.h"

/* What the plugin and the emulated GPU share; see panthorlab/gpu/exact/wire.py. */
struct page {
	uint64_t magic;
	uint64_t count;		/* instructions up to the end of the block that runs */
	uint64_t left;		/* the CPU is held at the first block that brings this to DUE */
	uint64_t hash;		/* of all blocks so far, 0 without hash=on */
	uint64_t end_turn;	/* set while the CPU is held: it is another one's turn after this block */
	uint64_t cpus;		/* that take turns; 0: there is one alone */
	uint64_t watch;		/* address of a block before which the CPU is held, too; 0: of none */
	uint64_t begins;	/* the how manyth begin of it from now on; `watch` is 0 after that */
};

extern struct page *page;

/* A block as the one word that a callback gets: bit 47 of an address says what those above it are. */
static inline void *packed(uint64_t address, uint64_t insns)
{
	return (void *)(uintptr_t)(insns << 48 | (address & ((1ull << 48) - 1)));
}

static inline uint64_t block_address(void *block)
{
	return (uint64_t)((int64_t)((uintptr_t)block << 16) >> 16);
}

static inline uint64_t block_insns(void *block)
{
	return (uintptr_t)block >> 48;
}

/* Have the other side do what is due before the block that is to run. */
extern void hold(unsigned int cpu, void *block);

/* Say what went wrong, with errno, and end QEMU. */
extern void fail(const char *what);

/*
 * Put a file in the place of whole pages of CPU 0's element, which is at least a page larger than the file. Returns the
 * file's offset in the element.
 */
extern size_t overlay(struct qemu_plugin_scoreboard *board, int fd, size_t size);

/* coverage.c */
extern bool coverage_open(const char *path);
extern void coverage_share(void);
extern void coverage_translated(struct qemu_plugin_tb *tb);

/* calls.c */
extern bool calls_open(const char *places, const char *code, const char *calls, bool begins);
extern void calls_translated(struct qemu_plugin_tb *tb, void *block);
extern void calls_held(void *block);

#endif

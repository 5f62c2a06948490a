/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buffers that the driver lets go of when memory is short (panthor of 7.1 and newer), and gets back when they are used.
 */
#ifndef PANTHORLAB_GUEST_GPU_EVICT_H
#define PANTHORLAB_GUEST_GPU_EVICT_H

#include <sys/types.h>

#include "gpu-job.h"

#define EVICT_VA	0x40000000ull	/* of 1 GiB: what is mapped here begins page tables of all levels */
#define OTHER_VA	0x50000000ull
#define PAGES_READ	64u		/* by one job at most */
#define ALL_PAGES	65536u		/* more than there are */

/**
 * struct buffer - A buffer object with something in some of its pages
 * @step: distance of these pages
 * @value: in the first one; the next has one more
 */
struct buffer {
	struct gpu_bo bo;
	unsigned int pages, step;
	uint32_t value;
};

/**
 * struct gem - What debugfs tells of a buffer object
 * @evictions: how often its memory was let go
 * @resident: bytes that it has now
 * @evicted: it has none, for they were let go
 */
struct gem {
	unsigned int evictions;
	size_t resident;
	bool evicted;
};

/* A disk to swap to; without one, the driver lets go of nothing. */
int swap_begin(void);
int swap_end(void);

/* Write what this process has to it; so many bytes at least, which were not there before. */
int swap_out(size_t bytes);

/* Whether this driver can let go of buffers. */
bool evict_can(const struct gpu *gpu);

/* Have the driver let go of @pages if it can. */
int evict_pages(const struct gpu *gpu, unsigned int pages, unsigned long *gone);

/* Let go of all that anybody in the kernel can do without, as when memory is short: it asks whom it knows of. */
int evict_by_kernel(void);

/* The row of this process's only buffer of @size bytes. */
int evict_row(const struct gpu *gpu, size_t size, struct gem *gem);

/* KiB of buffers with memory, as the open file tells. */
int evict_resident_kib(const struct gpu *gpu, long *kib);

/* A buffer of this many pages, exclusive to the scene's VM or shared, and what is in it. */
int buffer_make(struct scene *scene, bool shared, unsigned int pages, unsigned int step, struct buffer *buffer);
int buffer_map(struct scene *scene, uint32_t vm, const struct buffer *buffer, uint64_t va, unsigned int from,
	       unsigned int count, uint32_t flags);
int buffer_unmap(struct scene *scene, uint32_t vm, uint64_t va, unsigned int count);

/* The GPU writes what has to be in the buffer, which is whole at @va, or reads it there. */
int buffer_fill(struct scene *scene, struct buffer *buffer, uint64_t va);
int buffer_read(struct scene *scene, const struct buffer *buffer, uint64_t va);

/* The same of the pages from @from to before @to alone, of which the first is at @va. */
int buffer_read_part(struct scene *scene, const struct buffer *buffer, uint64_t va, unsigned int from, unsigned int to);

/* The CPU finds it in the buffer. */
int buffer_seen(const struct buffer *buffer);

/* The driver lets go of the buffer, and what was in it goes to the disk; it has its memory. */
int buffer_goes(struct scene *scene, const struct buffer *buffer);
int buffer_goes_by_kernel(struct scene *scene, const struct buffer *buffer);
int buffer_is_back(struct scene *scene, const struct buffer *buffer);

/**
 * struct letter - A process that lets go of all it can, again and again
 * @shared: with it: how often it has, and pages in all
 */
struct letter {
	pid_t pid;
	struct { volatile unsigned int rounds, gone; } *shared;
};

int letter_begin(const struct gpu *gpu, struct letter *letter);

/* It was at work all the time, and had something to do. */
int letter_end(struct letter *letter);

/* What each does is said in gpu-evict.c. They return the exit status. */
int mode_cases(unsigned int count, unsigned int seed);
int mode_protection(unsigned int count, unsigned int seed);
int mode_race(unsigned int count, unsigned int seed);
int mode_binds(unsigned int count, unsigned int seed);
int mode_heap(unsigned int count, unsigned int seed);
int mode_sparse(unsigned int count, unsigned int seed);
int mode_sparse_race(unsigned int count, unsigned int seed);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that the kernel holds, as /proc/meminfo tells it.
 */
#ifndef PANTHORLAB_GUEST_HELD_H
#define PANTHORLAB_GUEST_HELD_H

/*
 * KiB: the kernel's own objects, page tables of the GPU among them, and the pages of buffer objects.
 * What is free already, but kept in the stock of the allocators or until RCU says so, is not held.
 */
long held_kib(void);

/* KiB of the stacks of threads: when a worker of the kernel is new, so is what else it costs. */
long held_stacks(void);

/* A grace period of RCU: what waits for one is freed, and workers do what they have been left to do. */
void held_pause(void);

/**
 * struct held_turn - One of several turns of what may lose memory; what loses nothing in one of them does not
 * @times: so many times as much as in the first
 * @settle_ms: how long to wait for what is freed late; while there is another turn, that costs less than to wait for long
 */
struct held_turn {
	unsigned int times;
	unsigned int settle_ms;
};

/* KiB more than @before. While it is more than @tolerable, waits: for @settle_ms after it became less. */
long held_more(long before, long tolerable, unsigned int settle_ms);

#endif

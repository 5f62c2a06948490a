/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_HEAP_H
#define PANTHORLAB_GUEST_GPU_HEAP_H

#include "heap-scene.h"

#define HEAP_CHECKS	24u	/* results that a mode may have */

/**
 * struct heap_checks - The results of a mode, written in one go behind their plan
 * @why: what went wrong with each, empty if nothing
 */
struct heap_checks {
	unsigned int count;
	char name[HEAP_CHECKS][64];
	char why[HEAP_CHECKS][160];
};

void heap_check(struct heap_checks *checks, int ret, const char *name);

/* What each does is said in gpu-heap.c. @count: how often, or with how many. */
void heap_grow(struct heap_checks *checks, unsigned int count);
void heap_handler(struct heap_checks *checks, unsigned int count);
void heap_in_flight(struct heap_checks *checks, unsigned int count);
void heap_no_pool(struct heap_checks *checks, unsigned int count);
void heap_wrong(struct heap_checks *checks, unsigned int count);
void heap_calls(struct heap_checks *checks, unsigned int count);
void heap_exhausted(struct heap_checks *checks, unsigned int count);
void heap_scarce(struct heap_checks *checks, unsigned int count);

void heap_evict(struct heap_checks *checks, unsigned int count);
void heap_last_slot(struct heap_checks *checks, unsigned int count);
void heap_race_group(struct heap_checks *checks, unsigned int count);
void heap_race_heap(struct heap_checks *checks, unsigned int count);
void heap_race_vm(struct heap_checks *checks, unsigned int count);
void heap_walk(struct heap_checks *checks, unsigned int count);
void heap_churn(struct heap_checks *checks, unsigned int count);
void heap_race_kill(struct heap_checks *checks, unsigned int count);

#endif

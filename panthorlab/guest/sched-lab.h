/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Groups whose jobs last as long as the CPU wants: until it opens a gate. Some count in memory
 * meanwhile: what the counters say of each other is what the groups' shares of the GPU are; how fast
 * the GPU is does not matter. The others only wait, and cost an emulated GPU little.
 */
#ifndef PANTHORLAB_GUEST_SCHED_LAB_H
#define PANTHORLAB_GUEST_SCHED_LAB_H

#include "cs.h"
#include "gpu.h"

#define LAB_VMS		12u
#define LAB_GROUPS	24u
#define LAB_QUEUES	2u	/* of each group */
#define LAB_JOBS	96u	/* streams of each VM that exist at once */
#define LAB_RESULTS	32u	/* words of each VM for what jobs store, and for sync objects */
#define LAB_ROW		8u	/* jobs at most */
#define LAB_SETTLE_MS	4000	/* patience with what a good kernel does within a tick or two */

/**
 * struct lab_vm - An address space with memory for streams and for words that CPU and GPU share
 * @words: uncached; a cache line for each
 * @jobs: streams written so far; places are used again when all have been
 */
struct lab_vm {
	uint32_t vm;
	struct gpu_bo streams;
	struct gpu_bo words;
	unsigned int jobs;
};

/**
 * struct lab_group - A group of LAB_QUEUES queues
 * @vm: index of its address space
 */
struct lab_group {
	uint32_t handle;
	unsigned int vm;
};

/**
 * struct lab - One file with address spaces and groups
 * @slots: groups that can be on the GPU at once
 * @spaces: address spaces that can be on the GPU at once, without the firmware's
 */
struct lab {
	struct gpu gpu;
	unsigned int slots;
	unsigned int spaces;
	unsigned int vm_count;
	unsigned int group_count;
	struct lab_vm vm[LAB_VMS];
	struct lab_group group[LAB_GROUPS];
};

/**
 * struct lab_submit - How a stream goes to a queue
 * @after: syncobj that has a fence, which must signal first; 0 for none
 * @signals: syncobj; 0 for none
 */
struct lab_submit {
	unsigned int queue;
	uint32_t after;
	uint32_t signals;
};

int lab_create(struct lab *lab, unsigned int vms);
void lab_release(struct lab *lab);
int lab_group(struct lab *lab, unsigned int vm, uint8_t priority, unsigned int *g);
int lab_groups(struct lab *lab, unsigned int count, uint8_t priority);
int lab_syncobjs(struct lab *lab, uint32_t *syncobj, unsigned int count);
int lab_crowd(struct lab *lab, unsigned int more, uint8_t priority, uint32_t *syncobj);

volatile uint32_t *lab_counter(struct lab *lab, unsigned int g);
uint64_t lab_counter_va(const struct lab *lab, unsigned int g);
volatile uint32_t *lab_gate(struct lab *lab, unsigned int g);
uint64_t lab_gate_va(const struct lab *lab, unsigned int g);
volatile uint32_t *lab_result(struct lab *lab, unsigned int vm, unsigned int index);
uint64_t lab_result_va(const struct lab *lab, unsigned int vm, unsigned int index);

struct cs lab_stream(struct lab *lab, unsigned int g, uint64_t *va);
void lab_write_hold(struct lab *lab, unsigned int g, uint32_t opening, struct cs *cs);
void lab_write_store(struct lab *lab, unsigned int g, unsigned int index, uint32_t value,
		     struct cs *cs);

int lab_submit(struct lab *lab, unsigned int g, uint64_t va, const struct cs *cs,
	       const struct lab_submit *how);
int lab_count(struct lab *lab, unsigned int g, uint32_t signals);
int lab_hold(struct lab *lab, unsigned int g, uint32_t signals);
int lab_store(struct lab *lab, unsigned int g, unsigned int index, uint32_t value,
	      const struct lab_submit *how);
int lab_nothing(struct lab *lab, unsigned int g, const struct lab_submit *how);
int lab_count_all(struct lab *lab, unsigned int first, const uint32_t *syncobj);
int lab_open_all(struct lab *lab, unsigned int first, const uint32_t *syncobj, int ret);
int lab_row(struct lab *lab, unsigned int g, unsigned int count, unsigned int ms);

int lab_wait_count(struct lab *lab, unsigned int g, uint32_t beyond);
int lab_wait_all(struct lab *lab, unsigned int first);
int lab_fence(struct lab *lab, uint32_t syncobj, int *fd);
int lab_status(int fd, unsigned int timeout_ms, int *status);
int lab_expect(struct lab *lab, uint32_t syncobj, int expected, const char *what);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_JOB_H
#define PANTHORLAB_GUEST_GPU_JOB_H

#include "cs.h"
#include "gpu.h"

#define SCENE_VA	0x1000000ull
#define SCENE_STREAMS	8u
#define SCENE_STREAM	512u		/* bytes each */
#define SCENE_NOWHERE	0x7000000ull	/* nothing is ever mapped here */
#define SUSPEND_MS	5000

/**
 * struct options - The command line
 * @count: how often, 0: the mode's default
 * @loops: iterations of the counting loop of mode busy
 */
struct options {
	unsigned int count;
	uint32_t loops;
};

/**
 * struct scene - One VM with a page of streams, a page of results and one group
 * @results: uncached, so that sync objects may lie there
 */
struct scene {
	struct gpu gpu;
	uint32_t vm;
	struct gpu_bo streams;
	struct gpu_bo results;
	uint32_t group;
	uint32_t syncobj[SCENE_STREAMS];
};

int scene_create(struct scene *scene, unsigned int queues);
struct cs scene_stream(struct scene *scene, unsigned int index);
uint64_t scene_stream_va(const struct scene *scene, unsigned int index);
volatile uint32_t *scene_result(struct scene *scene, unsigned int index);
uint64_t scene_result_va(const struct scene *scene, unsigned int index);
int scene_submit(struct scene *scene, uint32_t group, unsigned int queue, const struct cs *cs,
		 unsigned int index);
int scene_right(struct scene *scene, unsigned int index, uint32_t value);

/* A job of the scene's group that stores 1 as its result, and lasts until the CPU writes result @gate; it has begun. */
int scene_hold(struct scene *scene, unsigned int index, unsigned int gate);

/*
 * A store to @va must fault, and costs a group of its own; it must not reach @word, which was or is mapped there in
 * another way (NULL: nothing was, or the caller looks). The address is told as `# info fault…=`, for the kernel's log to
 * be held against. All groups of the VM are no good afterwards.
 */
int scene_must_fault(struct scene *scene, uint64_t va, const volatile uint32_t *word);

int job_info(const struct options *options);
int job_gpu_info(const struct options *options);
int job_store(const struct options *options);
int job_stores(const struct options *options);
int job_reads(const struct options *options);
int job_busy(const struct options *options);
int job_suspend_loop(const struct options *options);
int job_asleep(const struct options *options);

int job_bad_fetch(const struct options *options);
int job_bad_store(const struct options *options);
int job_bad_instr(const struct options *options);
int job_spin(const struct options *options);
int job_row(const struct options *options);
int job_reset_fails(const struct options *options);
int job_reset_goes_well(const struct options *options);

int job_sync_wait(const struct options *options);
int job_late_write(const struct options *options);
int job_fence_irq(const struct options *options);
int job_resume_state(const struct options *options);
int job_not_suspended(const struct options *options);
int job_given_up(const struct options *options);
int job_oom(const struct options *options);

int job_long_stream(const struct options *options);
int job_wrap(const struct options *options);
int job_calls(const struct options *options);
int job_together(const struct options *options);

int job_no_progress(const struct options *options);
int job_flush_id(const struct options *options);

#endif

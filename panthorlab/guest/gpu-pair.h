/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two GPUs with one driver: what is done to one must not be felt on the other, and what they share must work.
 */
#ifndef PANTHORLAB_GUEST_GPU_PAIR_H
#define PANTHORLAB_GUEST_GPU_PAIR_H

#include <stdbool.h>
#include <sys/types.h>

#include "gpu-job.h"

#define PAIR		2u
#define SOON_MS		20		/* a job that waits for nothing has ended by then */
#define BLOCKED_MS	3000		/* less than the 5 s after which the driver gives a job up */

/**
 * struct load - A process that runs jobs on one GPU until it is told to stop
 * @seen: what it tells, in memory of both
 */
struct load {
	pid_t pid;
	struct load_seen *seen;
};

int load_start(struct load *load, unsigned int gpu);
int load_goes_on(const struct load *load, unsigned int jobs);
int load_end(struct load *load, int ret);
void load_kill(struct load *load);

/* Of a GPU by its number; the driver is off it, or at work. */
int driver_off(unsigned int gpu);
int driver_on(unsigned int gpu);
int driver_lines(unsigned int gpu);
int job_on(unsigned int gpu);

/* A stream in queue 0 of @scene that waits for pair_release(), and then stores; its place is 0. */
#define HELD_VALUE	0x11111111u
#define HELD_SYNC	8u		/* place of the result that it waits for */
int scene_on(struct scene *scene, unsigned int gpu);
void scene_drop(struct scene *scene);
int pair_hold(struct scene *scene);
int pair_is_held(struct scene *scene);
int pair_release(struct scene *scene);

int pair_both(unsigned int count);
int pair_unbind(unsigned int count);
int pair_reset(unsigned int count);
int pair_buffers(unsigned int count);
int pair_holes(unsigned int count);
int pair_fences(unsigned int count);
int pair_fence_gone(unsigned int count);
int pair_fence_lost(unsigned int count);
int pair_fence_failed(unsigned int count);

#endif

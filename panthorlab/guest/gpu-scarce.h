/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_SCARCE_H
#define PANTHORLAB_GUEST_GPU_SCARCE_H

#include <limits.h>

#include "gpu-job.h"

#define SCARCE_PAGES	8u	/* of the buffers that calls are made with */
#define SCARCE_NEVER	1000000u	/* more allocations than any call makes */
#define SCARCE_SCHED	"drm_sched_init"	/* docs/findings/0050 */
#define SCARCE_ERRORS	134u	/* one more than the greatest */

enum {
	SCARCE_TIMELINE = 1 << 8,	/* the syncobj is signalled at a point of it */
	SCARCE_BOTH = 1 << 9,		/* two jobs, for two queues */
};

struct call;

/**
 * struct scarce - How calls are struck, and what they have been made with
 * @nth: file that says which allocation of this thread fails
 * @most: so many calls of a kind are struck at most
 * @random: state of what chooses these
 * @filter: file that says whether settings of the injection are for this thread
 * @lasting: what comes after the one that fails fails, too
 * @unsparing: also what calls spare
 * @only: the one call that is made; empty: all of them
 * @path: of the render node
 * @call: the one under way
 * @tries: how often it was begun
 * @allocations: that it makes
 * @struck: calls of which one failed
 * @failed: of these, so many that failed
 * @errors: how often with which of them
 */
struct scarce {
	int nth, filter;
	unsigned int most;
	uint64_t random;
	bool lasting, unsparing;
	const char *only;
	char path[PATH_MAX];

	const struct call *call;
	unsigned int tries, allocations, struck, failed;
	unsigned int errors[SCARCE_ERRORS];

	/* What a try has: all of it new. */
	struct scene scene;
	struct gpu other;
	struct gpu_bo bo, second;
	struct gpu_heap heap, beside;
	uint64_t va, point;
	uint32_t vm, group, syncobj, value;
	int fd;
};

/**
 * struct call - One system call, in a place where it works
 * @minor: of the first driver 1.x that has it
 * @flavour: of several with the same functions; theirs to explain
 * @also: a negative errno that it may fail with beside ENOMEM
 * @spare: functions of the kernel: of the first of them that is not inlined no allocation fails, for it is known what
 *         comes of that (docs/findings). May be missing
 * @begin: makes what it needs
 * @make: makes it. Nothing else, for any other call could be struck instead
 * @unchanged: after it has failed: nothing is otherwise than before. May be missing
 * @right: after it has been made: it has done what it says
 * @end: takes away what was made
 */
struct call {
	const char *name;
	int minor;
	unsigned int flavour;
	int also;
	const char *spare;
	int (*begin)(struct scarce *s);
	int (*make)(struct scarce *s);
	int (*unchanged)(struct scarce *s);
	int (*right)(struct scarce *s);
	int (*end)(struct scarce *s);
};

extern const struct call scarce_maps[], scarce_points[], scarce_objects[], scarce_late[], scarce_files[], scarce_ends[];

int scarce_begin(struct scarce *s);
int scarce_spare(struct scarce *s, const char *functions);
int scarce_within(const char *function);
int scarce_arm(struct scarce *s, unsigned int nth);
int scarce_disarm(struct scarce *s, unsigned int *left);
unsigned int scarce_choose(struct scarce *s, unsigned int index, unsigned int count, unsigned int parts);
int scarce_note(struct scarce *s, int made, bool struck);
void scarce_tell(const struct scarce *s, const char *name);
int scarce_probe(struct scarce *s);

/* For more than one kind of call. */
int scarce_usable(struct scarce *s, uint32_t vm);
int scarce_bo(struct scarce *s, uint32_t vm, struct gpu_bo *bo);
int scarce_cpu(struct scarce *s, struct gpu_bo *bo);
int scarce_drop(struct scarce *s, struct gpu_bo *bo);
int scarce_begin_bo(struct scarce *s);
int scarce_right_bo(struct scarce *s);
int scarce_drop_bo(struct scarce *s);
int scarce_open(struct scarce *s);
int scarce_vm_works(struct scarce *s);
int scarce_begin_jobs(struct scarce *s);
int scarce_make_jobs(struct scarce *s);
int scarce_right_jobs(struct scarce *s);
int scarce_stores(struct scarce *s, uint32_t group, unsigned int queue, uint64_t va);

#endif

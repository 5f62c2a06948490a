/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ranges of GPU addresses without a buffer (VM_BIND MAP_SPARSE, panthor 1.9): what is stored there is nowhere to be seen,
 * and nothing of it faults.
 */
#ifndef PANTHORLAB_GUEST_SPARSE_H
#define PANTHORLAB_GUEST_SPARSE_H

#include "gpu-vm-arena.h"
#include "later-uapi.h"

#define SPARSE_VA	ARENA_VA
#define SPARSE_BLOCK	512u		/* pages of 2 MiB */
#define SPARSE_MINOR	9		/* of the driver's version */

static inline uint64_t sparse_va(unsigned int page)
{
	return SPARSE_VA + (uint64_t)page * GPU_PAGE;
}

/* Pages of a range without a buffer, or of an operation. */
struct sparse_range {
	unsigned int start, size;
};

/* One operation, @async by the VM's queue, and then it has ended well. */
int sparse_bind(struct scene *scene, struct drm_panthor_vm_bind_op op, bool async);
struct drm_panthor_vm_bind_op sparse_map_op(struct sparse_range range);
struct drm_panthor_vm_bind_op sparse_unmap_op(struct sparse_range range);

/* A job stores at each of the pages and loads from it, and none of that faults. */
int sparse_touch(struct scene *scene, const unsigned int *pages, unsigned int count);

/* The same at the ends of @range, around each 2 MiB of it, and in the middle. */
int sparse_touch_range(struct scene *scene, struct sparse_range range);

/*
 * Buffers, ranges without one, and nothing over each other, drawn from @seed: each store is where the arena's table says.
 * @between: done before half of the operations and behind half of them, each with and without the other one; or NULL.
 */
int sparse_random(struct arena *arena, unsigned int operations, unsigned int seed, int (*between)(struct scene *scene));

#endif

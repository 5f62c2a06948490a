/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A range of GPU addresses with a table of what has to be mapped where. The GPU stores through the addresses, the CPU
 * looks into the buffers.
 */
#ifndef PANTHORLAB_GUEST_GPU_VM_ARENA_H
#define PANTHORLAB_GUEST_GPU_VM_ARENA_H

#include "gpu-job.h"

#define ARENA_VA	0x40000000ull	/* of 1 GiB: page tables of all levels begin here */
#define ARENA_MAX	2048u		/* pages */
#define BOS		2u

/**
 * struct place - What is mapped at a page of the arena
 * @bo: index + 1, 0 for nothing
 * @page: of the BO
 */
struct place {
	uint16_t bo;
	uint16_t page;
};

/**
 * struct arena - A range of GPU addresses, buffers for it, and the table of what is where
 * @pages: of the arena
 * @bo_pages: of each BO
 * @at: the table
 * @async: bind by jobs of the VM's queue
 * @token: of the last probe
 * @ops: operations done
 */
struct arena {
	struct scene scene;
	struct gpu_bo bo[BOS];
	unsigned int pages, bo_pages;
	struct place at[ARENA_MAX];
	bool async;
	uint32_t token;
	unsigned int ops, probes;
};

int arena_create(struct arena *arena, unsigned int bo_pages);

/* Operations; the table has it done when they are made. */
struct drm_panthor_vm_bind_op map_op(struct arena *arena, unsigned int page, unsigned int count, unsigned int bo,
				     unsigned int from);
struct drm_panthor_vm_bind_op unmap_op(struct arena *arena, unsigned int page, unsigned int count);
int bind_ops(struct arena *arena, struct drm_panthor_vm_bind_op *ops, unsigned int count);
int bind_op(struct arena *arena, struct drm_panthor_vm_bind_op op);

volatile uint32_t *word_of(struct arena *arena, struct place place);
int probe(struct arena *arena, const unsigned int *pages, unsigned int count);
int probe_around(struct arena *arena, unsigned int start, unsigned int end);

#endif

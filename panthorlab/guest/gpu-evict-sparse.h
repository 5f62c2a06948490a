/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Behind ranges without a buffer there is memory, too, of the file, which goes and comes back as a buffer's does, however
 * often it is mapped: the ranges of all VMs of the file with it.
 */
#ifndef PANTHORLAB_GUEST_GPU_EVICT_SPARSE_H
#define PANTHORLAB_GUEST_GPU_EVICT_SPARSE_H

#include "gpu-evict.h"
#include "sparse.h"

struct sparse_case {
	const char *name;
	int (*check)(struct scene *scene);
};

extern const struct sparse_case sparse_cases[];
extern const unsigned int sparse_case_count;

/* How often ranges have lost what is behind them; shared by the processes of all cases. */
extern unsigned int *ranges_gone;

#endif

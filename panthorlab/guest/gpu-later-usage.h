/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_LATER_USAGE_H
#define PANTHORLAB_GUEST_GPU_LATER_USAGE_H

#include "gpu-later.h"

/**
 * struct usage - The lines of a file; -1: there is none. Without a resident buffer there is none for these
 * @own: of the driver's own buffers for the file
 */
struct usage {
	long long ns, cycles;
	long long total, shared, own, resident;
};

/* Whether fdinfo tells of the GPU at all. Drivers that do, from 6.13 on, tell of time and of memory. */
int usage_told(const struct gpu *gpu, bool *told);
int usage_look(const struct gpu *gpu, struct usage *usage);

#endif

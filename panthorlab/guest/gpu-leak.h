/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_LEAK_H
#define PANTHORLAB_GUEST_GPU_LEAK_H

#include <stdbool.h>

#include "heap-scene.h"

/**
 * struct kind - Something to do over and over
 * @rounds: in a turn: so many that one lost object per round is more than is tolerated
 * @keeps: it is meant to lose memory, and must be seen to
 */
struct kind {
	const char *name;
	int (*round)(struct heap_scene *scene);
	unsigned int rounds;
	bool keeps;
};

/* The last one has no name. */
extern const struct kind kinds[];

#endif

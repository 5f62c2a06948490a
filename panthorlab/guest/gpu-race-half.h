/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_RACE_HALF_H
#define PANTHORLAB_GUEST_GPU_RACE_HALF_H

#include "gpu-race.h"

/**
 * struct maker - Makes a group, and stops where it has its handle and is not whole
 * @blocker: destroys another group. It takes the lock that the creator needs, and waits for the
 *	     scheduler's, which is held while the GPU does not say that a group has started
 * @creator: waits for the blocker's lock
 * @blocked: rounds in which the blocker waited
 * @half: rounds in which the creator waited, too
 */
struct maker {
	struct actor blocker, creator;
	unsigned int rounds, blocked, half;
};

int maker_create(struct race *race, struct maker *maker);
void maker_end(struct maker *maker);
void maker_tell(const struct maker *maker);

/* Have the scheduler's lock held by the tick that starts a group, and the blocker wait for it. */
int block(struct race *race, struct maker *maker, unsigned int starter, bool *blocked);

/* What actors do: with the handle that they have, or get. */
void call_create(struct actor *actor);
void call_destroy(struct actor *actor);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The moment in a call after which something is true of it, found by stopping the call again and
 * again: a step towards it after each, half as far when it has just been passed.
 */
#ifndef PANTHORLAB_GUEST_GPU_RACE_EDGE_H
#define PANTHORLAB_GUEST_GPU_RACE_EDGE_H

#include <stdbool.h>
#include <stdint.h>

#define EDGE_FIRST_NS	20000
#define EDGE_STEP_NS	16000

/**
 * struct edge - Where it is thought to be
 * @ns: after the call was started
 * @step: to the next guess
 * @least: of steps
 * @early: the last call was stopped before it
 */
struct edge {
	int64_t ns, step, least;
	bool early;
};

static inline struct edge edge_begin(int64_t least)
{
	return (struct edge){ EDGE_FIRST_NS, EDGE_STEP_NS, least, true };
}

/* A call that was stopped at the edge turned out to be @early. */
static inline void edge_move(struct edge *edge, bool early)
{
	if (early != edge->early && edge->step > edge->least)
		edge->step /= 2;
	edge->early = early;
	edge->ns += early ? edge->step : -edge->step;
	if (edge->ns < 0)
		edge->ns = 0;
}

#endif

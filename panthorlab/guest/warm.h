/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_WARM_H
#define PANTHORLAB_GUEST_WARM_H

#include <sys/types.h>

/**
 * struct warm - A client that is held where it is about to open the GPU for the first time
 * @pid: it; its other clients are forked from it
 */
struct warm {
	pid_t pid;
};

int warm_up(struct warm *warm, const char *node, char **argv, int output);
pid_t warm_fork(struct warm *warm);
void warm_end(struct warm *warm);

#endif

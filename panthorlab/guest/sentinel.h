/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_SENTINEL_H
#define PANTHORLAB_GUEST_SENTINEL_H

#include <stdbool.h>
#include <stddef.h>

/* Returns whether the job was right, else says why. */
bool sentinel_run(char *why, size_t size);

/* The same for those who leave a line in last_error(). */
int sentinel_job(void);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_SENTINEL_H
#define PANTHORLAB_GUEST_SENTINEL_H

#include <stdbool.h>
#include <stddef.h>

bool sentinel_run(unsigned int timeout_ms, char *why, size_t size);

#endif

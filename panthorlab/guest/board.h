/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What init.c and the files of the agent share. */
#ifndef PANTHORLAB_BOARD_H
#define PANTHORLAB_BOARD_H

#include <stddef.h>
#include <stdint.h>

#define STEP_MS		1	/* between two looks at something that nothing announces */

/* One line on the console: how far the boot has come, for the host to name if it stops here. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void msleep(int ms);
uint64_t uptime_ns(void);
int write_all(int fd, const void *data, size_t size);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_UTIL_H
#define PANTHORLAB_GUEST_UTIL_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Remember what went wrong, followed by the text of @error (a negative errno) unless it is 0.
 * Returns @error, or -EIO for 0.
 */
int fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *last_error(void);

int64_t now_us(void);			/* CLOCK_MONOTONIC */
void sleep_us(unsigned int us);

/* The status of a child when it has ended; -1, which is neither an exit nor a signal, if there is no such child. */
int wait_for_child(pid_t pid);

#endif

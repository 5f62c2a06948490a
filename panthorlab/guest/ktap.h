/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Output of a workload: KTAP and `#` lines, collected and written in one go, because a workload is
 * about to die and because every write wakes the reader.
 */
#ifndef PANTHORLAB_GUEST_KTAP_H
#define PANTHORLAB_GUEST_KTAP_H

#include <stdbool.h>

void out(const char *format, ...) __attribute__((format(printf, 1, 2)));
void out_flush(void);

void ktap_start(unsigned int plan);
void ktap_result(unsigned int number, bool ok, const char *name, const char *why);

/* The next result, which is ok if @ret is 0, else for last_error(); and the exit status that all of these come to. */
void ktap_check(int ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
int ktap_status(void);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_ITERATE_RUN_H
#define PANTHORLAB_GUEST_ITERATE_RUN_H

#include <stdbool.h>
#include <sys/types.h>

#include "subtests.h"

/**
 * struct run - One run of the program
 * @output: read end of its stdout and stderr, nonblocking
 * @pid: the program, its process group too
 * @status: as wait() gives it, valid when @reaped
 * @reaped: the program is gone
 * @orphans: there may be descendants
 * @timed_out: it was killed at the deadline
 */
struct run {
	int output;
	pid_t pid;
	int status;
	bool reaped;
	bool orphans;
	bool timed_out;
	struct subtests subtests;
};

/* Once, before the first. Returns 0, or a negative errno. */
int runs_prepare(void);

int run_start(struct run *run, char **argv);
bool run_finish(struct run *run, unsigned int timeout_ms);
bool run_ended_as_expected(const struct run *run, int expect_signal);

/* What is written out() is passed on when there has been time to gather some. */
bool gathering(void);
void flush_output(void);

#endif

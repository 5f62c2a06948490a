/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_SUBTESTS_H
#define PANTHORLAB_GUEST_SUBTESTS_H

#include <stdbool.h>
#include <stddef.h>

#define LINE_MAX_LEN	1024

/**
 * struct subtests - What the KTAP of a program says
 * @line: the current line so far
 * @length: of it
 * @version: a KTAP version line was seen
 * @planned: from the plan, -1 while there is none
 * @ok: results that are ok
 * @not_ok: results that are not
 */
struct subtests {
	char line[LINE_MAX_LEN];
	size_t length;
	bool version;
	long planned;
	long ok;
	long not_ok;
};

/* Pass lines on, indented. Of overlong ones only the beginning. */
void subtests_feed(struct subtests *tests, const char *data, size_t size);

/*
 * All subtests were run and were ok. A program without KTAP is judged by how it ends alone; but one
 * that dies of a signal must have said first that it did its work.
 */
bool subtests_ok(const struct subtests *tests, int expect_signal);

#endif

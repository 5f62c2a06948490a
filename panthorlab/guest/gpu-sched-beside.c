// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is looked at beside a group that waits: jobs of another group, and whether it gets a slot again.
 */

#include "gpu-sched.h"

#include <unistd.h>

#define BESIDE	(LAB_RESULTS - 1)	/* result */

/* @count whole jobs of group @g: what would have signalled by itself has done so after these. */
int sched_others_pass(struct lab *lab, unsigned int g, unsigned int count, uint32_t syncobj)
{
	struct lab_submit how = { .signals = syncobj };
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < count; i++) {
		ret = lab_store(lab, g, BESIDE, 0x77000000 + i, &how);
		ret = ret ?: lab_expect(lab, syncobj, 1, "a job of another group");
	}
	return ret;
}

/* A job that waits ends while others still have all slots, and has stored @value in result @index. */
int sched_comes_back(struct lab *lab, uint32_t syncobj, unsigned int index, uint32_t value)
{
	int status, fd;
	int ret = lab_fence(lab, syncobj, &fd);

	if (ret)
		return ret;
	ret = lab_status(fd, LAB_SETTLE_MS, &status);
	close(fd);
	if (!ret && status != 1)
		ret = fail(0, "the waiting group got no slot again: its fence's status is %d after %u ms", status,
			   LAB_SETTLE_MS);
	if (!ret && *lab_result(lab, 0, index) != value)
		ret = fail(0, "fence status 1, but memory is 0x%08x", *lab_result(lab, 0, index));
	return ret;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A stream that waits for a sync object which an operation of its own will write, when work on an
 * endpoint is done. Its group has something to do, though its stream stands still: when others have
 * taken its slot it needs another one, or nobody ever writes.
 */

#include "gpu-sched.h"

#include "ktap.h"

#define SB_WORK		2u	/* scoreboard entries */
#define SB_LATER	3u

enum { REG_SYNC = 20, REG_DATA = 22, REG_ZERO = 24 };
enum { WORD = 12, DONE = 13 };	/* results */

/* Work that lasts; add to WORD when it is done; wait for that; store. */
static int work_and_wait(struct lab *lab, unsigned int g, uint32_t syncobj)
{
	struct lab_submit how = { .signals = syncobj };
	uint64_t va;
	struct cs cs = lab_stream(lab, g, &va);

	*lab_result(lab, 0, WORD) = 0;
	*lab_result(lab, 0, DONE) = 0;
	cs_scoreboards(&cs, SB_WORK, CS_SB_STORE);
	cs_req_resource(&cs, CS_RESOURCE_COMPUTE);
	cs_run_compute(&cs);
	cs_req_resource(&cs, 0);
	cs_move48(&cs, REG_SYNC, lab_result_va(lab, 0, WORD));
	cs_move48(&cs, REG_DATA, 1);
	cs_sync_add64_later(&cs, REG_SYNC, REG_DATA, 1 << SB_WORK, SB_LATER);
	cs_move48(&cs, REG_ZERO, 0);
	cs_sync_wait64_gt(&cs, REG_SYNC, REG_ZERO);
	lab_write_store(lab, g, DONE, 0xdefe77ed, &cs);
	return lab_submit(lab, g, va, &cs, &how);
}

/* More busy groups than slots before it ends. */
static int crowded(struct lab *lab, const uint32_t *syncobj)
{
	unsigned int g;
	int ret = 0;

	for (g = 1; !ret && g < lab->group_count; g++)
		ret = lab_hold(lab, g, syncobj[g]);
	ret = ret ?: lab_wait_all(lab, 1);
	return ret ?: lab_expect(lab, syncobj[0], 0, "the work, when all others have had a slot,");
}

int sched_deferred(void)
{
	uint32_t syncobj[LAB_GROUPS];
	struct lab lab;
	int ret;

	ktap_start(2);
	ret = lab_crowd(&lab, 3, PRIORITY_MEDIUM, syncobj);
	if (!ret)
		ret = work_and_wait(&lab, 0, syncobj[0]);
	if (!ret)
		ret = crowded(&lab, syncobj);
	ktap_result(1, !ret, "others take the slots while its work lasts", last_error());
	if (!ret)
		ret = sched_comes_back(&lab, syncobj[0], DONE, 0xdefe77ed);
	ret = lab_open_all(&lab, 1, syncobj, ret);
	ktap_result(2, !ret, "the group that waits for its own work ends", last_error());
	return ret ? 1 : 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * In which order fences signal, and what they say: submissions without a stream, blocked groups,
 * what stands behind a fault, what is queued when its group, VM or file goes.
 */

#include "gpu-sched.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ktap.h"

/* Registers of the streams here; those of sched-lab.c are lower. */
enum { REG_SYNC = 20, REG_DATA = 22 };

enum { WORD = 8, DONE = 9, OTHER = 10 };	/* results */

#define RIGHT(lab, index, value)							\
	(*lab_result(lab, 0, index) == (value) ? 0 :					\
	 fail(0, "fence status 1, but memory is 0x%08x, expected 0x%08x",		\
	      *lab_result(lab, 0, index), (unsigned int)(value)))

/* A group without jobs has nothing to wait for, nor has an idle one. */
static int nothing_to_wait_for(struct lab *lab, const uint32_t *syncobj)
{
	int ret = lab_nothing(lab, 0, &(struct lab_submit){ .signals = syncobj[0] });

	if (!ret)
		ret = lab_expect(lab, syncobj[0], 1, "a first submission without a stream");
	if (!ret)
		ret = lab_store(lab, 0, DONE, 1, &(struct lab_submit){ .signals = syncobj[0] });
	if (!ret)
		ret = lab_expect(lab, syncobj[0], 1, "a job");
	if (!ret)
		ret = lab_nothing(lab, 0, &(struct lab_submit){ .signals = syncobj[0] });
	return ret ?: lab_expect(lab, syncobj[0], 1, "a submission without a stream to an idle queue");
}

/* On queue 0: a job that lasts, nothing, a job, nothing. On queue 1 of the same group: nothing. */
static int behind_a_job(struct lab *lab, const uint32_t *syncobj)
{
	static const char * const what[] = {
		"the job that lasts", "nothing behind it", "the job behind that", "nothing at the end",
	};
	struct lab_submit how = { 0 };
	unsigned int i;
	int ret;

	ret = lab_hold(lab, 0, syncobj[0]);
	for (i = 1; !ret && i < 4; i++) {
		how.signals = syncobj[i];
		ret = i == 2 ? lab_store(lab, 0, DONE, 0x5afe5afe, &how) : lab_nothing(lab, 0, &how);
	}
	if (!ret)
		ret = lab_wait_count(lab, 0, 0);
	if (!ret)
		ret = sched_others_pass(lab, 1, 3, syncobj[5]);
	for (i = 0; !ret && i < 4; i++)
		ret = lab_expect(lab, syncobj[i], 0, what[i]);
	how = (struct lab_submit){ .queue = 1, .signals = syncobj[4] };
	if (!ret)
		ret = lab_nothing(lab, 0, &how);
	if (!ret)
		ret = lab_expect(lab, syncobj[4], 1, "nothing on another queue");
	*lab_gate(lab, 0) = 1;
	if (!ret)
		ret = lab_expect(lab, syncobj[3], 1, what[3]);
	if (!ret)
		ret = RIGHT(lab, DONE, 0x5afe5afe);
	for (i = 0; !ret && i < 3; i++)
		ret = lab_expect(lab, syncobj[i], 1, what[i]);
	return ret;
}

/* A chain over two groups: nothing after the job of another group, a job after that. */
static int behind_another_group(struct lab *lab, const uint32_t *syncobj)
{
	struct lab_submit after = { .after = syncobj[0], .signals = syncobj[1] };
	struct lab_submit last = { .after = syncobj[1], .signals = syncobj[2] };
	int ret = lab_hold(lab, 1, syncobj[0]);

	if (!ret)
		ret = lab_nothing(lab, 0, &after);
	if (!ret)
		ret = lab_store(lab, 2, DONE, 0xc4a1c4a1, &last);
	if (!ret)
		ret = sched_others_pass(lab, 2 + 1, 3, syncobj[5]);
	if (!ret)
		ret = lab_expect(lab, syncobj[1], 0, "nothing after another group's job");
	if (!ret)
		ret = lab_expect(lab, syncobj[2], 0, "a job after that");
	*lab_gate(lab, 1) = 1;
	if (!ret)
		ret = lab_expect(lab, syncobj[2], 1, "a job after nothing after a job");
	if (!ret)
		ret = lab_expect(lab, syncobj[0], 1, "the job that lasted");
	return ret ?: RIGHT(lab, DONE, 0xc4a1c4a1);
}

int sched_sync_only(void)
{
	uint32_t syncobj[6];
	struct lab lab;
	int ret;

	ktap_start(3);
	ret = lab_create(&lab, 1);
	if (!ret)
		ret = lab_groups(&lab, 4, PRIORITY_MEDIUM);
	if (!ret)
		ret = lab_syncobjs(&lab, syncobj, 6);
	if (!ret)
		ret = nothing_to_wait_for(&lab, syncobj);
	ktap_result(1, !ret, "nothing to wait for", last_error());
	if (!ret)
		ret = behind_a_job(&lab, syncobj);
	ktap_result(2, !ret, "behind a job", last_error());
	if (!ret)
		ret = behind_another_group(&lab, syncobj);
	ktap_result(3, !ret, "behind another group's job", last_error());
	return ret ? 1 : 0;
}

/* Wait for WORD on queue 0 of group @g, then store. */
static int block(struct lab *lab, unsigned int g, uint32_t syncobj)
{
	struct lab_submit how = { .signals = syncobj };
	uint64_t va;
	struct cs cs = lab_stream(lab, g, &va);

	*lab_result(lab, 0, WORD) = 0;
	*lab_result(lab, 0, DONE) = 0;
	cs_move48(&cs, REG_SYNC, lab_result_va(lab, 0, WORD));
	cs_move48(&cs, REG_DATA, 0);
	cs_sync_wait64_gt(&cs, REG_SYNC, REG_DATA);
	lab_write_store(lab, g, DONE, 0xb10cb10c, &cs);
	return lab_submit(lab, g, va, &cs, &how);
}

static int add(struct lab *lab, unsigned int g, uint32_t syncobj)
{
	struct lab_submit how = { .signals = syncobj };
	uint64_t va;
	struct cs cs = lab_stream(lab, g, &va);
	int ret;

	cs_move48(&cs, REG_SYNC, lab_result_va(lab, 0, WORD));
	cs_move48(&cs, REG_DATA, 1);
	cs_sync_add64(&cs, REG_SYNC, REG_DATA);
	ret = lab_submit(lab, g, va, &cs, &how);
	return ret ?: lab_expect(lab, syncobj, 1, "the job that adds");
}

/* The driver looks at what a group waits for when any job has ended. */
static int write_by_cpu(struct lab *lab, unsigned int g, uint32_t syncobj)
{
	*lab_result(lab, 0, WORD) = 1;
	return sched_others_pass(lab, g, 3, syncobj);
}

/* Group 0 waits; @busy groups of others take the slots from it; @release lets it go on. */
static int blocked(struct lab *lab, const uint32_t *syncobj, unsigned int busy,
		   int (*release)(struct lab *lab, unsigned int g, uint32_t syncobj))
{
	struct lab_submit how = { .queue = 1, .signals = syncobj[2] };
	unsigned int g;
	int ret = block(lab, 0, syncobj[0]);

	for (g = 2; !ret && g < busy + 2; g++)
		ret = lab_hold(lab, g, syncobj[g + 1]);
	for (g = 2; !ret && g < busy + 2; g++)
		ret = lab_wait_count(lab, g, 0);
	if (!ret)
		ret = sched_others_pass(lab, 1, 3, syncobj[1]);
	if (!ret)
		ret = lab_expect(lab, syncobj[0], 0, "a blocked job");
	/* its other queue is not blocked */
	if (!ret)
		ret = lab_store(lab, 0, OTHER, 0x07e407e4, &how);
	if (!ret)
		ret = lab_expect(lab, syncobj[2], 1, "a job beside a blocked one");
	if (!ret)
		ret = lab_expect(lab, syncobj[0], 0, "a blocked job, still");
	if (!ret)
		ret = release(lab, 1, syncobj[1]);
	if (!ret)
		ret = lab_expect(lab, syncobj[0], 1, "the blocked job");
	if (!ret)
		ret = RIGHT(lab, DONE, 0xb10cb10c);
	for (g = 2; g < busy + 2; g++)
		*lab_gate(lab, g) = 1;
	for (g = 2; !ret && g < busy + 2; g++) {
		ret = lab_expect(lab, syncobj[g + 1], 1, "a job that lasted");
		*lab_counter(lab, g) = 0;
	}
	return ret;
}

int sched_blocked(void)
{
	uint32_t syncobj[LAB_GROUPS + 1];
	struct lab lab;
	int ret;

	ktap_start(4);
	ret = lab_create(&lab, 1);
	if (!ret)
		ret = lab_groups(&lab, lab.slots + 4, PRIORITY_MEDIUM);
	if (!ret)
		ret = lab_syncobjs(&lab, syncobj, lab.group_count + 1);
	if (!ret)
		ret = blocked(&lab, syncobj, 1, add);
	ktap_result(1, !ret, "in its slot, a job adds", last_error());
	if (!ret)
		ret = blocked(&lab, syncobj, 1, write_by_cpu);
	ktap_result(2, !ret, "in its slot, the CPU writes", last_error());
	if (!ret)
		ret = blocked(&lab, syncobj, lab.slots + 2, add);
	ktap_result(3, !ret, "not in a slot, a job adds", last_error());
	if (!ret)
		ret = blocked(&lab, syncobj, lab.slots + 2, write_by_cpu);
	ktap_result(4, !ret, "not in a slot, the CPU writes", last_error());
	return ret ? 1 : 0;
}

static int undefined(struct lab *lab, unsigned int g, uint32_t syncobj)
{
	struct lab_submit how = { .signals = syncobj };
	uint64_t va;
	struct cs cs = lab_stream(lab, g, &va);

	cs_undefined(&cs);
	return lab_submit(lab, g, va, &cs, &how);
}

/* On queue 0: a job that lasts, one that faults, one more, nothing; on queue 1 a job that lasts. */
static int fault(struct lab *lab, const uint32_t *syncobj)
{
	struct lab_submit how = { .signals = syncobj[2] };
	int ret = lab_hold(lab, 0, syncobj[0]);

	if (!ret)
		ret = undefined(lab, 0, syncobj[1]);
	if (!ret)
		ret = lab_store(lab, 0, DONE, 1, &how);
	how.signals = syncobj[3];
	if (!ret)
		ret = lab_nothing(lab, 0, &how);
	if (!ret)
		ret = lab_wait_count(lab, 0, 0);
	if (!ret)
		ret = sched_others_pass(lab, 1, 3, syncobj[4]);
	*lab_gate(lab, 0) = 1;
	if (!ret)
		ret = lab_expect(lab, syncobj[1], -1, "the job that faults");
	if (!ret)
		ret = lab_expect(lab, syncobj[2], -1, "the job behind the fault");
	return ret ?: lab_expect(lab, syncobj[3], -1, "nothing behind the fault");
}

static int refused(struct lab *lab, unsigned int g, uint32_t syncobj)
{
	int ret = lab_store(lab, g, DONE, 2, &(struct lab_submit){ .signals = syncobj });

	if (ret == -EINVAL || ret == -ECANCELED)
		return 0;
	return ret ?: fail(0, "a job was accepted");
}

int sched_errors(void)
{
	uint32_t syncobj[5], state = 0, fatal = 0;
	struct lab lab;
	int ret;

	ktap_start(4);
	ret = lab_create(&lab, 1);
	if (!ret)
		ret = lab_groups(&lab, 2, PRIORITY_MEDIUM);
	if (!ret)
		ret = lab_syncobjs(&lab, syncobj, 5);
	if (!ret)
		ret = fault(&lab, syncobj);
	ktap_result(1, !ret, "no success behind a fault", last_error());
	if (!ret)
		ret = gpu_group_state(&lab.gpu, lab.group[0].handle, &state, &fatal);
	if (!ret && (!(state & DRM_PANTHOR_GROUP_STATE_FATAL_FAULT) || !(fatal & 1)))
		ret = fail(0, "group state 0x%x, fatal queues 0x%x", state, fatal);
	ktap_result(2, !ret, "the group is said to be dead", last_error());
	if (!ret)
		ret = refused(&lab, 0, syncobj[0]);
	ktap_result(3, !ret, "a dead group takes no job", last_error());
	if (!ret)
		ret = sched_others_pass(&lab, 1, 3, syncobj[4]);
	ktap_result(4, !ret, "another group of the VM works", last_error());
	return ret ? 1 : 0;
}

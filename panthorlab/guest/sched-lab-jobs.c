// SPDX-License-Identifier: GPL-2.0-or-later
/* What jobs of a lab do, and how they get to their queues. */

#include "sched-lab.h"

#include <errno.h>

enum { REG_COUNTER = 0, REG_GATE = 2, REG_COUNT = 4, REG_OPEN = 5 };

/* What both kinds of lasting job begin with. */
static void write_start(const struct lab *lab, unsigned int g, struct cs *cs)
{
	cs_move48(cs, REG_COUNTER, lab_counter_va(lab, g));
	cs_move48(cs, REG_GATE, lab_gate_va(lab, g));
	cs_load32(cs, REG_COUNT, REG_COUNTER);
	cs_wait(cs, CS_SB_ALL);
}

static void write_tick(struct cs *cs)
{
	cs_add_imm32(cs, REG_COUNT, REG_COUNT, 1);
	cs_store32(cs, REG_COUNTER, REG_COUNT);
}

/* Go back to @loop until the gate is at @opening or beyond. */
static void write_gate(struct cs *cs, uint32_t opening, unsigned int loop)
{
	cs_load32(cs, REG_OPEN, REG_GATE);
	cs_wait(cs, CS_SB_ALL);
	cs_add_imm32(cs, REG_OPEN, REG_OPEN, -(int32_t)opening);
	cs_branch(cs, CS_LESS, REG_OPEN, loop);
}

/* Count once, then do nothing until the gate is at @opening or beyond. */
void lab_write_hold(struct lab *lab, unsigned int g, uint32_t opening, struct cs *cs)
{
	write_start(lab, g, cs);
	write_tick(cs);
	write_gate(cs, opening, cs->count);
}

/* In result @index of the group's address space. */
void lab_write_store(struct lab *lab, unsigned int g, unsigned int index, uint32_t value,
		     struct cs *cs)
{
	cs_tell(cs, lab_result_va(lab, lab->group[g].vm, index), value);
}

/* @cs NULL: a submission without a stream, which only orders fences. */
int lab_submit(struct lab *lab, unsigned int g, uint64_t va, const struct cs *cs,
	       const struct lab_submit *how)
{
	struct drm_panthor_sync_op syncs[2];
	struct drm_panthor_queue_submit submit = {
		.queue_index = how->queue,
		.stream_size = cs ? cs_size(cs) : 0,
		.stream_addr = cs ? va : 0,
	};
	struct drm_panthor_group_submit call = {
		.group_handle = lab->group[g].handle,
		.queue_submits = DRM_PANTHOR_OBJ_ARRAY(1, &submit),
	};
	unsigned int count = 0;

	if (how->after)
		syncs[count++] = (struct drm_panthor_sync_op){ .handle = how->after };
	if (how->signals)
		syncs[count++] = (struct drm_panthor_sync_op){
			.flags = DRM_PANTHOR_SYNC_OP_SIGNAL, .handle = how->signals,
		};
	if (count)
		submit.syncs = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(count, syncs);
	return GPU_IOCTL(&lab->gpu, PANTHOR_GROUP_SUBMIT, &call);
}

/* A job on queue 0 that counts until its gate is opened. */
int lab_count(struct lab *lab, unsigned int g, uint32_t signals)
{
	struct lab_submit how = { .signals = signals };
	uint64_t va;
	struct cs cs = lab_stream(lab, g, &va);
	unsigned int loop;

	*lab_gate(lab, g) = 0;
	write_start(lab, g, &cs);
	loop = cs.count;
	write_tick(&cs);
	write_gate(&cs, 1, loop);
	return lab_submit(lab, g, va, &cs, &how);
}

/* A job on queue 0 that counts once and then lasts until its gate is opened. */
int lab_hold(struct lab *lab, unsigned int g, uint32_t signals)
{
	struct lab_submit how = { .signals = signals };
	uint64_t va;
	struct cs cs = lab_stream(lab, g, &va);

	*lab_gate(lab, g) = 0;
	lab_write_hold(lab, g, 1, &cs);
	return lab_submit(lab, g, va, &cs, &how);
}

int lab_store(struct lab *lab, unsigned int g, unsigned int index, uint32_t value,
	      const struct lab_submit *how)
{
	uint64_t va;
	struct cs cs = lab_stream(lab, g, &va);

	lab_write_store(lab, g, index, value, &cs);
	return lab_submit(lab, g, va, &cs, how);
}

int lab_nothing(struct lab *lab, unsigned int g, const struct lab_submit *how)
{
	return lab_submit(lab, g, 0, NULL, how);
}

/*
 * @count jobs of @ms each, all in the ring at once, so that the queue is never empty. The first is on
 * the GPU when this begins to count.
 */
int lab_row(struct lab *lab, unsigned int g, unsigned int count, unsigned int ms)
{
	uint32_t syncobj[LAB_ROW];
	unsigned int i;
	int ret = count > LAB_ROW ? fail(-EINVAL, "%u jobs in a row", count) : 0;

	*lab_gate(lab, g) = 0;
	for (i = 0; !ret && i < count; i++) {
		struct lab_submit how;
		uint64_t va;
		struct cs cs = lab_stream(lab, g, &va);

		ret = gpu_syncobj_create(&lab->gpu, &syncobj[i]);
		how = (struct lab_submit){ .signals = syncobj[i] };
		lab_write_hold(lab, g, i + 1, &cs);
		if (!ret)
			ret = lab_submit(lab, g, va, &cs, &how);
	}
	if (!ret)
		ret = lab_wait_count(lab, g, 0);
	for (i = 0; !ret && i < count; i++) {
		sleep_us(ms * 1000);
		*lab_gate(lab, g) = i + 1;
		ret = lab_expect(lab, syncobj[i], 1, "a job that ends in time");
	}
	return ret;
}

/* End the lasting jobs of all groups from @first on, also after a failure; @ret or how they ended. */
int lab_open_all(struct lab *lab, unsigned int first, const uint32_t *syncobj, int ret)
{
	unsigned int g;

	for (g = first; g < lab->group_count; g++)
		*lab_gate(lab, g) = 1;
	for (g = first; !ret && g < lab->group_count; g++)
		ret = lab_expect(lab, syncobj[g], 1, "a job that lasted");
	return ret;
}

/* A counting job of each group from @first on, which signals that group's of @syncobj. */
int lab_count_all(struct lab *lab, unsigned int first, const uint32_t *syncobj)
{
	unsigned int g;
	int ret = 0;

	for (g = first; !ret && g < lab->group_count; g++)
		ret = lab_count(lab, g, syncobj[g]);
	return ret;
}

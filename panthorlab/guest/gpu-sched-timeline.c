// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sync operations beyond a syncobj that a job signals and a later call waits for: jobs of one call
 * that wait for each other, and points of timelines, as Vulkan drivers use them.
 */

#include "gpu-sched.h"

#include <string.h>

#include "ktap.h"

enum { DONE = 14 };	/* result */
enum { FIRST_POINT = 10, SECOND_POINT = 20 };

static struct drm_panthor_sync_op sync_op(uint32_t handle, uint64_t point, bool signals)
{
	return (struct drm_panthor_sync_op){
		.flags = (point ? DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_TIMELINE_SYNCOBJ :
				  DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_SYNCOBJ) |
			 (signals ? DRM_PANTHOR_SYNC_OP_SIGNAL : DRM_PANTHOR_SYNC_OP_WAIT),
		.handle = handle,
		.timeline_value = point,
	};
}

/* A job of @g on @queue: one that lasts until the gate is opened, or a store. */
static struct drm_panthor_queue_submit job(struct lab *lab, unsigned int g, unsigned int queue, bool lasts,
					   uint32_t value, struct drm_panthor_sync_op *syncs, unsigned int count)
{
	uint64_t va;
	struct cs cs = lab_stream(lab, g, &va);

	if (lasts) {
		*lab_gate(lab, g) = 0;
		lab_write_hold(lab, g, 1, &cs);
	} else {
		*lab_result(lab, 0, DONE) = 0;
		lab_write_store(lab, g, DONE, value, &cs);
	}
	return (struct drm_panthor_queue_submit){
		.queue_index = queue,
		.stream_size = cs_size(&cs),
		.stream_addr = va,
		.syncs = DRM_PANTHOR_OBJ_ARRAY(count, syncs),
	};
}

static int submit(struct lab *lab, unsigned int g, struct drm_panthor_queue_submit *jobs, unsigned int count)
{
	struct drm_panthor_group_submit call = {
		.group_handle = lab->group[g].handle,
		.queue_submits = DRM_PANTHOR_OBJ_ARRAY(count, jobs),
	};

	return GPU_IOCTL(&lab->gpu, PANTHOR_GROUP_SUBMIT, &call);
}

static int stored(struct lab *lab, uint32_t value)
{
	if (*lab_result(lab, 0, DONE) == value)
		return 0;
	return fail(0, "0x%08x is in memory, expected 0x%08x", *lab_result(lab, 0, DONE), value);
}

/* On queue 0 a job that lasts, on queue 1 one that waits for it, both of one call. */
static int one_call(struct lab *lab, const uint32_t *syncobj)
{
	struct drm_panthor_sync_op first[] = { sync_op(syncobj[0], 0, true) };
	struct drm_panthor_sync_op second[] = { sync_op(syncobj[0], 0, false), sync_op(syncobj[1], 0, true) };
	uint32_t before = *lab_counter(lab, 0);
	struct drm_panthor_queue_submit jobs[] = {
		job(lab, 0, 0, true, 0, first, 1), job(lab, 0, 1, false, 0x0ca110ca, second, 2),
	};
	int ret = submit(lab, 0, jobs, 2);

	ret = ret ?: lab_wait_count(lab, 0, before);
	ret = ret ?: lab_expect(lab, syncobj[1], 0, "the job that waits");
	ret = ret ?: stored(lab, 0);
	*lab_gate(lab, 0) = 1;
	ret = ret ?: lab_expect(lab, syncobj[1], 1, "the job that waited");
	return ret ?: lab_expect(lab, syncobj[0], 1, "the job that lasted") ?: stored(lab, 0x0ca110ca);
}

static int timeline_is_at(struct lab *lab, uint32_t timeline, uint64_t point)
{
	uint64_t value = 0;
	struct drm_syncobj_timeline_array query = {
		.handles = (uintptr_t)&timeline, .points = (uintptr_t)&value, .count_handles = 1,
	};
	int ret = GPU_IOCTL(&lab->gpu, SYNCOBJ_QUERY, &query);

	if (!ret && value != point)
		ret = fail(0, "the timeline is at %llu, expected %llu", (unsigned long long)value,
			   (unsigned long long)point);
	return ret;
}

/* Wait for the fence of a point, which may be there or not yet. */
static int wait_point(struct lab *lab, uint32_t timeline, uint64_t point)
{
	struct drm_syncobj_timeline_wait wait = {
		.handles = (uintptr_t)&timeline, .points = (uintptr_t)&point, .count_handles = 1,
		.timeout_nsec = (now_us() + GPU_TIMEOUT_MS * 1000LL) * 1000,
		.flags = DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT,
	};

	return GPU_IOCTL(&lab->gpu, SYNCOBJ_TIMELINE_WAIT, &wait);
}

/* Group 0's job reaches a point when it ends, group 1's waits for that and reaches the next one. */
static int points(struct lab *lab, uint32_t timeline)
{
	struct drm_panthor_sync_op first[] = { sync_op(timeline, FIRST_POINT, true) };
	struct drm_panthor_sync_op second[] = {
		sync_op(timeline, FIRST_POINT, false), sync_op(timeline, SECOND_POINT, true),
	};
	uint32_t before = *lab_counter(lab, 0);
	struct drm_panthor_queue_submit lasts = job(lab, 0, 0, true, 0, first, 1);
	struct drm_panthor_queue_submit waits = job(lab, 1, 0, false, 0x00ff5e75, second, 2);
	int ret = submit(lab, 0, &lasts, 1) ?: submit(lab, 1, &waits, 1);

	ret = ret ?: lab_wait_count(lab, 0, before);
	ret = ret ?: timeline_is_at(lab, timeline, 0) ?: stored(lab, 0);
	*lab_gate(lab, 0) = 1;
	ret = ret ?: wait_point(lab, timeline, SECOND_POINT);
	return ret ?: timeline_is_at(lab, timeline, SECOND_POINT) ?: stored(lab, 0x00ff5e75);
}

/* A job that waits for a point which the CPU passes. */
static int by_cpu(struct lab *lab, uint32_t timeline, uint32_t syncobj)
{
	uint64_t point = SECOND_POINT;
	struct drm_syncobj_timeline_array signal = {
		.handles = (uintptr_t)&timeline, .points = (uintptr_t)&point, .count_handles = 1,
	};
	struct drm_panthor_sync_op syncs[] = {
		sync_op(timeline, FIRST_POINT, false), sync_op(syncobj, 0, true),
	};
	struct drm_panthor_queue_submit waits = job(lab, 1, 0, false, 0x000c9000, syncs, 2);
	int ret = submit(lab, 1, &waits, 1);

	if (!ret)
		return fail(0, "a job waits for a point that nobody has promised");
	ret = GPU_IOCTL(&lab->gpu, SYNCOBJ_TIMELINE_SIGNAL, &signal) ?: submit(lab, 1, &waits, 1);
	return ret ?: lab_expect(lab, syncobj, 1, "the job that waited") ?: stored(lab, 0x000c9000);
}

int sched_timeline(void)
{
	uint32_t syncobj[4];
	struct lab lab;
	int ret;

	ktap_start(3);
	ret = lab_create(&lab, 1) ?: lab_groups(&lab, 2, PRIORITY_MEDIUM) ?: lab_syncobjs(&lab, syncobj, 4);
	ret = ret ?: one_call(&lab, syncobj);
	ktap_result(1, !ret, "a job waits for one of the same call", last_error());
	ret = ret ?: points(&lab, syncobj[2]);
	ktap_result(2, !ret, "jobs reach and wait for points of a timeline", last_error());
	ret = ret ?: by_cpu(&lab, syncobj[3], syncobj[1]);
	ktap_result(3, !ret, "a job waits for a point that the CPU passes", last_error());
	return ret ? 1 : 0;
}

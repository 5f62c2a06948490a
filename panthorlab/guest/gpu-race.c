// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Handles that one thread uses while another one destroys what they stand for.
 *
 *   --mode group    GROUP_GET_STATE is interrupted, and the group destroyed and freed meanwhile
 *   --mode vm       the same with VM_GET_STATE
 *   --mode create   the handle of a group that is half made, as GROUP_CREATE has not returned, is
 *                   destroyed
 *   --mode reuse    GROUP_DESTROY is interrupted, its group destroyed by another call, and the
 *                   handle given to a group that is half made: that one must not be destroyed
 *   --mode bo       BO_CREATE is interrupted, and its handle closed before it is returned
 *   --mode heap     TILER_HEAP_CREATE is interrupted, and its VM destroyed: no heap is made in that
 *   --mode label    BO_SET_LABEL is interrupted, and the buffer given another label: the one before is
 *                   freed once
 *
 * No two CPUs have to meet in a window. All threads share one CPU; the director, which has the
 * highest priority, wakes up by a timer in the middle of an actor's call, and decides who goes on
 * and who stays where he was interrupted, in the kernel. A group stays half made for as long as the
 * scheduler's lock is held; the emulated GPU sees to that, if it is told to start groups late.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "gpu-race.h"
#include "ktap.h"
#include "options.h"

int vm_make(struct race *race, uint32_t vm, uint32_t *handle)
{
	struct drm_panthor_vm_create create = { 0 };
	int ret = raw(race, DRM_IOCTL_PANTHOR_VM_CREATE, &create);

	(void)vm;
	*handle = create.id;
	return ret;
}

int vm_drop(struct race *race, uint32_t handle)
{
	struct drm_panthor_vm_destroy destroy = { .id = handle };

	return raw(race, DRM_IOCTL_PANTHOR_VM_DESTROY, &destroy);
}

static int vm_look(struct race *race, uint32_t handle)
{
	struct drm_panthor_vm_get_state get = { .vm_id = handle };

	return raw(race, DRM_IOCTL_PANTHOR_VM_GET_STATE, &get);
}

/**
 * struct kind - What has handles
 */
static const struct kind {
	int (*make)(struct race *race, uint32_t vm, uint32_t *handle);
	int (*drop)(struct race *race, uint32_t handle);
	int (*look)(struct race *race, uint32_t handle);
} groups = { group_make, group_drop, group_look }, vms = { vm_make, vm_drop, vm_look };

/* -- modes group and vm */

#define EARLIEST_NS	30000	/* after the call has been started */
#define SPREAD_NS	100000	/* of the moments to interrupt it at; a debug kernel's call takes longer */
#define SPREAD_MAX_NS	12800000
#define BLIND		16u	/* rounds without one behind the look-up, then the spread is doubled */

static const struct kind *looked_at;

/* Look until there is nothing any more. */
static void call_look(struct actor *actor)
{
	struct race *race = actor->race;

	do {
		actor->ret = looked_at->look(race, race->handle);
		race->calls++;
	} while (!actor->ret);
}

/*
 * The interrupted call finds what it looks for or not, that is, the interrupt came behind its look-up
 * or before: both must have happened often enough, then it came in between, too, if it could.
 */
static int race_look(struct race *race, const struct kind *kind)
{
	unsigned int before = 0, behind = 0, rounds, calls;
	int64_t deadline = now_us() + race->limit_ms * 1000LL;
	unsigned int wanted = race->count ?: 200, spread = SPREAD_NS;
	struct actor reader;
	uint32_t handle;
	int ret, dropped;

	looked_at = kind;
	ret = actor_create(race, &reader, call_look);
	if (ret)
		return ret;
	for (rounds = 0; !ret && (before < wanted || behind < wanted) && now_us() < deadline; rounds++) {
		ret = kind->make(race, race->lab.vm[1].vm, &handle);
		if (ret) {
			fail(ret, "no new object");
			break;
		}
		race->handle = handle;
		race->calls = 0;
		if (!behind && rounds && rounds % BLIND == 0 && spread < SPREAD_MAX_NS)
			spread *= 2;
		ret = actor_stop_after(&reader, ACTOR, EARLIEST_NS + rand() % spread);
		calls = race->calls;
		dropped = kind->drop(race, handle);
		ret = ret ?: actor_finish_last(&reader);
		if (dropped)
			ret = fail(dropped, "destroying handle %u", handle);
		else if (reader.ret != -EINVAL)
			ret = fail(reader.ret, "looking for handle %u, which is gone", handle);
		else if (race->calls == calls + 1)
			before++;
		else if (race->calls == calls + 2)
			behind++;
	}
	if (!ret)
		actor_end(&reader);
	out("# rounds %u, interrupted before the look-up %u, behind it %u, within %u us\n", rounds,
	    before, behind, (EARLIEST_NS + spread) / 1000);
	out("# info struck=%u\n", before < behind ? before : behind);
	return ret;
}

static int race_group(struct race *race)
{
	return race_look(race, &groups);
}

static int race_vm(struct race *race)
{
	return race_look(race, &vms);
}

static const struct mode {
	const char *name;
	int (*run)(struct race *race);
} modes[] = {
	{ "group", race_group }, { "vm", race_vm }, { "create", race_create },
	{ "reuse", race_reuse }, { "bo", race_bo }, { "heap", race_heap }, { "label", race_label },
};

/* One CPU for all, and the director before everybody else. */
static int prepare(struct race *race)
{
	uint32_t handle;
	cpu_set_t cpus;
	int ret;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		return fail(-errno, "sched_setaffinity");
	ret = lab_create(&race->lab, 2);
	if (ret)
		return ret;
	ret = group_make(race, race->lab.vm[1].vm, &handle);
	race->handle = handle;
	if (ret)
		return fail(ret, "GROUP_CREATE");
	return set_priority(0, DIRECTOR);
}

static void usage(FILE *stream)
{
	fputs("usage: gpu-race --mode group|vm|create|reuse|bo|heap|label [--count N] [--limit-ms T]\n"
	      "  --count: end when a call was interrupted so often where it matters\n"
	      "  --limit-ms: or after this time (15000)\n", stream);
}

int main(int argc, char **argv)
{
	static struct race race = { .limit_ms = 15000 };
	const char *name = "";
	const struct program_option options[] = {
		{ "mode", .word = &name },
		{ "count", .number = &race.count, .most = INT32_MAX },
		{ "limit-ms", .number = &race.limit_ms, .least = 1, .most = INT32_MAX },
		{ 0 }
	};
	const struct mode *mode;
	int ret;

	read_options(argc, argv, options, usage);
	mode = CHOOSE_MODE(modes, name, usage);
	ktap_start(1);
	ret = prepare(&race);
	if (!ret)
		ret = mode->run(&race);
	ktap_result(1, !ret, mode->name, last_error());
	return ret ? 1 : 0;
}

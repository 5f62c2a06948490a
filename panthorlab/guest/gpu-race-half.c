// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Groups that are half made: GROUP_CREATE has given them a handle, and waits for the scheduler's
 * lock before it puts them into the scheduler's lists and returns.
 */

#include "gpu-race-half.h"

#include <errno.h>

#include "ktap.h"

void call_create(struct actor *actor)
{
	actor->ret = group_make(actor->race, actor->race->lab.vm[0].vm, &actor->handle);
}

void call_destroy(struct actor *actor)
{
	actor->ret = group_drop(actor->race, actor->handle);
}

int maker_create(struct race *race, struct maker *maker)
{
	int ret;

	*maker = (struct maker){ 0 };
	ret = actor_create(race, &maker->blocker, call_destroy);
	return ret ?: actor_create(race, &maker->creator, call_create);
}

void maker_end(struct maker *maker)
{
	actor_end(&maker->blocker);
	actor_end(&maker->creator);
}

void maker_tell(const struct maker *maker)
{
	out("# rounds %u, the lock was held in %u, a group half made in %u\n", maker->rounds,
	    maker->blocked, maker->half);
}

/* Until the kernel's workers have nothing to do, as for groups that are gone. */
static int settle(struct actor *actor)
{
	int ret;

	actor->handle = 0;
	ret = actor_start(actor, FROZEN);
	return ret ?: actor_finish(actor, FROZEN);
}

/*
 * The blocker has the CPU only while nobody else wants it: so while the tick, with the scheduler's lock,
 * waits for the GPU, however long it took to get there. When the starter's job has run, its tick is over.
 */
int block(struct race *race, struct maker *maker, unsigned int starter, bool *blocked)
{
	volatile uint32_t *started = lab_result(&race->lab, 1, 0);
	struct lab_submit how = { 0 };
	int ret = settle(&maker->blocker);

	*started = 0;
	*blocked = false;
	ret = ret ?: lab_store(&race->lab, starter, 0, 1, &how);
	while (!ret && !*blocked && !*started) {
		ret = group_make(race, race->lab.vm[1].vm, &maker->blocker.handle);
		if (ret)
			return fail(ret, "GROUP_CREATE");
		ret = actor_start(&maker->blocker, FROZEN);
		*blocked = starts_waiting(&maker->blocker);
		if (!ret && !*blocked)
			ret = actor_finish(&maker->blocker, FROZEN) ?: maker->blocker.ret;
	}
	return ret;
}

/* -- mode create */

/* There is a group with the handle that is raced for. */
static int ensure_group(struct race *race)
{
	uint32_t handle;
	int ret;

	if (!group_look(race, race->handle))
		return 0;
	ret = group_make(race, race->lab.vm[1].vm, &handle);
	if (!ret && handle != race->handle)
		return fail(-EIO, "the new group has handle %u, not %u", handle, race->handle);
	return ret ? fail(ret, "GROUP_CREATE") : 0;
}

static bool is_half(const struct maker *maker)
{
	return maker->creator.inside && is_waiting(&maker->creator);
}

/* The group with the handle goes, the creator gets the handle, and stops with it if @half. */
static int maker_start(struct race *race, struct maker *maker, bool *half)
{
	unsigned int starter;
	bool blocked;
	int ret;

	*half = false;
	race->lab.group_count = 0;
	maker->rounds++;
	ret = lab_group(&race->lab, 1, PANTHOR_GROUP_PRIORITY_MEDIUM, &starter);
	if (ret)
		return ret;
	ret = group_drop(race, race->handle);
	if (ret)
		return fail(ret, "GROUP_DESTROY");
	ret = block(race, maker, starter, &blocked);
	maker->blocked += blocked;
	if (ret || !blocked)
		return ret;
	ret = actor_start(&maker->creator, ACTOR);
	*half = starts_waiting(&maker->creator);
	maker->half += *half;
	return ret;
}

/* @made: the creator has made its group with the handle, and nobody should have destroyed it. */
static int maker_finish(struct race *race, struct maker *maker, bool half, bool *made)
{
	int ret = 0;

	*made = false;
	if (maker->blocker.busy)
		ret = actor_finish(&maker->blocker, ACTOR) ?: maker->blocker.ret;
	if (maker->creator.busy) {
		ret = actor_finish_last(&maker->creator) ?: ret;
		ret = ret ?: maker->creator.ret;
		*made = !ret && half && maker->creator.handle == race->handle;
	}
	return ret ?: group_drop(race, race->lab.group[0].handle);
}

/*
 * A handle that GROUP_CREATE has taken but not returned is refused, until the group is whole. A
 * kernel that does not know that state destroys what is half made.
 */
int race_create(struct race *race)
{
	unsigned int refused = 0, destroyed = 0, wanted = race->count ?: 10;
	int64_t deadline = now_us() + race->limit_ms * 1000LL;
	struct maker maker;
	int ret = maker_create(race, &maker);

	while (!ret && refused < wanted && !destroyed && now_us() < deadline) {
		int dropped = -EINVAL;
		bool half, made;

		ret = ensure_group(race);
		ret = ret ?: maker_start(race, &maker, &half);
		if (ret)
			break;
		if (half)
			dropped = group_drop(race, race->handle);
		half = half && (!dropped || is_half(&maker));
		ret = maker_finish(race, &maker, half, &made);
		destroyed += made && !dropped;
		refused += made && dropped == -EINVAL;
	}
	if (!ret)
		maker_end(&maker);
	maker_tell(&maker);
	out("# refused %u, destroyed %u\n", refused, destroyed);
	out("# info struck=%u\n", refused + destroyed);
	return ret || !destroyed ? ret :
	       fail(-EIO, "GROUP_DESTROY destroyed a group that was half made");
}

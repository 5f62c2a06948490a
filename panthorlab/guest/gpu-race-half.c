// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Groups that are half made: GROUP_CREATE has given them a handle, and waits for the scheduler's
 * lock before it puts them into the scheduler's lists and returns.
 */

#include <errno.h>

#include "gpu-race.h"
#include "ktap.h"

#define BLOCKS		40u	/* tries to find the scheduler's lock held */
#define HANDLES		24u
#define RUN_NS		3000000	/* for HANDLES actors, one after the other */
#define RUNS		20u	/* so often at most */
#define SPACING_NS	4096	/* between the moments at which the calls of a round are stopped */
#define SPACING_MIN_NS	48	/* six instructions in exact time; the window is of some thirty */
#define AIM_MAX_NS	2000000

static void call_create(struct actor *actor)
{
	actor->ret = group_make(actor->race, actor->race->lab.vm[0].vm, &actor->handle);
}

static void call_destroy(struct actor *actor)
{
	actor->ret = group_drop(actor->race, actor->handle);
}

/**
 * struct maker - Makes a group, and stops where it has its handle and is not whole
 * @blocker: destroys another group. It takes the lock that the creator needs, and waits for the
 *	     scheduler's, which is held while the GPU does not say that a group has started
 * @creator: waits for the blocker's lock
 * @blocked: rounds in which the blocker waited
 * @half: rounds in which the creator waited, too
 */
struct maker {
	struct actor blocker, creator;
	unsigned int rounds, blocked, half;
};

static int maker_create(struct race *race, struct maker *maker)
{
	int ret;

	*maker = (struct maker){ 0 };
	ret = actor_create(race, &maker->blocker, call_destroy);
	return ret ?: actor_create(race, &maker->creator, call_create);
}

static void maker_end(struct maker *maker)
{
	actor_end(&maker->blocker);
	actor_end(&maker->creator);
}

static void maker_tell(const struct maker *maker)
{
	out("# rounds %u, the lock was held in %u, a group half made in %u\n", maker->rounds,
	    maker->blocked, maker->half);
}

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

/* Have the scheduler's lock held by the tick that starts a group, and the blocker wait for it. */
static int block(struct race *race, struct maker *maker, unsigned int starter, bool *blocked)
{
	struct lab_submit how = { 0 };
	unsigned int try;
	int ret = lab_store(&race->lab, starter, 0, 1, &how);

	*blocked = false;
	for (try = 0; !ret && !*blocked && try < BLOCKS; try++) {
		ret = group_make(race, race->lab.vm[1].vm, &maker->blocker.handle);
		if (ret)
			return fail(ret, "GROUP_CREATE");
		sleep_ns(WORK_NS);
		ret = actor_start(&maker->blocker, ACTOR);
		*blocked = starts_waiting(&maker->blocker);
		if (!ret && !*blocked)
			ret = actor_finish(&maker->blocker, ACTOR) ?: maker->blocker.ret;
	}
	return ret;
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

/* -- mode reuse */

/**
 * struct aim - When to stop the calls of a round: at moments around that at which they remove their group
 * @ns: the middle one
 * @spacing: between two of them
 */
struct aim {
	int64_t ns, spacing;
};

/**
 * struct reuse - Groups whose handles are destroyed by two calls each, and given anew in between
 * @handle: of the groups
 * @first: destroys, and is stopped before it has, or just after
 * @second: destroys, too: what the first one has removed it does not find
 * @creator: gets one of the handles
 * @keeper: keeps the CPU from those that are stopped
 * @close: the calls of this round were stopped close to where they remove their group, on both sides
 * @rounds: so many of these in which all handles were half made groups'
 * @waiting: so many that were stopped until their handle was a half made group's
 * @wrong: of these, those that removed that
 */
struct reuse {
	struct maker maker;
	uint32_t handle[HANDLES];
	struct actor first[HANDLES], second[HANDLES], creator[HANDLES], keeper;
	atomic_bool keep;
	struct aim aim;
	bool close;
	unsigned int rounds, waiting, wrong;
};

static struct reuse reuse;

static void call_keep(struct actor *actor)
{
	(void)actor;
	while (reuse.keep)
		;
}

/*
 * Of the calls of a round the first @early were stopped before they had removed their group, if each takes
 * as long as the others. Nothing is seen of the place in between but that, so the next round is around it.
 */
static void aim_adjust(struct aim *aim, unsigned int early)
{
	aim->ns += ((int64_t)early - HANDLES / 2) * aim->spacing;
	if (early == 0 || early == HANDLES)
		aim->spacing *= 2;
	else
		aim->spacing /= 2;
	if (aim->spacing < SPACING_MIN_NS)
		aim->spacing = SPACING_MIN_NS;
	if (aim->spacing > SPACING_NS)
		aim->spacing = SPACING_NS;
	if (aim->ns < 0 || aim->ns > AIM_MAX_NS)
		aim->ns = 0;
}

/* Groups for all handles. Those that creators have made are taken over. */
static int reuse_prepare(struct race *race)
{
	uint32_t there[2 * HANDLES];
	unsigned int i, j, count = 0;
	int ret = 0;

	for (i = 0; i < 2 * HANDLES; i++) {
		uint32_t handle = i < HANDLES ? reuse.handle[i] : reuse.creator[i - HANDLES].handle;

		for (j = 0; j < count && there[j] != handle; j++)
			;
		if (handle && j == count && !group_look(race, handle))
			there[count++] = handle;
	}
	for (; !ret && count > HANDLES; count--)
		ret = group_drop(race, there[count - 1]);
	for (; !ret && count < HANDLES; count++)
		ret = group_make(race, race->lab.vm[1].vm, &there[count]);
	for (i = 0; i < HANDLES; i++) {
		reuse.handle[i] = reuse.first[i].handle = reuse.second[i].handle = there[i];
		reuse.creator[i].handle = 0;
	}
	return ret ? fail(ret, "groups for a round") : 0;
}

/* Until all that were started have ended their calls or wait for a lock. */
static bool all_decided(struct actor *actors)
{
	unsigned int i, run;

	for (run = 0; run < RUNS; run++) {
		sleep_ns(RUN_NS);
		for (i = 0; i < HANDLES; i++)
			if (actors[i].busy && actors[i].inside && !is_waiting(&actors[i]))
				break;
		if (i == HANDLES)
			return true;
	}
	return false;
}

static int stop_first(void)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < HANDLES; i++) {
		int64_t ns = reuse.aim.ns + ((int64_t)i - HANDLES / 2) * reuse.aim.spacing;

		ret = actor_stop_after(&reuse.first[i], ACTOR, ns > 0 ? ns : 0);
		ret = ret ?: set_priority(reuse.first[i].tid, FROZEN);
	}
	return ret;
}

static int start_all(struct actor *actors, bool *decided)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < HANDLES; i++)
		ret = actor_start(&actors[i], ACTOR);
	*decided = !ret && all_decided(actors);
	return ret;
}

static void aim_anew(void)
{
	unsigned int i, early = 0;

	for (i = 0; i < HANDLES; i++)
		early += reuse.second[i].inside || reuse.second[i].ret != -EINVAL;
	reuse.close = reuse.aim.spacing == SPACING_MIN_NS && early > 0 && early < HANDLES;
	aim_adjust(&reuse.aim, early);
}

/*
 * While the scheduler's lock is held: what the first calls have not removed the second ones do; all
 * handles are given anew; then the first ones go on.
 */
static int reuse_handles(bool *half)
{
	bool decided;
	unsigned int i;
	int ret = start_all(reuse.second, &decided);

	*half = decided;
	if (decided) {
		aim_anew();
		ret = start_all(reuse.creator, half);
	}
	for (i = 0; !ret && i < HANDLES; i++) {
		reuse.first[i].released = true;
		ret = set_priority(reuse.first[i].tid, ACTOR);
	}
	*half = !ret && *half && all_decided(reuse.first) && is_waiting(&reuse.maker.blocker);
	return ret;
}

static int finish(struct actor *actor)
{
	return actor->busy ? actor_finish(actor, ACTOR) : 0;
}

static bool is_a_creators(uint32_t handle)
{
	unsigned int i;

	for (i = 0; i < HANDLES; i++)
		if (!reuse.creator[i].ret && reuse.creator[i].handle == handle)
			return true;
	return false;
}

static int reuse_round(struct race *race)
{
	bool blocked, half = false;
	unsigned int starter, i;
	int ret = reuse_prepare(race);

	race->lab.group_count = 0;
	reuse.close = false;
	reuse.maker.rounds++;
	ret = ret ?: lab_group(&race->lab, 1, PANTHOR_GROUP_PRIORITY_MEDIUM, &starter);
	ret = ret ?: block(race, &reuse.maker, starter, &blocked);
	if (ret)
		return ret;
	if (blocked) {
		reuse.maker.blocked++;
		reuse.keep = true;
		ret = actor_start(&reuse.keeper, KEEPER);
		ret = ret ?: stop_first();
		ret = ret ?: reuse_handles(&half);
		reuse.keep = false;
		ret = ret ?: finish(&reuse.keeper);
	}
	ret = ret ?: finish(&reuse.maker.blocker);
	for (i = 0; !ret && i < HANDLES; i++)
		ret = finish(&reuse.first[i]) ?: finish(&reuse.second[i]) ?:
		      finish(&reuse.creator[i]);
	half = !ret && half;
	reuse.rounds += half && reuse.close;
	for (i = 0; half && i < HANDLES; i++) {
		bool given = !reuse.second[i].ret && is_a_creators(reuse.handle[i]);

		reuse.waiting += given && reuse.close;
		reuse.wrong += given && !reuse.first[i].ret;
	}
	return ret ?: group_drop(race, race->lab.group[0].handle);
}

int race_reuse(struct race *race)
{
	int64_t deadline = now_us() + race->limit_ms * 1000LL;
	unsigned int i, wanted = race->count ?: 10;
	int ret;

	reuse.aim.spacing = SPACING_NS;
	ret = maker_create(race, &reuse.maker);
	ret = ret ?: actor_create(race, &reuse.keeper, call_keep);
	for (i = 0; !ret && i < HANDLES; i++) {
		ret = actor_create(race, &reuse.first[i], call_destroy);
		ret = ret ?: actor_create(race, &reuse.second[i], call_destroy);
		ret = ret ?: actor_create(race, &reuse.creator[i], call_create);
	}
	while (!ret && !reuse.wrong && reuse.rounds < wanted && now_us() < deadline)
		ret = reuse_round(race);
	maker_tell(&reuse.maker);
	out("# rounds close to the place with all half made %u, calls stopped meanwhile %u\n",
	    reuse.rounds, reuse.waiting);
	out("# destroyed %u\n# aim %lld ns, spacing %lld ns\n# info struck=%u\n", reuse.wrong,
	    (long long)reuse.aim.ns, (long long)reuse.aim.spacing, reuse.waiting);
	return ret || !reuse.wrong ? ret :
	       fail(-EIO, "GROUP_DESTROY destroyed a group that was half made");
}

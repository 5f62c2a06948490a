// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Mode reuse: GROUP_DESTROY is interrupted, its group destroyed by another call, and the handle given to a group that
 * is half made.
 */

#include "gpu-race-half.h"

#include <errno.h>

#include "ktap.h"

#define HANDLES		24u
#define RUN_NS		3000000	/* for HANDLES actors, one after the other */
#define RUNS		20u	/* so often at most */
#define SPACING_NS	4096	/* between the moments at which the calls of a round are stopped */
#define SPACING_MIN_NS	48	/* six instructions in exact time; the window is of some thirty */
#define AIM_MAX_NS	2000000

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

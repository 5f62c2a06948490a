// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How soon a new job starts though all slots are busy: of a higher priority, of a group that was idle.
 */

#include "gpu-sched.h"

#include <errno.h>

#include "ktap.h"

#define TRIES		10
#define SOON_MS		250	/* some ticks of 10 ms each, in the best of TRIES */
#define ROUNDS		12
#define UNEVEN_US	700	/* more at each round: no fraction of a tick */

/* The best of several tries is within a few ticks; a busy host makes the others late. */
static int soon(int64_t best_us, const char *what)
{
	out("# info best_latency_us=%lld\n", (long long)best_us);
	if (best_us > SOON_MS * 1000LL)
		return fail(0, "%s only after %lld us, in the best of %u tries", what,
			    (long long)best_us, TRIES);
	return 0;
}

/* All slots are busy with groups of lower priority; @g starts nevertheless. @took_us: until it did. */
static int preempt(struct lab *lab, unsigned int g, uint32_t syncobj, int64_t *took_us)
{
	uint32_t before = *lab_counter(lab, g);
	int64_t begin = now_us();
	int ret;

	ret = lab_count(lab, g, syncobj);
	if (!ret)
		ret = lab_wait_count(lab, g, before);
	*took_us = now_us() - begin;
	*lab_gate(lab, g) = 1;
	return ret ?: lab_expect(lab, syncobj, 1, "the job of higher priority");
}

/* One more group of @low than there are slots, all busy. */
static int crowd(struct lab *lab, uint8_t low, uint32_t *syncobj)
{
	int ret = lab_crowd(lab, 1, low, syncobj);

	return ret ?: lab_count_all(lab, 0, syncobj) ?: lab_wait_all(lab, 0);
}

static int join(struct lab *lab, uint8_t priority, uint32_t *syncobj, unsigned int *g)
{
	int ret = lab_group(lab, 0, priority, g);

	return ret ?: gpu_syncobj_create(&lab->gpu, &syncobj[*g]);
}

static int over_busy_groups(uint8_t low, uint8_t high, const char *name)
{
	int64_t took_us = 0, best_us = INT64_MAX;
	uint32_t syncobj[LAB_GROUPS] = { 0 };
	unsigned int g, i;
	struct lab lab;
	int ret = crowd(&lab, low, syncobj);

	if (!ret)
		ret = join(&lab, high, syncobj, &g);
	for (i = 0; !ret && i < TRIES && best_us > SOON_MS * 1000LL; i++) {
		ret = preempt(&lab, g, syncobj[g], &took_us);
		if (took_us < best_us)
			best_us = took_us;
	}
	if (!ret)
		ret = soon(best_us, name);
	ret = lab_open_all(&lab, 0, syncobj, ret);
	lab_release(&lab);
	return ret;
}

/*
 * While groups take turns, one of high priority waits for the next tick, a realtime one does not. Who asks does so at
 * ever other times between two ticks.
 */
static int before_the_tick(void)
{
	static const uint8_t priorities[] = { PRIORITY_HIGH, PRIORITY_REALTIME };
	int64_t took_us = 0, total_us[2] = { 0 };
	uint32_t syncobj[LAB_GROUPS] = { 0 };
	unsigned int g[2], i, which;
	struct lab lab;
	int ret = crowd(&lab, PRIORITY_MEDIUM, syncobj);

	for (i = 0; !ret && i < 2; i++)
		ret = join(&lab, priorities[i], syncobj, &g[i]);
	for (i = 0; !ret && i < 2 * ROUNDS; i++) {
		which = i % 2;
		sleep_us(i * UNEVEN_US);
		ret = preempt(&lab, g[which], syncobj[g[which]], &took_us);
		total_us[which] += took_us;
	}
	out("# info high_us=%lld\n# info realtime_us=%lld\n", (long long)total_us[0] / ROUNDS,
	    (long long)total_us[1] / ROUNDS);
	ret = lab_open_all(&lab, 0, syncobj, ret);
	lab_release(&lab);
	return ret;
}

int sched_priority(void)
{
	int ret;

	ktap_start(2);
	ret = sched_lower_waits();
	ktap_result(1, !ret, "a lower priority waits, and goes on later", last_error());
	if (!ret)
		ret = over_busy_groups(PRIORITY_LOW, PRIORITY_MEDIUM,
				       "a group of higher priority started");
	ktap_result(2, !ret, "a higher priority starts although all slots are busy", last_error());
	return ret ? 1 : 0;
}

int sched_realtime(void)
{
	struct lab lab;
	unsigned int g;
	int ret;

	ktap_start(2);
	ret = lab_create(&lab, 1);
	if (!ret)
		ret = lab_group(&lab, 0, PRIORITY_REALTIME, &g);
	if (ret == -EINVAL || ret == -EACCES || ret == -EPERM) {
		ktap_result(1, true, "realtime # SKIP this kernel grants no such priority", "");
		ktap_result(2, true, "no tick # SKIP this kernel grants no such priority", "");
		return 0;
	}
	lab_release(&lab);
	if (!ret)
		ret = over_busy_groups(PRIORITY_MEDIUM, PRIORITY_REALTIME,
				       "a realtime group started");
	ktap_result(1, !ret, "a realtime group starts although all slots are busy", last_error());
	if (!ret)
		ret = before_the_tick();
	ktap_result(2, !ret, "how long it waits, and one of high priority", last_error());
	return ret ? 1 : 0;
}

/* The group had a job before, so it is known and idle; the others then took all slots. */
int sched_wake(void)
{
	uint32_t syncobj[LAB_GROUPS] = { 0 };
	struct lab_submit how = { 0 };
	int64_t best_us = INT64_MAX;
	struct lab lab;
	unsigned int g, i;
	int ret;

	ktap_start(1);
	ret = lab_crowd(&lab, 2, PRIORITY_MEDIUM, syncobj);
	for (g = 0; !ret && g < lab.group_count; g++) {
		how.signals = syncobj[g];
		ret = lab_store(&lab, g, 0, g, &how) ?: lab_expect(&lab, how.signals, 1, "a job before");
	}
	ret = ret ?: lab_count_all(&lab, 1, syncobj) ?: lab_wait_all(&lab, 1);
	how.signals = syncobj[0];
	for (i = 0; !ret && i < TRIES && best_us > SOON_MS * 1000LL; i++) {
		int64_t begin = now_us();

		ret = lab_store(&lab, 0, 1, 0xa0000000 + i, &how);
		if (!ret)
			ret = lab_expect(&lab, how.signals, 1, "a new job of an idle group");
		if (!ret && now_us() - begin < best_us)
			best_us = now_us() - begin;
		if (!ret && *lab_result(&lab, 0, 1) != 0xa0000000 + i)
			ret = fail(0, "fence status 1, but memory is 0x%08x", *lab_result(&lab, 0, 1));
	}
	if (!ret)
		ret = soon(best_us, "a new job of an idle group ended");
	ret = lab_open_all(&lab, 0, syncobj, ret);
	ktap_result(1, !ret, "a new job of an idle group runs although all slots are busy",
		    last_error());
	return ret ? 1 : 0;
}

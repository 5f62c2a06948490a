// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Calls that are refused must not cost memory for good.
 *
 * A call loses memory if what is held grows with the calls: by half of the smallest object for each, in a
 * turn, in one four times as long, and in two that are twice as long. Whatever else the kernel does
 * meanwhile does not know how often the call is made, and what grows until it is large enough (workers that
 * free, page tables of what is not freed yet) has done so in the longest turn. Half, because free places in slabs that are not full hide some:
 * so a turn must not be short, either.
 */

#include <stdlib.h>

#include "gpu-uapi.h"
#include "held.h"
#include "ktap.h"

#define OBJECT			64u	/* bytes: the least that is to be seen, if every call loses it */
#define TOGETHER		16u	/* kinds of calls in a first turn */
#define TOGETHER_MS		100
#define BACKLOG			64u	/* groups to be freed */
#define HIRED			32u	/* turns in which the kernel may get workers */
#define CALLS			256u	/* the most kinds of calls */

/**
 * struct probe - A call whose memory is watched
 * @make: makes it once; false: it did not do what it must
 */
struct probe {
	bool (*make)(struct uapi *u, const struct wrong *w);
	struct wrong wrong;
};

static struct probe probes[CALLS];
static unsigned int probe_count;

static bool is_refused(struct uapi *u, const struct wrong *w)
{
	return gpu_refusal(uapi_call(u, w));
}

static bool is_kept(struct uapi *u, const struct wrong *w)
{
	uint32_t syncobj;

	(void)w;
	return !gpu_syncobj_create(&u->gpu, &syncobj);
}

/*
 * What gets as far as a group takes ten times as long, and the group is freed by a worker, which waits for
 * RCU (7.3.4): the kernel gets more and more workers, up to some hundreds, and they stay. What these calls
 * lose is large, a group or a queue, but the noise of one turn is as large as that of a turn of all of them:
 * so they take turns, and each is made alone only if something is lost for good.
 */
static bool heavy(const struct probe *probe)
{
	const struct wrong *w = &probe->wrong;

	return w->make == make_GROUP_CREATE &&
	       (w->offset == offsetof(struct call, arg.group.vm_id) ||
		(w->offset >= offsetof(struct call, queue) && w->offset < offsetof(struct call, op)));
}

/* In KiB; half of the objects, for pages that were not full before. What is heavy has a noise of up to 170 KiB. */
static long tolerable(const struct probe *probe, unsigned int calls)
{
	return (long)calls * (heavy(probe) ? 2 * OBJECT : OBJECT) / 2 / 1024;
}

/* So many calls, of @kinds in turn. */
static bool made(struct uapi *u, const struct probe *probe, unsigned int kinds, unsigned int calls)
{
	unsigned int i;

	for (i = 0; i < calls && probe[i % kinds].make(u, &probe[i % kinds].wrong); i++)
		if (heavy(probe) && i % BACKLOG == 0)
			held_pause();
	return i == calls;
}

/* Whether every one of @turns loses something; the first that does not is the last. */
static bool loses(struct uapi *u, const struct probe *probe, unsigned int kinds,
		  const struct held_turn *turns, unsigned int count)
{
	unsigned int i = 0, hired = 0;

	while (i < count) {
		unsigned int calls = u->calls / (heavy(probe) ? 2 : 1) * turns[i].times;
		long before = held_kib(), stacks = held_stacks(), lost;

		if (!made(u, probe, kinds, calls)) {
			fail(0, "not the same answer every time");
			return true;
		}
		lost = held_more(before, tolerable(probe, calls), turns[i].settle_ms);
		if (lost <= tolerable(probe, calls))
			return false;
		u->turns++;
		fail(0, "%u calls lose %ld KiB", calls, lost);
		/* Then it tells nothing: again, until there are as many workers as it takes. */
		if (held_stacks() <= stacks || hired++ >= HIRED)
			i++;
	}
	return true;
}

/* The last turn is patient beyond the 5 s that RCU lets some objects wait. */
static bool loses_for_good(struct uapi *u, const struct probe *probe, unsigned int kinds)
{
	static const struct held_turn turns[] = { { 1, 100 }, { 4, 300 }, { 2, 1000 }, { 2, 6000 } };

	return loses(u, probe, kinds, turns, sizeof(turns) / sizeof(turns[0]));
}

static unsigned int together(unsigned int first)
{
	unsigned int end = first;

	while (end < probe_count && end - first < TOGETHER && heavy(&probes[end]) == heavy(&probes[first]))
		end++;
	return end;
}

static bool lose_nothing(struct uapi *u, unsigned int first, unsigned int end)
{
	const long most = tolerable(&probes[first], u->calls);
	bool right = true;
	unsigned int i;
	long before;

	if (heavy(&probes[first]))
		return !loses_for_good(u, &probes[first], end - first);
	before = held_kib();
	for (i = first; right && i < end; i++)
		right = made(u, &probes[i], 1, u->calls);
	return right && held_more(before, most, TOGETHER_MS) <= most;
}

static unsigned int judge_some(struct uapi *u, unsigned int first)
{
	unsigned int i, end = together(first);
	bool right = lose_nothing(u, first, end);

	u->alone += right ? 0 : end - first;
	for (i = first; i < end; i++)
		uapi_result(u, right || !loses_for_good(u, &probes[i], 1), probes[i].wrong.name);
	return end;
}

/* Make it once, which also gets what is got once and for all. */
static bool collect(struct uapi *u, const struct wrong *w)
{
	if (u->counting)
		return ++u->results;
	if (!is_refused(u, w)) {
		fail(0, "accepted");
		uapi_result(u, false, w->name);
		return false;
	}
	if (probe_count == CALLS)
		abort();
	probes[probe_count++] = (struct probe){ is_refused, *w };
	return true;
}

void uapi_leaks(struct uapi *u)
{
	static const struct held_turn once_more[] = { { 1, 0 }, { 2, 0 } };
	static const struct probe kept = { .make = is_kept };
	int64_t start = now_us();
	unsigned int i = 0;

	u->judge = collect;
	uapi_wrong_calls(u);
	if (u->counting) {
		u->results++;
		return;
	}
	while (i < probe_count)
		i = judge_some(u, i);
	out("# info alone=%u\n# info turns=%u\n# info ms=%lld\n", u->alone, u->turns,
	    (long long)(now_us() - start) / 1000);
	fail(0, "it was not seen");
	uapi_result(u, loses(u, &kept, 1, once_more, 2), "a syncobj that is kept is seen");
}

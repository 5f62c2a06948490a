// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who is on the GPU: shares of groups, and of those of low priority, which have none while others want it all.
 */

#include "gpu-sched.h"

#include <errno.h>
#include <string.h>

#include "ktap.h"

#define SAMPLE_US	4000
#define SAMPLES		40	/* in which the GPU did something, before the shares are looked at */
#define WATCH_MS	3000	/* a job may last 5 s */
#define FAIR		60	/* per cent of the largest share: no need to look longer */
#define UNFAIR		35	/* even a busy host does not get there, given so much time */

/**
 * struct shares - Which groups made progress when
 * @samples: in which any group made progress
 * @active: of these, those in which the group did
 * @counted: by how much its counter grew
 */
struct shares {
	unsigned int samples;
	unsigned int active[LAB_GROUPS];
	uint32_t counted[LAB_GROUPS];
};

static void sample(struct lab *lab, uint32_t *counts, struct shares *shares)
{
	bool any = false;
	unsigned int g;

	for (g = 0; g < lab->group_count; g++) {
		uint32_t now = *lab_counter(lab, g);

		if (now != counts[g]) {
			shares->active[g]++;
			shares->counted[g] += now - counts[g];
			any = true;
		}
		counts[g] = now;
	}
	shares->samples += any;
}

static unsigned int least_percent(const struct lab *lab, const struct shares *shares)
{
	uint32_t least = UINT32_MAX, most = 1;
	unsigned int g;

	for (g = 0; g < lab->group_count; g++) {
		if (shares->counted[g] < least)
			least = shares->counted[g];
		if (shares->counted[g] > most)
			most = shares->counted[g];
	}
	return 100ULL * least / most;
}

/* Watch until the GPU has worked in @samples samples, and then until the shares are within @fair per cent. */
static int watch(struct lab *lab, unsigned int samples, unsigned int fair, struct shares *shares)
{
	int64_t deadline = now_us() + WATCH_MS * 1000LL;
	uint32_t counts[LAB_GROUPS];
	unsigned int g;

	memset(shares, 0, sizeof(*shares));
	for (g = 0; g < lab->group_count; g++)
		counts[g] = *lab_counter(lab, g);
	while (shares->samples < samples || least_percent(lab, shares) < fair) {
		if (now_us() > deadline)
			break;
		sleep_us(SAMPLE_US);
		sample(lab, counts, shares);
	}
	if (shares->samples < samples)
		return fail(-ETIME, "the GPU worked in only %u of %u samples in %u ms",
			    shares->samples, samples, WATCH_MS);
	return 0;
}

static void tell(const struct lab *lab, const struct shares *shares)
{
	unsigned int g;

	for (g = 0; g < lab->group_count; g++)
		out("# group %u: on the GPU in %u of %u samples, counted %u\n", g,
		    shares->active[g], shares->samples, shares->counted[g]);
}

static int judge_fair(const struct lab *lab, const struct shares *shares)
{
	unsigned int percent = least_percent(lab, shares);

	tell(lab, shares);
	out("# info least_share_percent=%u\n", percent);
	return percent < UNFAIR ?
	       fail(0, "the least of equal groups got %u %% of what the most got", percent) : 0;
}

/* @by_space: there are @more groups than address spaces, not slots. */
static int share(unsigned int vms, unsigned int more, bool by_space, const char *name)
{
	uint32_t syncobj[LAB_GROUPS];
	struct shares shares;
	struct lab lab;
	int ret;

	ktap_start(2);
	ret = lab_create(&lab, vms);
	if (!ret)
		ret = lab_groups(&lab, (by_space ? lab.spaces : lab.slots) + more,
				 PRIORITY_MEDIUM);
	ret = ret ?: lab_syncobjs(&lab, syncobj, lab.group_count) ?: lab_count_all(&lab, 0, syncobj);
	ret = ret ?: lab_wait_all(&lab, 0);
	ktap_result(1, !ret, "every group makes progress", last_error());
	if (!ret)
		ret = watch(&lab, SAMPLES, FAIR, &shares);
	if (!ret)
		ret = judge_fair(&lab, &shares);
	ret = lab_open_all(&lab, 0, syncobj, ret);
	ktap_result(2, !ret, name, last_error());
	return ret ? 1 : 0;
}

/* Half as many more than slots, so that each is out for several ticks. */
int sched_fair(void)
{
	return share(1, 4, false, "shares are equal");
}

int sched_spaces(void)
{
	return share(LAB_VMS, 3, true, "shares are equal over more VMs than address spaces");
}

/* Groups of low priority have to wait while others fill the slots, and go on when one of these ends. */
int sched_lower_waits(void)
{
	uint32_t syncobj[LAB_GROUPS];
	struct shares shares;
	struct lab lab;
	unsigned int g;
	int ret;

	ret = lab_create(&lab, 1);
	if (!ret)
		ret = lab_groups(&lab, lab.slots, PRIORITY_MEDIUM);
	if (!ret)
		ret = lab_groups(&lab, 2, PRIORITY_LOW);
	ret = ret ?: lab_syncobjs(&lab, syncobj, lab.group_count) ?: lab_count_all(&lab, 0, syncobj);
	for (g = 0; !ret && g < lab.slots; g++)
		ret = lab_wait_count(&lab, g, 0);
	if (!ret)
		ret = watch(&lab, SAMPLES / 2, 0, &shares);
	for (g = lab.slots; !ret && g < lab.group_count; g++)
		if (shares.counted[g])
			ret = fail(0, "group %u of low priority ran beside %u of medium priority", g,
				   lab.slots);
	*lab_gate(&lab, 0) = 1;
	if (!ret)
		ret = lab_expect(&lab, syncobj[0], 1, "the job of medium priority");
	ret = ret ?: lab_wait_all(&lab, lab.slots);
	ret = lab_open_all(&lab, 0, syncobj, ret);
	lab_release(&lab);
	return ret;
}

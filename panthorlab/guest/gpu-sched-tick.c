// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The scheduler's tick itself. Its only sign outside the driver is that the firmware answers with
 * an interrupt: each tick asks for the status of every group in a slot.
 */

#include "gpu-sched.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ktap.h"

#define WINDOW_MS	200
#define STILL		4	/* a ping, an event */
#define WINDOWS		5
#define TICKS		16	/* for which a guest that is hardly let run has one and a half seconds */
#define TICKS_MS	1500

static unsigned int ticks_seen;

/* Interrupts of the job line since boot, over all processors. */
int sched_interrupts(uint64_t *count)
{
	FILE *file = fopen("/proc/interrupts", "re");
	char line[1024];
	int ret = -ENOENT;

	if (!file)
		return fail(-errno, "open /proc/interrupts");
	*count = 0;
	while (fgets(line, sizeof(line), file)) {
		char *at = strchr(line, ':');
		char *end;

		if (!at || !strstr(line, "panthor-job"))
			continue;
		ret = 0;
		for (at++;; at = end) {
			unsigned long long value = strtoull(at, &end, 10);

			if (end == at || *end != ' ')
				break;
			*count += value;
		}
	}
	fclose(file);
	return ret ? fail(ret, "no panthor-job in /proc/interrupts") : 0;
}

static int grown(uint64_t since, uint64_t *by)
{
	int ret = sched_interrupts(by);

	*by -= since;
	return ret;
}

/* Each tick makes at least one interrupt. How long so many take is told. */
static int expect_ticks(const char *when)
{
	const int64_t start = now_us(), deadline = start + TICKS_MS * 1000LL;
	uint64_t since, by = 0;
	int ret = sched_interrupts(&since);

	while (!ret && by < TICKS) {
		if (now_us() > deadline)
			ret = fail(0, "%s there were only %llu interrupts in %u ms: no tick", when,
				   (unsigned long long)by, TICKS_MS);
		else
			sleep_us(5000);
		if (!ret)
			ret = grown(since, &by);
	}
	if (!ret)
		out("# info ticks%u_us=%lld\n", ticks_seen++, (long long)(now_us() - start));
	return ret;
}

/* There is a window without a tick; what went before may need some time to end. */
static int expect_still(const char *when)
{
	uint64_t since, by = 0;
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < WINDOWS; i++) {
		ret = sched_interrupts(&since);
		sleep_us(WINDOW_MS * 1000);
		if (!ret)
			ret = grown(since, &by);
		if (!ret && by <= STILL)
			return 0;
	}
	return ret ?: fail(0, "%s there were %llu interrupts in %u ms: it goes on ticking", when,
			   (unsigned long long)by, WINDOW_MS);
}

static int stored(struct lab *lab, unsigned int g, uint32_t syncobj)
{
	struct lab_submit how = { .signals = syncobj };
	int ret = lab_store(lab, g, 0, g, &how);

	return ret ?: lab_expect(lab, syncobj, 1, "a job");
}

static int holding(struct lab *lab, unsigned int g, uint32_t syncobj)
{
	uint32_t before = *lab_counter(lab, g);
	int ret = lab_hold(lab, g, syncobj);

	return ret ?: lab_wait_count(lab, g, before);
}

static int ended(struct lab *lab, unsigned int g, uint32_t syncobj)
{
	*lab_gate(lab, g) = 1;
	return lab_expect(lab, syncobj, 1, "a job that lasted");
}

/* Group 1 is the second busy one of its priority, first as a new group, then as an idle one in a slot. */
int sched_tick(void)
{
	uint32_t syncobj[2];
	unsigned int g, failed = 0;
	struct lab lab;
	int ret, ticks;

	ktap_start(4);
	ret = lab_create(&lab, 1);
	if (!ret)
		ret = lab_groups(&lab, 2, PRIORITY_MEDIUM);
	if (!ret)
		ret = lab_syncobjs(&lab, syncobj, 2);
	if (!ret)
		ret = holding(&lab, 0, syncobj[0]);
	if (!ret)
		ret = expect_still("with one busy group");
	ktap_result(1, !ret, "no tick for one group", last_error());
	if (!ret)
		ret = holding(&lab, 1, syncobj[1]);
	ticks = ret ?: expect_ticks("with two busy groups");
	failed += ticks != 0;
	ktap_result(2, !ticks, "ticks for two groups of one priority", last_error());

	/* Also if that was wrong: what follows is another thing. */
	if (!ret)
		ret = ended(&lab, 1, syncobj[1]);
	if (!ret)
		ret = stored(&lab, 1, syncobj[1]);
	if (!ret)
		ret = expect_still("with one busy and one idle group");
	ktap_result(3, !ret, "no tick when one of them has become idle", last_error());
	if (!ret)
		ret = holding(&lab, 1, syncobj[1]);
	ticks = ret ?: expect_ticks("with a new job for an idle group in a slot");
	failed += ticks != 0;
	ktap_result(4, !ticks, "ticks again for a new job", last_error());
	for (g = 0; !ret && g < 2; g++)
		ret = ended(&lab, g, syncobj[g]);
	return ret || failed;
}

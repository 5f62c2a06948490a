// SPDX-License-Identifier: GPL-2.0-or-later
/* Modes busy, ahead, held, events and drowsy: processes use the GPU meanwhile, or only hold what they have on it. */

#define _GNU_SOURCE
#include "gpu-bind.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <unistd.h>

#include "irqs.h"
#include "ktap.h"
#include "sentinel.h"
#include "util.h"

#define CLIENTS			3u
#define STORM_INTERRUPTS	20u
#define DROWSY_MS		30	/* less than a mapping call takes when an address space is slow */

/* ---- busy: unbound while processes use the GPU; held: while they only hold what they have on it ---- */

/* While it runs, no worker of the kernel does, only interrupts: what they queue meanwhile comes when the GPU is gone. */
static int unbind_first(const struct bind *b)
{
	const struct sched_param first = { .sched_priority = 10 }, usual = { 0 };
	pid_t pid;
	int ret;

	if (sched_setscheduler(0, SCHED_FIFO, &first))
		return fail(-errno, "sched_setscheduler");
	ret = driver_unbind(b);
	/* Another address space in between, so that the processor knows no more of what was unmapped. */
	pid = fork();
	if (!pid)
		_exit(0);
	if (pid > 0)
		wait_for_child(pid);
	sched_setscheduler(0, SCHED_OTHER, &usual);
	return ret;
}

static int used_rounds(struct bind *b, enum use use)
{
	pid_t pid[CLIENTS] = { 0 };
	unsigned int i;
	int ret = 0;

	ktap_start(1);
	for (i = 0; !ret && i < b->count; i++) {
		ret = start_processes(pid, CLIENTS, use);
		sleep_us(i % 8 * 1500);
		ret = ret ?: (use == AHEAD ? unbind_first(b) : driver_unbind(b)) ?: driver_lines(b, false);
		if (i % 2)	/* who was there before it was unbound leaves before, or after, it is bound again */
			kill_processes(pid, CLIENTS);
		ret = ret ?: driver_bind(b) ?: driver_lines(b, true) ?: sentinel_job();
		if (i % 2 == 0)
			kill_processes(pid, CLIENTS);
		ret = ret ?: works(b);
	}
	ktap_check(ret, "rebind while it is used");
	return ktap_status();
}

int bind_busy(struct bind *b)
{
	return used_rounds(b, BUSY);
}

int bind_ahead(struct bind *b)
{
	return used_rounds(b, AHEAD);
}

int bind_held(struct bind *b)
{
	return used_rounds(b, HELD);
}

/* ---- events: unbound while the firmware sends one event after the other ---- */

/* Interrupts of the firmware since boot. */
static uint64_t job_interrupts(const struct bind *b)
{
	char place[PATH_MAX];
	uint64_t count = 0;

	device_place(b, place);
	device_interrupts(place, "panthor-job", &count);
	return count;
}

static int storm_round(struct bind *b)
{
	uint64_t before, storm;
	int64_t deadline;
	pid_t pid = -1;
	int ret = start_processes(&pid, 1, STORM);

	before = job_interrupts(b);
	deadline = now_us() + REVIVE_MS * 1000LL;
	while (!ret && (storm = job_interrupts(b) - before) < STORM_INTERRUPTS)
		if (now_us() > deadline)
			ret = fail(0, "only %llu events in %u ms", (unsigned long long)storm, REVIVE_MS);
	ret = ret ?: unbind_first(b) ?: driver_lines(b, false);
	kill_processes(&pid, 1);
	return ret ?: driver_bind(b) ?: works(b);
}

int bind_events(struct bind *b)
{
	unsigned int i;
	int ret = 0;

	ktap_start(1);
	for (i = 0; !ret && i < b->count; i++)
		ret = storm_round(b);
	ktap_check(ret, "rebind while events come in");
	return ktap_status();
}

/* ---- drowsy: unbound at the moment when the GPU goes to sleep ---- */

/*
 * The last job ends, and the GPU is to go to sleep DROWSY_MS later. Before, it is unplugged, which takes longer than
 * that if a mapping call does.
 */
static int drowsy_round(struct bind *b, unsigned int round)
{
	pid_t pid = -1;
	int ret = set_autosuspend(b, DROWSY_MS) ?: start_processes(&pid, 1, MAPPING);

	sleep_us(round % 4 * DROWSY_MS * 1000 / 4);
	ret = ret ?: driver_unbind(b) ?: driver_lines(b, false);
	kill_processes(&pid, 1);
	return ret ?: driver_bind(b) ?: works(b);
}

int bind_drowsy(struct bind *b)
{
	unsigned int i;
	int ret = 0;

	ktap_start(1);
	for (i = 0; !ret && i < b->count; i++)
		ret = drowsy_round(b, i);
	ktap_check(ret, "rebind on the way to sleep");
	return ktap_status();
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A tick that is due at once must not be put off by one that is due later: VM_DESTROY waits for it,
 * and takes the memory from under a group that is still in its slot.
 *
 * All slots are used, one group is busy, the others are idle: the tick is off. A new job for an idle
 * one is about to start the tick, and GROUP_DESTROY asks for one at once. The thread that does both is
 * a realtime one, so that the driver's work begins only when VM_DESTROY waits for it.
 */

#define _GNU_SOURCE
#include "gpu-sched.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ktap.h"

#define EVICTIONS	6u
#define EVICT_MS	3500	/* the busy group's job may last 5 s */
#define SETTLE_US	20000
#define REG_HEAP	20

static int realtime(int policy)
{
	struct sched_param param = { .sched_priority = policy == SCHED_FIFO };

	return sched_setscheduler(0, policy, &param) ? fail(-errno, "sched_setscheduler") : 0;
}

/*
 * Let the kernel's unbound workers, of which the driver's work needs two, run in @policy. One of
 * SCHED_BATCH that is woken does not take the processor from one that runs: the driver then does one
 * thing after the other, in the order in which it was asked to.
 */
static int workers(int policy)
{
	struct sched_param param = { 0 };
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	unsigned int found = 0;

	if (!proc)
		return fail(-errno, "open /proc");
	while ((entry = readdir(proc))) {
		char path[300], name[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		file = *entry->d_name < '1' || *entry->d_name > '9' ? NULL : fopen(path, "re");
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file) && !strncmp(name, "kworker/u", 9) &&
		    !sched_setscheduler(atoi(entry->d_name), policy, &param))
			found++;
		fclose(file);
	}
	closedir(proc);
	return found ? 0 : fail(-ENOENT, "no unbound worker of the kernel");
}

/* A group in a slot, idle, whose firmware has a heap context to write back. */
static int victim(struct lab *lab, uint64_t *context_va)
{
	struct lab_submit how = { 0 };
	struct gpu_heap heap;
	uint64_t va;
	struct cs cs;
	int ret;

	ret = lab_create(lab, 1);
	if (!ret)
		ret = lab_groups(lab, 1, PRIORITY_MEDIUM);
	if (!ret)
		ret = gpu_heap_create(&lab->gpu, lab->vm[0].vm, 1, 128 * 1024, 4, &heap);
	if (!ret)
		ret = gpu_syncobj_create(&lab->gpu, &how.signals);
	if (ret)
		return ret;
	*context_va = heap.context_va;
	cs = lab_stream(lab, 0, &va);
	cs_move48(&cs, REG_HEAP, heap.context_va);
	cs_heap_set(&cs, REG_HEAP);
	lab_write_store(lab, 0, 0, 0x0ddba110, &cs);
	ret = lab_submit(lab, 0, va, &cs, &how);
	return ret ?: lab_expect(lab, how.signals, 1, "the job that binds a heap");
}

/* Wait until the driver has nothing more to do: two ticks without an interrupt. */
static int settle(void)
{
	int64_t deadline = now_us() + LAB_SETTLE_MS * 1000LL;
	uint64_t before, count;
	int ret = sched_interrupts(&count);

	do {
		before = count;
		sleep_us(SETTLE_US);
		if (!ret)
			ret = sched_interrupts(&count);
		if (!ret && now_us() > deadline)
			ret = fail(-ETIME, "interrupts for %u ms, though nothing changes", LAB_SETTLE_MS);
	} while (!ret && count != before);
	return ret;
}

static int evict(struct lab *lab, unsigned int g, uint32_t syncobj)
{
	uint32_t before = *lab_counter(lab, g);
	uint64_t context_va = 0;
	struct lab gone;
	int ret;

	ret = victim(&gone, &context_va);
	if (!ret) {
		out("# info heap_context=0x%llx\n", (unsigned long long)context_va);
		ret = settle();
	}
	if (!ret)
		ret = workers(SCHED_BATCH);
	if (!ret)
		ret = realtime(SCHED_FIFO);
	if (!ret)
		ret = lab_hold(lab, g, syncobj);
	if (!ret)
		ret = gpu_group_destroy(&gone.gpu, gone.group[0].handle);
	if (!ret)
		ret = gpu_vm_destroy(&gone.gpu, gone.vm[0].vm);
	if (!ret)
		ret = realtime(SCHED_OTHER);
	if (!ret)
		ret = workers(SCHED_OTHER);
	if (!ret)
		ret = lab_wait_count(lab, g, before);
	*lab_gate(lab, g) = 1;
	if (!ret)
		ret = lab_expect(lab, syncobj, 1, "the new job");
	lab_release(&gone);
	return ret;
}

int sched_evict(void)
{
	uint32_t syncobj[LAB_GROUPS];
	struct lab_submit how = { 0 };
	struct lab lab;
	int64_t deadline;
	unsigned int g, i;
	int ret;

	ktap_start(1);
	ret = lab_create(&lab, 1);
	if (!ret)
		ret = lab_groups(&lab, lab.slots - 1, PRIORITY_MEDIUM);
	for (g = 0; !ret && g < lab.group_count; g++) {
		ret = gpu_syncobj_create(&lab.gpu, &syncobj[g]);
		how.signals = syncobj[g];
		if (!ret)
			ret = g ? lab_store(&lab, g, 0, g, &how) : lab_hold(&lab, 0, syncobj[0]);
		if (!ret && g)
			ret = lab_expect(&lab, how.signals, 1, "a job");
	}
	deadline = now_us() + EVICT_MS * 1000LL;
	for (i = 0; !ret && i < EVICTIONS && now_us() < deadline; i++)
		ret = evict(&lab, 1 + i % (lab.group_count - 1), syncobj[1 + i % (lab.group_count - 1)]);
	out("# info evictions=%u\n", i);
	*lab_gate(&lab, 0) = 1;
	if (!ret)
		ret = lab_expect(&lab, syncobj[0], 1, "the busy group");
	ktap_result(1, !ret, "destroyed groups beside new jobs", last_error());
	return ret ? 1 : 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A mapping call is under way in a VM that the GPU does not use just now, and another VM takes over
 * its address space: what the call has locked must not be locked for the other.
 *
 * As many VMs have groups in slots as there are address spaces, less one: that one is of a VM whose
 * group is gone. A large mapping is made in it by a process that runs only when nobody else wants to;
 * meanwhile a job of one more VM needs the address space, and stores to where the mapping is made.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "client.h"
#include "cs.h"
#include "gpu-vm.h"
#include "ktap.h"

#define VMS_MAX		16u
#define CODE_VA		0x1000000ull
#define BIG_VA		0x40000000ull
#define BIG		(96ull << 20)
#define ENOUGH		2u	/* rounds in which it came true */
#define MARK		512u	/* bytes into the page of code: what the jobs store */
#define GATE		576u
#define LEAVE_US	40000	/* some ticks, until a group that is gone is out of its slot */
#define STARTED_MS	2000
#define LOOK_US		500	/* between looks at a process that runs when nobody else does, also on a debug kernel */

#define MAP	(DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC)
#define UNMAP	DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP

enum { REG_ADDR = 0, REG_OPEN = 2 };

/**
 * struct member - A VM with a page of code, and maybe a group
 * @window: a page at BIG_VA, which the first VM does not have
 */
struct member {
	uint32_t vm, group, syncobj;
	struct gpu_bo code, window;
};

/**
 * struct progress - Of the process that maps; shared with it
 */
struct progress {
	volatile bool begun, done;
	volatile int ret;
	volatile int64_t us;
};

static int bind(struct gpu *gpu, uint32_t vm, uint32_t flags, uint32_t bo, uint64_t va, uint64_t size)
{
	struct drm_panthor_vm_bind_op op = { .flags = flags, .bo_handle = bo, .va = va, .size = size };
	struct drm_panthor_vm_bind request = { .vm_id = vm, .ops = DRM_PANTHOR_OBJ_ARRAY(1, &op) };

	return GPU_IOCTL(gpu, PANTHOR_VM_BIND, &request);
}

static int make(struct gpu *gpu, struct member *member, bool windowed)
{
	int ret = gpu_vm_create(gpu, &member->vm);

	ret = ret ?: gpu_bo_create(gpu, member->vm, CODE_VA, GPU_PAGE, DRM_PANTHOR_VM_BIND_OP_MAP_UNCACHED,
				   &member->code);
	if (windowed)
		ret = ret ?: gpu_bo_create(gpu, member->vm, BIG_VA, GPU_PAGE,
					   DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC, &member->window);
	return ret ?: gpu_syncobj_create(gpu, &member->syncobj);
}

static volatile uint32_t *word(struct member *member, unsigned int at)
{
	return (volatile uint32_t *)((char *)member->code.map + at);
}

/* In a new group: mark; store through the window, if there is one; wait for the gate, if @hold. */
static int start(struct gpu *gpu, struct member *member, uint32_t mark, bool hold)
{
	struct cs cs = { .words = member->code.map, .capacity = MARK / 8 };
	struct gpu_job job = { .va = CODE_VA, .syncobj = member->syncobj };
	unsigned int loop;

	*word(member, MARK) = 0;
	*word(member, GATE) = 0;
	cs_tell(&cs, CODE_VA + MARK, mark);
	if (member->window.map && !hold)
		cs_tell(&cs, BIG_VA, mark);
	if (hold) {
		cs_move48(&cs, REG_ADDR, CODE_VA + GATE);
		loop = cs.count;
		cs_load32(&cs, REG_OPEN, REG_ADDR);
		cs_wait(&cs, CS_SB_ALL);
		cs_branch(&cs, CS_EQUAL, REG_OPEN, loop);
	}
	job.size = cs_size(&cs);
	return gpu_group_create(gpu, member->vm, 1, &member->group) ?:
	       gpu_submit(gpu, member->group, &job, 1);
}

static int marked(struct member *member, uint32_t mark)
{
	int64_t deadline = now_us() + STARTED_MS * 1000LL;

	while (*word(member, MARK) != mark) {
		if (now_us() > deadline)
			return fail(-ETIME, "a job has not begun after %u ms", STARTED_MS);
		sleep_us(200);
	}
	return 0;
}

/* The group is out of its slot, and its VM's address space up for whoever needs one. */
static int leave(struct gpu *gpu, struct member *member)
{
	int ret = gpu_group_destroy(gpu, member->group);

	sleep_us(LEAVE_US);
	return ret;
}

/* Made all at once, with as little of the processor as there is. */
static pid_t map_slowly(struct gpu *gpu, uint32_t vm, uint32_t bo, struct progress *progress)
{
	const struct sched_param param = { 0 };
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sched_setscheduler(0, SCHED_IDLE, &param);
	progress->begun = true;
	progress->us = -now_us();
	progress->ret = bind(gpu, vm, MAP, bo, BIG_VA, BIG);
	progress->us += now_us();
	progress->done = true;
	_exit(0);
}

/* 1: the other VM's job began while the mapping was being made. */
static int take(struct gpu *gpu, struct member *first, struct member *last, uint32_t big,
		struct progress *progress, uint32_t mark)
{
	int64_t deadline = now_us() + STARTED_MS * 1000LL;
	bool meanwhile = false;
	int ret;
	pid_t pid;

	*progress = (struct progress){ 0 };
	ret = start(gpu, first, mark, false) ?: marked(first, mark) ?: leave(gpu, first);
	if (ret)
		return ret;
	pid = map_slowly(gpu, first->vm, big, progress);
	if (pid < 0)
		return fail(-errno, "fork");
	while (!progress->begun) {
		if (now_us() > deadline)
			return fail(-ETIME, "the mapping call has not begun after %u ms", STARTED_MS);
		sleep_us(LOOK_US);
	}
	ret = start(gpu, last, mark, false) ?: marked(last, mark);
	meanwhile = !progress->done;
	ret = ret ?: gpu_job_right(gpu, last->syncobj, last->window.map, mark);
	wait_for_child(pid);
	out("# mapped in %lld us\n", (long long)progress->us);
	if (!ret && (!progress->done || progress->ret))
		ret = fail(progress->ret, "the mapping call");
	ret = ret ?: bind(gpu, first->vm, UNMAP, 0, BIG_VA, BIG) ?: leave(gpu, last);
	return ret ?: meanwhile;
}

int mode_taken(unsigned int count, unsigned int seed)
{
	static struct member members[VMS_MAX];
	struct drm_panthor_gpu_info info;
	struct drm_panthor_bo_create big = { .size = BIG };
	struct progress *progress;
	struct gpu gpu = { .fd = -1 };
	unsigned int spaces = 0, i, round, taken = 0;
	int ret;

	(void)seed;
	ktap_start(1);
	progress = mmap(NULL, GPU_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ret = gpu_open(&gpu) ?: gpu_query(&gpu, DRM_PANTHOR_DEV_QUERY_GPU_INFO, &info, sizeof(info));
	if (!ret)
		spaces = __builtin_popcount(info.as_present) - 1;
	if (!ret && (spaces < 2 || spaces >= VMS_MAX))
		ret = fail(-ENODEV, "%u address spaces", spaces);
	for (i = 0; !ret && i <= spaces; i++)
		ret = make(&gpu, &members[i], i == spaces);
	big.exclusive_vm_id = members[0].vm;
	ret = ret ?: GPU_IOCTL(&gpu, PANTHOR_BO_CREATE, &big);
	/* It stays mapped elsewhere, and so has its memory already. */
	ret = ret ?: bind(&gpu, members[0].vm, MAP, big.handle, BIG_VA + BIG, BIG);
	for (i = 1; !ret && i < spaces; i++)
		ret = start(&gpu, &members[i], 1, true) ?: marked(&members[i], 1);
	for (round = 0; !ret && taken < ENOUGH && round < count; round++) {
		ret = take(&gpu, &members[0], &members[spaces], big.handle, progress, 0x100 + round);
		taken += ret == 1;
		ret = ret > 0 ? 0 : ret;
	}
	for (i = 1; i < spaces; i++)
		if (members[i].code.map)
			*word(&members[i], GATE) = 1;
	out("# info rounds=%u\n# info taken=%u\n", round, taken);
	ktap_result(1, !ret, "an address space is taken over during a mapping call", last_error());
	return ret ? 1 : 0;
}

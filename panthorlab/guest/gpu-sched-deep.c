// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What takes long, or wants many tries: the job time-out of 5 s, and races of calls.
 */

#define _GNU_SOURCE
#include "gpu-sched.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sync_file.h>

#include "ktap.h"

#define DEBUGFS		"/sys/kernel/debug"

#define JOB_MS		1200
#define JOBS		6u	/* JOBS * JOB_MS is beyond the time-out, even without the first job */
#define LONE_MS		3000	/* two of these are beyond it */
#define OVERDUE_MS	7000	/* of which a group with half a slot uses 3500 */
#define PATIENCE_MS	30000
#define WALKS		20u
#define HANDLES		2u	/* the lowest free one is given next */
#define HANDLES_MS	3000
#define CREATIONS	20u	/* at least */

/* A job has its whole time, also if its queue has nothing to do before, and the last one there has used most of its own. */
static int one_at_a_time(struct lab *lab)
{
	return lab_row(lab, 0, 1, LONE_MS) ?: lab_row(lab, 0, 1, LONE_MS);
}

/* Twice as many groups as slots: each has a job for longer than the time-out, but not in a slot. */
static int waiting_for_a_slot(struct lab *lab)
{
	uint32_t syncobj[LAB_GROUPS];
	unsigned int g;
	int ret = lab_groups(lab, 2 * lab->slots - lab->group_count, PRIORITY_MEDIUM);

	for (g = 0; !ret && g < lab->group_count; g++) {
		ret = gpu_syncobj_create(&lab->gpu, &syncobj[g]);
		if (!ret)
			ret = lab_hold(lab, g, syncobj[g]);
	}
	if (!ret)
		sleep_us(OVERDUE_MS * 1000);
	for (g = 0; g < lab->group_count; g++)
		*lab_gate(lab, g) = 1;
	for (g = 0; !ret && g < lab->group_count; g++)
		ret = lab_expect(lab, syncobj[g], 1, "a job that had half a slot");
	return ret;
}

int sched_long(void)
{
	struct lab lab;
	int ret;

	ktap_start(3);
	ret = lab_create(&lab, 1);
	if (!ret)
		ret = lab_groups(&lab, 1, PRIORITY_MEDIUM);
	if (!ret)
		ret = lab_row(&lab, 0, JOBS, JOB_MS);
	ktap_result(1, !ret, "jobs that end in time, one after the other", last_error());
	if (!ret)
		ret = one_at_a_time(&lab);
	ktap_result(2, !ret, "a job of an empty queue has time of its own", last_error());
	if (!ret)
		ret = waiting_for_a_slot(&lab);
	ktap_result(3, !ret, "time without a slot does not count", last_error());
	return ret ? 1 : 0;
}

/* One job, which may have to wait for a reset of the GPU first. */
int sched_patient(void)
{
	uint32_t syncobj;
	int status = 0, fd;
	struct lab lab;
	int ret;

	ktap_start(1);
	ret = lab_create(&lab, 1);
	if (!ret)
		ret = lab_groups(&lab, 1, PRIORITY_MEDIUM);
	if (!ret)
		ret = gpu_syncobj_create(&lab.gpu, &syncobj);
	if (!ret)
		ret = lab_store(&lab, 0, 0, 1, &(struct lab_submit){ .signals = syncobj });
	if (!ret)
		ret = lab_fence(&lab, syncobj, &fd);
	if (!ret)
		ret = lab_status(fd, PATIENCE_MS, &status);
	if (!ret && !status)
		ret = fail(0, "the job has not ended after %u ms, and nobody has timed it out", PATIENCE_MS);
	out("# info fence_status=%d\n", status);
	ktap_result(1, !ret, "the job ends", last_error());
	return ret ? 1 : 0;
}

static void use_by_guess(struct lab *lab)
{
	struct lab guess = *lab;
	uint32_t state, fatal, i;

	for (i = 1;; i = i % HANDLES + 1) {
		guess.group[0].handle = i;
		gpu_group_state(&lab->gpu, i, &state, &fatal);
		if (i == 1)
			lab_store(&guess, 0, 0, i, &(struct lab_submit){ 0 });
	}
}

/* Wakes all the time, and takes the processor from the others wherever they are in a call. */
static void destroy_by_guess(struct lab *lab)
{
	struct sched_param param = { .sched_priority = 1 };
	uint32_t i;

	sched_setscheduler(0, SCHED_FIFO, &param);	/* without it the race is rarer */
	for (i = 1;; i = i % HANDLES + 1) {
		gpu_group_destroy(&lab->gpu, i);
		sleep_us(50);
	}
}

static pid_t start(void (*run)(struct lab *lab), struct lab *lab)
{
	pid_t pid = fork();

	if (!pid)
		run(lab);
	return pid;
}

static void stop(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Processes with one file: the others guess what handle the first is being given. */
int sched_handles(void)
{
	pid_t user = -1, destroyer = -1;
	int64_t deadline;
	unsigned int i;
	struct lab lab;
	uint32_t group;
	int ret;

	ktap_start(1);
	ret = lab_create(&lab, 1);
	if (!ret && ((user = start(use_by_guess, &lab)) < 0 ||
		     (destroyer = start(destroy_by_guess, &lab)) < 0))
		ret = fail(-errno, "fork");
	deadline = now_us() + HANDLES_MS * 1000LL;
	for (i = 0; !ret && (i < CREATIONS || now_us() < deadline); i++) {
		ret = gpu_group_create(&lab.gpu, lab.vm[0].vm, 1, &group);
		if (!ret)
			gpu_group_destroy(&lab.gpu, group);	/* unless another was faster */
	}
	stop(user);
	stop(destroyer);
	out("# info groups=%u\n", i);
	ktap_result(1, !ret, "groups are made while their handles are guessed", last_error());
	return ret ? 1 : 0;
}

/* Read every file that the driver shows of itself, again and again, whatever it says. */
static int read_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char text[4096];
	int fd;

	(void)ftw;
	if (type != FTW_F || !(st->st_mode & S_IRUSR))
		return 0;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return 0;
	while (read(fd, text, sizeof(text)) > 0)
		;
	close(fd);
	return 0;
}

static void walk(pid_t owner)
{
	char fdinfo[40];

	snprintf(fdinfo, sizeof(fdinfo), "/proc/%d/fdinfo", owner);
	for (;;) {
		nftw(DEBUGFS "/dri", read_file, 8, FTW_PHYS);
		nftw(fdinfo, read_file, 8, FTW_PHYS);
		sched_yield();
	}
}

/* The names that a fence has, while its group lives. */
static int names_of(int fd)
{
	struct sync_fence_info fence[4];
	struct sync_file_info info = {
		.num_fences = sizeof(fence) / sizeof(fence[0]),
		.sync_fence_info = (uintptr_t)fence,
	};

	if (ioctl(fd, SYNC_IOC_FILE_INFO, &info))
		return fail(-errno, "SYNC_IOC_FILE_INFO");
	if (!info.num_fences || !*fence[0].driver_name || !*fence[0].obj_name)
		return fail(0, "a fence without a name");
	return 0;
}

static int come_and_go(void)
{
	uint32_t syncobj;
	struct lab lab;
	int fd = -1;
	int ret;

	ret = lab_create(&lab, 1);
	if (!ret)
		ret = lab_groups(&lab, 2, PRIORITY_MEDIUM);
	if (!ret)
		ret = gpu_syncobj_create(&lab.gpu, &syncobj);
	if (!ret)
		ret = lab_store(&lab, 0, 0, 1, &(struct lab_submit){ .signals = syncobj });
	if (!ret)
		ret = lab_fence(&lab, syncobj, &fd);
	if (!ret)
		ret = names_of(fd);
	if (!ret)
		ret = lab_expect(&lab, syncobj, 1, "a job");
	if (!ret)
		ret = names_of(fd);
	if (fd >= 0)
		close(fd);
	lab_release(&lab);
	return ret;
}

int sched_walk(void)
{
	pid_t owner = getpid(), child;
	unsigned int i;
	int ret = 0;

	ktap_start(1);
	/* It may be mounted already. */
	if (mount("debugfs", DEBUGFS, "debugfs", 0, NULL) && errno != EBUSY)
		ret = fail(-errno, "mount debugfs");
	child = ret ? -1 : fork();
	if (!child)
		walk(owner);
	if (!ret && child < 0)
		ret = fail(-errno, "fork");
	for (i = 0; !ret && i < WALKS; i++)
		ret = come_and_go();
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	ktap_result(1, !ret, "files and fences are read while groups come and go", last_error());
	return ret ? 1 : 0;
}

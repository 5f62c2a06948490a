// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Jobs that must fail: with the right error, in their own group only. A bystander, another process
 * that had a working group before, must still have one; and a process that starts afterwards too.
 */

#define _GNU_SOURCE
#include "gpu-job.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "ktap.h"
#include "sched-lab.h"
#include "sentinel.h"

#define STATE_TIMEOUT_MS	2000
#define ROW		6u	/* jobs of the bystander beside one that takes the driver's 5 s to fail, ... */
#define ROW_MS		1000	/* ... and how long each lasts */

/**
 * struct fault - A job that must fail
 * @write: its stream
 * @va: of the stream, 0: where it was written
 * @status: of its fence
 * @outruns: the job may end before the kernel hears of its fault, and the fence say that it went well: of a
 *	store the stream awaits nothing, and the kernel learns of the two by two interrupts, in any order
 * @state: DRM_PANTHOR_GROUP_STATE_* bit that its group must have
 * @lasts: it fails when the driver's time for a job is over; meanwhile the bystander has more jobs than that
 *	time, of which each ends in time
 */
struct fault {
	const char *name;
	void (*write)(struct scene *scene, struct cs *cs);
	uint64_t va;
	int status;
	bool outruns;
	uint32_t state;
	bool lasts;
};

/**
 * struct bystander - A process with a group of its own
 * @go: closed when the fault is over
 * @done: a byte after its first job, and one after its second
 */
struct bystander {
	pid_t pid;
	int go;
	int done;
};

static int row(void)
{
	struct lab lab;

	return lab_create(&lab, 1) ?: lab_groups(&lab, 1, PANTHOR_GROUP_PRIORITY_MEDIUM) ?: lab_row(&lab, 0, ROW, ROW_MS);
}

static void bystander_process(int go, int done, bool lasts)
{
	static const struct client_config config = { .groups = 1, .rounds = 1 };
	struct client client;
	char byte = 'k';

	if (client_create(&client, &config) || client_run(&client) || write(done, &byte, 1) != 1)
		_exit(1);
	if ((lasts && row()) || read(go, &byte, 1) || client_run(&client)) {
		out("# bystander: %s\n", last_error());
		out_flush();
		_exit(1);
	}
	_exit(0);
}

static int bystander_start(struct bystander *bystander, bool lasts)
{
	int go[2], done[2];
	char byte;

	if (pipe(go) || pipe(done))
		return fail(-errno, "pipe");
	out_flush();
	bystander->pid = fork();
	if (bystander->pid < 0)
		return fail(-errno, "fork");
	if (!bystander->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(go[1]);
		bystander_process(go[0], done[1], lasts);
	}
	close(go[0]);
	close(done[1]);
	bystander->go = go[1];
	bystander->done = done[0];
	if (read(bystander->done, &byte, 1) != 1)
		return fail(0, "bystander: its job failed before the fault");
	return 0;
}

/* Its own waits have deadlines, so it ends. */
static bool bystander_finish(struct bystander *bystander)
{
	int status;

	close(bystander->go);
	status = wait_for_child(bystander->pid);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* Submit the job and see that it fails as it must. */
static int fault_run(const struct fault *fault)
{
	struct gpu_job job = { 0 };
	uint32_t state, fatal_queues;
	struct scene scene;
	int status, ret;
	int64_t begin;
	struct cs cs;

	ret = scene_create(&scene, 1);
	if (ret)
		return ret;
	cs = scene_stream(&scene, 0);
	fault->write(&scene, &cs);
	job.va = fault->va ?: scene_stream_va(&scene, 0);
	job.size = cs_size(&cs);
	job.syncobj = scene.syncobj[0];
	begin = now_us();
	ret = gpu_submit(&scene.gpu, scene.group, &job, 1);
	if (!ret)
		ret = gpu_fence_status(&scene.gpu, job.syncobj, GPU_TIMEOUT_MS, &status);
	if (!ret)
		ret = gpu_wait_group_state(&scene.gpu, scene.group, fault->state, STATE_TIMEOUT_MS,
					   &state, &fatal_queues);
	if (ret)
		return ret;

	out("# job fence=%d state=0x%x fatal_queues=0x%x us=%lld\n", status, state, fatal_queues,
	    (long long)(now_us() - begin));
	if ((status != fault->status && !(fault->outruns && status == 1)) || !(state & fault->state))
		return fail(0, "fence status %d, group state 0x%x; expected %d and bit 0x%x",
				status, state, fault->status, fault->state);
	/* The group has one queue, and every state but a time-out is that of a queue. */
	if (fatal_queues != (state & DRM_PANTHOR_GROUP_STATE_FATAL_FAULT ? 1 : 0))
		return fail(0, "fatal queues 0x%x", fatal_queues);
	return 0;
}

static int fault_job(const struct fault *fault)
{
	struct bystander bystander = { 0 };
	char why[192] = "", name[64];
	bool failed, stays, others;

	ktap_start(3);
	failed = !bystander_start(&bystander, fault->lasts) && !fault_run(fault);
	snprintf(name, sizeof(name), "%s fails", fault->name);
	ktap_result(1, failed, name, last_error());
	if (bystander.pid <= 0)
		return 1;
	stays = bystander_finish(&bystander);
	ktap_result(2, stays, "another group still works", "its job after the fault failed");
	others = sentinel_run(why, sizeof(why));
	ktap_result(3, others, "a fresh process works", why);
	return failed && stays && others ? 0 : 1;
}

static void write_store(struct scene *scene, struct cs *cs)
{
	cs_tell(cs, scene_result_va(scene, 0), 1);
}

int job_bad_fetch(const struct options *options)
{
	static const struct fault fault = {
		.name = "bad-fetch",
		.write = write_store,
		.va = SCENE_NOWHERE,
		.status = -EINVAL,
		.state = DRM_PANTHOR_GROUP_STATE_FATAL_FAULT,
	};

	(void)options;
	return fault_job(&fault);
}

static void write_bad_store(struct scene *scene, struct cs *cs)
{
	(void)scene;
	cs_tell(cs, SCENE_NOWHERE, 1);
}

int job_bad_store(const struct options *options)
{
	static const struct fault fault = {
		.name = "bad-store",
		.write = write_bad_store,
		.status = -EINVAL,
		.outruns = true,
		.state = DRM_PANTHOR_GROUP_STATE_FATAL_FAULT,
	};

	(void)options;
	return fault_job(&fault);
}

static void write_bad_instr(struct scene *scene, struct cs *cs)
{
	cs_undefined(cs);
	write_store(scene, cs);
}

int job_bad_instr(const struct options *options)
{
	static const struct fault fault = {
		.name = "bad-instr",
		.write = write_bad_instr,
		.status = -EINVAL,
		.state = DRM_PANTHOR_GROUP_STATE_FATAL_FAULT,
	};

	(void)options;
	return fault_job(&fault);
}

static void write_spin(struct scene *scene, struct cs *cs)
{
	(void)scene;
	cs_branch(cs, CS_ALWAYS, 0, 0);
}

int job_spin(const struct options *options)
{
	static const struct fault fault = {
		.name = "spin",
		.write = write_spin,
		.status = -ETIMEDOUT,
		.state = DRM_PANTHOR_GROUP_STATE_TIMEDOUT,
		.lasts = true,
	};

	(void)options;
	return fault_job(&fault);
}

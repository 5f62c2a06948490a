// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the firmware has to say of a group while the GPU goes to sleep, and what the driver does of that
 * when it sleeps: it must use no register then.
 *
 * The GPU is put to sleep by this process: who sets the delay to 0 suspends the device in that call, on
 * any kernel. Meanwhile realtime processes, below this one and the interrupts' threads, keep the
 * processors from the driver's workers.
 */

#define _GNU_SOURCE
#include "gpu-sched.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu-files.h"
#include "ktap.h"

#define DELAY		"power/autosuspend_delay_ms"
#define ROUNDS		3u
#define CPUS		16u
#define AWAKE		"10000"
#define AT_ONCE		"0"
#define IDLE_US		100000	/* after that the driver has seen that the group is idle, and needs the GPU no more */
#define LATE_US		50000	/* for workers that were kept from their work */
#define ASLEEP_MS	1000
#define VALUE		0xa51eeb00u

static int read_delay(const struct gpu *gpu, char *text, size_t size)
{
	char path[GPU_PATH_SIZE];

	return gpu_sysfs(gpu, DELAY, path) ?: read_text(path, text, size);
}

static int set_delay(const struct gpu *gpu, const char *ms)
{
	char path[GPU_PATH_SIZE];

	return gpu_sysfs(gpu, DELAY, path) ?: write_text(path, ms);
}

static int realtime(int policy, int priority)
{
	struct sched_param param = { .sched_priority = priority };

	return sched_setscheduler(0, policy, &param) ? fail(-errno, "sched_setscheduler") : 0;
}

/* Keep each processor busy until killed. Returns their number. */
static unsigned int busy(pid_t *pids)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int cpu;

	for (cpu = 0; cpu < (unsigned int)count && cpu < CPUS; cpu++) {
		cpu_set_t set;

		pids[cpu] = fork();
		if (pids[cpu] < 0)
			break;
		if (pids[cpu])
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set) || realtime(SCHED_FIFO, 1))
			_exit(1);
		for (;;)
			;
	}
	return cpu;
}

static void idle(const pid_t *pids, unsigned int count)
{
	while (count--) {
		kill(pids[count], SIGKILL);
		waitpid(pids[count], NULL, 0);
	}
}

/* Wait for the job itself: what the firmware says of it may come later. */
static int done(struct lab *lab, uint32_t value)
{
	int64_t deadline = now_us() + LAB_SETTLE_MS * 1000LL;

	while (*lab_result(lab, 0, 0) != value) {
		if (now_us() > deadline)
			return fail(-ETIME, "a job has not run after %u ms", LAB_SETTLE_MS);
		sleep_us(200);
	}
	return 0;
}

static int fall_asleep(struct lab *lab, unsigned int round)
{
	struct lab_submit how = { 0 };
	unsigned int g, count;
	pid_t pids[CPUS];
	int ret = lab_group(lab, 0, PRIORITY_MEDIUM, &g);

	ret = ret ?: gpu_syncobj_create(&lab->gpu, &how.signals);
	ret = ret ?: lab_store(lab, g, 0, VALUE + round, &how);
	ret = ret ?: done(lab, VALUE + round);
	if (ret)
		return ret;
	sleep_us(IDLE_US);
	ret = realtime(SCHED_FIFO, 2);
	if (ret)
		return ret;
	count = busy(pids);
	ret = count ? set_delay(&lab->gpu, AT_ONCE) : fail(-errno, "fork");
	ret = ret ?: gpu_wait_suspended(&lab->gpu, ASLEEP_MS);
	idle(pids, count);
	ret = realtime(SCHED_OTHER, 0) ?: ret;
	sleep_us(LATE_US);
	return ret ?: set_delay(&lab->gpu, AWAKE);
}

int sched_asleep(void)
{
	char usual[16] = "";
	unsigned int i;
	struct lab lab;
	int ret;

	ktap_start(1);
	ret = lab_create(&lab, 1);
	ret = ret ?: read_delay(&lab.gpu, usual, sizeof(usual));
	ret = ret ?: set_delay(&lab.gpu, AWAKE);
	for (i = 0; !ret && i < ROUNDS; i++)
		ret = fall_asleep(&lab, i);
	if (*usual)
		ret = set_delay(&lab.gpu, usual) ?: ret;
	lab_release(&lab);
	ktap_result(1, !ret, "the GPU falls asleep while workers are late", last_error());
	return ret ? 1 : 0;
}

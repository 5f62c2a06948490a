// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Work that stands still; and LATEST_FLUSH, as user space sees it while the GPU works and sleeps.
 */

#include "gpu-job.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "client.h"
#include "ktap.h"

#define GIVEN_UP_MS	15000		/* the driver gives a job up after 5 s */
#define ASLEEP		1		/* LATEST_FLUSH of a GPU that sleeps: nothing is to be flushed */

static int store(struct scene *scene, uint32_t value)
{
	struct cs cs = scene_stream(scene, 0);

	cs_tell(&cs, scene_result_va(scene, 0), value);
	return scene_submit(scene, scene->group, 0, &cs, 0) ?: scene_right(scene, 0, value);
}

/*
 * Work on an endpoint that stands still longer than the 2.6 s that the driver grants, though not so long that the job as
 * a whole is given up: the emulated GPU must be told to make it last.
 */
int job_no_progress(const struct options *options)
{
	uint32_t state = 0, queues;
	struct scene scene;
	struct cs cs;
	int status, ret;

	(void)options;
	ktap_start(1);
	ret = scene_create(&scene, 1);
	if (!ret) {
		cs = scene_stream(&scene, 0);
		cs_scoreboards(&cs, CS_SB_TILER, CS_SB_STORE);
		cs_req_resource(&cs, CS_RESOURCE_COMPUTE);
		cs_run_compute(&cs);
		cs_req_resource(&cs, 0);
		cs_wait(&cs, CS_SB_ALL);
		ret = scene_submit(&scene, scene.group, 0, &cs, 0) ?:
		      gpu_fence_status(&scene.gpu, scene.syncobj[0], GIVEN_UP_MS, &status);
	}
	ret = ret ?: gpu_group_state(&scene.gpu, scene.group, &state, &queues);
	if (!ret && (status != -ETIMEDOUT || !(state & DRM_PANTHOR_GROUP_STATE_TIMEDOUT)))
		ret = fail(0, "fence status %d, group state 0x%x", status, state);
	ktap_result(1, !ret, "the group is given up", last_error());
	return ret ? 1 : 0;
}

/* Each job flushes, so the number goes up with each. Both are read while the GPU is awake, or again. */
static int counts(struct scene *scene, const volatile uint32_t *latest, unsigned int tries)
{
	uint32_t first, second;
	char status[32];
	int ret;

	do {
		ret = store(scene, 0x21);
		first = *latest;
		ret = ret ?: store(scene, 0x22);
		second = *latest;
		ret = ret ?: gpu_runtime_status(&scene->gpu, status, sizeof(status));
	} while (!ret && strcmp(status, "active") && --tries);
	if (!ret && first == second)
		ret = fail(0, "LATEST_FLUSH is 0x%x before and after a job", first);
	return ret;
}

/*
 * While the GPU falls asleep the mapping is gone, and what is read makes a new one: of the register only before that. A
 * driver that leads there has it read later, when it has no clock. @reads: those in which it was on the way, and the mapping
 * was gone already.
 */
static int falls_asleep(struct scene *scene, const volatile uint32_t *latest, unsigned int *reads)
{
	int64_t deadline = now_us() + SUSPEND_MS * 1000LL;
	char status[32] = "";
	int ret = 0;

	do {
		uint32_t is = *latest;

		ret = gpu_runtime_status(&scene->gpu, status, sizeof(status));
		*reads += !ret && is == ASLEEP && !strcmp(status, "suspending");
		if (!ret && now_us() > deadline)
			ret = fail(0, "the GPU is still %s", status);
	} while (!ret && strcmp(status, "suspended"));
	return ret;
}

int job_flush_id(const struct options *options)
{
	const volatile uint32_t *latest = NULL;
	struct scene scene;
	unsigned int reads = 0;
	uint32_t is = 0;
	void *map;
	int ret;

	(void)options;
	ktap_start(3);
	ret = scene_create(&scene, 1);
	if (!ret) {
		map = mmap(NULL, GPU_PAGE, PROT_READ, MAP_SHARED, scene.gpu.fd,
			   DRM_PANTHOR_USER_FLUSH_ID_MMIO_OFFSET);
		ret = map == MAP_FAILED ? fail(-errno, "mmap of LATEST_FLUSH") : 0;
		latest = map;
	}
	ret = ret ?: counts(&scene, latest, 3);
	ktap_result(1, !ret, "it counts", last_error());
	ret = ret ?: falls_asleep(&scene, latest, &reads);
	out("# info on_the_way=%u\n", reads);
	if (!ret && (is = *latest) != ASLEEP)
		ret = fail(0, "0x%x while the GPU sleeps", is);
	ktap_result(2, !ret, "it is read while the GPU sleeps", last_error());
	ret = ret ?: counts(&scene, latest, 3);
	ktap_result(3, !ret, "and counts again", last_error());
	return ret ? 1 : 0;
}

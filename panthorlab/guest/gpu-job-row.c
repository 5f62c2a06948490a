// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Jobs in a row on one queue, of which some fail though the queue lives on (CS_FAULT): those fail, and no
 * other. Each is submitted when the one before has stored what it has to, which is before the driver knows
 * of its end if the emulated GPU tells it late: what ended just before a fault must not be taken for it.
 */

#include "gpu-job.h"

#include <errno.h>
#include <unistd.h>

#include "ktap.h"
#include "sched-lab.h"

#define JOBS		6u
#define VALUE(i)	(0x0b0b0000u + (i))

/* Job @i has stored, or it has ended without. */
static int wait_stored(struct scene *scene, unsigned int i)
{
	const int64_t deadline = now_us() + GPU_TIMEOUT_MS * 1000LL;
	int fd, status = 0;
	int ret = gpu_sync_file(&scene->gpu, scene->syncobj[i], &fd);

	if (ret)
		return ret;
	while (!ret && !status && *scene_result(scene, i) != VALUE(i)) {
		ret = lab_status(fd, 1, &status);
		if (!ret && now_us() > deadline)
			ret = fail(-ETIME, "job %u has neither stored nor ended after %u ms", i, GPU_TIMEOUT_MS);
	}
	close(fd);
	return ret;
}

/* A job that says it went well has stored; @failed: bits of those that say they did not. */
static int judge(struct scene *scene, unsigned int *failed)
{
	unsigned int i;
	int status, ret;

	*failed = 0;
	for (i = 0; i < JOBS; i++) {
		ret = gpu_fence_status(&scene->gpu, scene->syncobj[i], GPU_TIMEOUT_MS, &status);
		if (ret)
			return ret;
		out("# info fence%u=%d\n", i, status);
		*failed |= (status < 0) << i;
		if (status == 1 && *scene_result(scene, i) != VALUE(i))
			return fail(0, "job %u has stored nothing, but its fence says that it went well", i);
	}
	return 0;
}

int job_row(const struct options *options)
{
	unsigned int i, failed = 0;
	struct scene scene;
	int ret;

	(void)options;
	ktap_start(1);
	ret = scene_create(&scene, 1);
	for (i = 0; !ret && i < JOBS; i++) {
		struct cs cs = scene_stream(&scene, i);

		scene_store(&cs, scene_result_va(&scene, i), VALUE(i));
		ret = scene_submit(&scene, scene.group, 0, &cs, i) ?: wait_stored(&scene, i);
	}
	ret = ret ?: judge(&scene, &failed);
	out("# info failed=%d\n# info after=%d\n", __builtin_popcount(failed),
	    __builtin_popcount(failed & ~(failed << 1) & ~1u));
	ktap_result(1, !ret, "row", last_error());
	return ret ? 1 : 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Jobs in a row on one queue, of which some break off though the queue lives on (CS_FAULT): no other
 * fails. Each is submitted when the one before has stored what it has to, which is before the driver
 * knows of its end if the emulated GPU tells it late: what ended just before a fault must not be taken
 * for it.
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

/*
 * @failed: bits of those that say they did not go well; @broken: of those that have not stored. A driver that comes
 * late to a fault finds the queue behind the job: that one is then not among the failed, which nobody can help.
 */
static int judge(struct scene *scene, unsigned int *failed, unsigned int *broken)
{
	unsigned int i;
	int status, ret;

	for (i = 0; i < JOBS; i++) {
		ret = gpu_fence_status(&scene->gpu, scene->syncobj[i], GPU_TIMEOUT_MS, &status);
		if (ret)
			return ret;
		out("# info fence%u=%d\n", i, status);
		*failed |= (status < 0) << i;
		*broken |= (*scene_result(scene, i) != VALUE(i)) << i;
	}
	return 0;
}

int job_row(const struct options *options)
{
	unsigned int i, failed = 0, broken = 0;
	struct scene scene;
	int ret;

	(void)options;
	ktap_start(1);
	ret = scene_create(&scene, 1);
	for (i = 0; !ret && i < JOBS; i++) {
		struct cs cs = scene_stream(&scene, i);

		cs_tell(&cs, scene_result_va(&scene, i), VALUE(i));
		ret = scene_submit(&scene, scene.group, 0, &cs, i) ?: wait_stored(&scene, i);
	}
	ret = ret ?: judge(&scene, &failed, &broken);
	if (!ret && (failed & ~broken))
		ret = fail(0, "jobs 0x%x failed, though only 0x%x broke off", failed, broken);
	out("# info failed=%d\n# info broken=%d\n", __builtin_popcount(failed), __builtin_popcount(broken));
	ktap_result(1, !ret, "row", last_error());
	return ret ? 1 : 0;
}

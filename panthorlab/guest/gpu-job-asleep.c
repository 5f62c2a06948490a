// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An interrupt that comes when the GPU sleeps already: late, or another device's on the same line. The
 * driver must not look at the GPU for it.
 */

#include "gpu-job.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "irqs.h"
#include "ktap.h"

#define VALUE	0x51ee9000u
#define LOOK_US	2000	/* nothing tells of an interrupt that the driver has no use for */

static const char *const lines[] = { "panthor-job", "panthor-gpu", "panthor-mmu" };

static int interrupts(struct scene *scene, uint64_t *sum)
{
	char device[80];
	struct stat st;
	size_t i;

	*sum = 0;
	if (fstat(scene->gpu.fd, &st))
		return fail(0, "fstat of the render node");
	snprintf(device, sizeof(device), "/sys/dev/char/%u:%u/device", major(st.st_rdev),
		 minor(st.st_rdev));
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		uint64_t occurred = 0;
		int count = device_interrupts(device, lines[i], &occurred);

		if (count < 1)
			return count ? count : fail(0, "no %s in /proc/interrupts", lines[i]);
		*sum += occurred;
	}
	return 0;
}

static int store(struct scene *scene, unsigned int index)
{
	struct cs cs = scene_stream(scene, index);
	int ret;

	cs_tell(&cs, scene_result_va(scene, index), VALUE + index);
	ret = scene_submit(scene, scene->group, 0, &cs, index);
	return ret ?: scene_right(scene, index, VALUE + index);
}

/* Until an interrupt has come over which the GPU slept on. */
static int interrupted(struct scene *scene)
{
	int64_t deadline = now_us() + SUSPEND_MS * 1000LL;
	uint64_t before, now = 0;
	char status[32];
	int ret = gpu_wait_suspended(&scene->gpu, SUSPEND_MS);

	ret = ret ?: interrupts(scene, &before);
	do {
		if (!ret && now_us() > deadline)
			ret = fail(0, "no interrupt in %u ms of sleep", SUSPEND_MS);
		sleep_us(LOOK_US);
		ret = ret ?: interrupts(scene, &now);
	} while (!ret && now == before);
	ret = ret ?: gpu_runtime_status(&scene->gpu, status, sizeof(status));
	return ret ?: strcmp(status, "suspended") ? fail(0, "the GPU is %s", status) : 0;
}

int job_asleep(const struct options *options)
{
	struct scene scene;
	int ret;

	(void)options;
	ktap_start(2);
	ret = scene_create(&scene, 1);
	ret = ret ?: store(&scene, 0);
	ret = ret ?: interrupted(&scene);
	ktap_result(1, !ret, "an interrupt comes while the GPU sleeps", last_error());
	ret = ret ?: store(&scene, 1);
	ktap_result(2, !ret, "it works again", last_error());
	return ret ? 1 : 0;
}

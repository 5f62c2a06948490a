// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whether the driver and its GPU are at work: a job ends, and the GPU goes to sleep after it.
 */

#include "gpu-bind.h"

#include <stdio.h>
#include <string.h>

#include "files.h"
#include "gpu.h"
#include "ktap.h"
#include "sentinel.h"

#define SOON_MS		5
#define SLEEP_TIMEOUT	5000		/* ms until a GPU with nothing to do must have gone to sleep */

/* Of the file in the directory `power` of the device. */
int set_autosuspend(const struct bind *b, unsigned int ms)
{
	char path[sizeof(DEVICES) + NAME_SIZE + 40], text[16];

	snprintf(path, sizeof(path), DEVICES "/%s/power/autosuspend_delay_ms", b->device);
	snprintf(text, sizeof(text), "%u", ms);
	return write_text(path, text);
}

/* Wait until the GPU sleeps, which it does soon: it is done with all jobs then, and the driver with it. */
static int sleep_soon(const struct bind *b)
{
	struct gpu gpu;
	int ret = set_autosuspend(b, SOON_MS) ?: gpu_open(&gpu);

	if (ret)
		return ret;
	ret = gpu_wait_suspended(&gpu, SLEEP_TIMEOUT);
	gpu_close(&gpu);
	return ret;
}

/* Opening it has the driver tell what the GPU is. */
static int opens(void)
{
	struct gpu gpu;
	int ret = gpu_open(&gpu);

	if (!ret)
		gpu_close(&gpu);
	return ret;
}

/* A GPU that was probed must work, and go to sleep. */
int works(const struct bind *b)
{
	return b->driver->jobs ? sentinel_job() ?: sleep_soon(b) : opens();
}

/*
 * The firmware is to hang at a job; after the reset that this takes, the GPU must work. Jobs fail in
 * the meantime: a group that is made while the firmware is loaded again reads sizes of 0 (ENOSPC).
 */
int revives(const struct bind *b)
{
	const int64_t deadline = now_us() + REVIVE_MS * 1000LL;
	int ret = works(b);

	while (ret && now_us() < deadline)
		ret = works(b);
	return ret;
}

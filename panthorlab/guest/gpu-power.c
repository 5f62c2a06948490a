// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whether the GPU sleeps.
 */

#include "gpu-files.h"

#include <errno.h>
#include <string.h>

/* Runtime power state of the GPU as sysfs says it: "active", "suspended", ... */
int gpu_runtime_status(struct gpu *gpu, char *status, size_t size)
{
	char path[GPU_PATH_SIZE];
	int ret = gpu_sysfs(gpu, "power/runtime_status", path) ?: read_text(path, status, size);

	if (ret || !*status)
		return ret ?: fail(-ENODATA, "read %s", path);
	status[strcspn(status, "\n")] = '\0';
	return 0;
}

/* Wait until the runtime status is @wanted; sysfs has no event for it, so look every 2 ms. */
static int wait_status(struct gpu *gpu, const char *wanted, bool equal, unsigned int timeout_ms)
{
	int64_t deadline = now_us() + timeout_ms * 1000LL;
	char status[32];
	int ret;

	for (;;) {
		ret = gpu_runtime_status(gpu, status, sizeof(status));
		if (ret || !strcmp(status, wanted) == equal)
			return ret;
		if (now_us() > deadline)
			return fail(-ETIME, "GPU still %s after %u ms", status, timeout_ms);
		sleep_us(2000);
	}
}

int gpu_wait_suspended(struct gpu *gpu, unsigned int timeout_ms)
{
	return wait_status(gpu, "suspended", true, timeout_ms);
}

/* At least on the way to sleep, which is when groups are evicted. */
int gpu_wait_inactive(struct gpu *gpu, unsigned int timeout_ms)
{
	return wait_status(gpu, "active", false, timeout_ms);
}

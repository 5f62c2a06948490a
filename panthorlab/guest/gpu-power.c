// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whether the GPU sleeps.
 */

#include "gpu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Runtime power state of the GPU as sysfs says it: "active", "suspended", ... */
int gpu_runtime_status(struct gpu *gpu, char *status, size_t size)
{
	char path[80];
	struct stat st;
	ssize_t n;
	int fd;

	if (fstat(gpu->fd, &st))
		return fail(-errno, "fstat of the render node");
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/device/power/runtime_status",
		 major(st.st_rdev), minor(st.st_rdev));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(-errno, "open %s", path);
	n = read(fd, status, size - 1);
	close(fd);
	if (n <= 0)
		return fail(n ? -errno : -ENODATA, "read %s", path);
	status[n] = '\0';
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

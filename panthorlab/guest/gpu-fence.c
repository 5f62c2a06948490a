// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Syncobjs and the fences in them.
 */

#include "gpu.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sync_file.h>

int gpu_syncobj_create(struct gpu *gpu, uint32_t *syncobj)
{
	struct drm_syncobj_create create = { 0 };
	int ret = GPU_IOCTL(gpu, SYNCOBJ_CREATE, &create);

	*syncobj = create.handle;
	return ret;
}

/* Wait for the fence, whatever its status: see gpu_fence_status(). */
int gpu_syncobj_wait(struct gpu *gpu, uint32_t syncobj, unsigned int timeout_ms)
{
	struct drm_syncobj_wait wait = {
		.handles = (uintptr_t)&syncobj,
		.count_handles = 1,
		.timeout_nsec = (now_us() + timeout_ms * 1000LL) * 1000,
	};

	return GPU_IOCTL(gpu, SYNCOBJ_WAIT, &wait);
}

/* The fence of @syncobj as a sync file, to be closed. */
int gpu_sync_file(struct gpu *gpu, uint32_t syncobj, int *fd)
{
	struct drm_syncobj_handle export = {
		.handle = syncobj,
		.flags = DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE,
		.fd = -1,
	};
	int ret = GPU_IOCTL(gpu, SYNCOBJ_HANDLE_TO_FD, &export);

	*fd = export.fd;
	return ret;
}

/*
 * Wait for the fence of @syncobj and get its status: 1 for success, a negative errno if the job
 * failed. SYNCOBJ_WAIT alone cannot tell these apart.
 */
int gpu_fence_status(struct gpu *gpu, uint32_t syncobj, unsigned int timeout_ms, int *status)
{
	struct sync_file_info info = { 0 };
	int64_t deadline = now_us() + timeout_ms * 1000LL;
	struct pollfd pfd = { .events = POLLIN };
	int ret;

	ret = gpu_sync_file(gpu, syncobj, &pfd.fd);
	if (ret)
		return ret;

	do {
		int64_t left_us = deadline - now_us();

		ret = poll(&pfd, 1, left_us > 0 ? (int)((left_us + 999) / 1000) : 0);
	} while (ret < 0 && errno == EINTR);

	if (ret < 0)
		ret = fail(-errno, "poll of a fence");
	else if (!ret)
		ret = fail(-ETIME, "fence not signalled after %u ms", timeout_ms);
	else if (ioctl(pfd.fd, SYNC_IOC_FILE_INFO, &info))
		ret = fail(-errno, "SYNC_IOC_FILE_INFO");
	else
		ret = 0;
	close(pfd.fd);
	*status = info.status;
	return ret;
}

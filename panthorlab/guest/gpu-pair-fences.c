// SPDX-License-Identifier: GPL-2.0-or-later
/* Jobs of one GPU that wait for one of the other, however that ends. */

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "gpu-pair.h"
#include "ktap.h"

#define WAITING		2u		/* place of the job that waits */
#define LAST		3u		/* of one that waits for that one */
#define WAITING_VALUE	0x22222222u
#define LAST_VALUE	0x33333333u
#define SYNC_FILE	true

/* A syncobj of one file in another one, or its fence in a syncobj of that. */
static int hand_over(struct gpu *from, uint32_t syncobj, bool sync_file, struct gpu *to, uint32_t *there)
{
	struct drm_syncobj_handle handle = {
		.handle = syncobj,
		.flags = sync_file ? DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE : 0,
		.fd = -1,
	};
	int fd, ret = GPU_IOCTL(from, SYNCOBJ_HANDLE_TO_FD, &handle);

	if (ret)
		return ret;
	fd = handle.fd;
	handle = (struct drm_syncobj_handle){ .fd = fd };
	if (sync_file) {
		ret = gpu_syncobj_create(to, &handle.handle);
		handle.flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE;
	}
	ret = ret ?: GPU_IOCTL(to, SYNCOBJ_FD_TO_HANDLE, &handle);
	*there = handle.handle;
	close(fd);
	return ret;
}

static int submit_at(struct scene *scene, uint32_t group, unsigned int place, uint32_t syncobj, uint32_t value)
{
	struct cs cs = scene_stream(scene, place);
	struct gpu_job job = {
		.va = scene_stream_va(scene, place),
		.syncobj = scene->syncobj[place],
		.waits = syncobj,
	};

	cs_tell(&cs, scene_result_va(scene, place), value);
	job.size = cs_size(&cs);
	return gpu_submit(&scene->gpu, group, &job, 1);
}

static int submit_waiting(struct scene *scene, uint32_t syncobj)
{
	return submit_at(scene, scene->group, WAITING, syncobj, WAITING_VALUE);
}

/* The job that waits has not begun; another one of its GPU has no need to wait. */
static int waits(struct scene *scene)
{
	int status, ret;

	sleep_us(SOON_MS * 1000);
	ret = gpu_fence_status(&scene->gpu, scene->syncobj[WAITING], 0, &status);
	if (ret != -ETIME)
		return ret ?: fail(0, "a job has not waited for the other GPU: fence status %d", status);
	if (*scene_result(scene, WAITING))
		return fail(0, "a job that waits for the other GPU has stored 0x%x", *scene_result(scene, WAITING));
	return 0;
}

/* One job on @gpu that is held, and one on the other GPU that waits for it. */
static int chain(struct scene *held, struct scene *waiting, unsigned int gpu, bool sync_file)
{
	uint32_t there;
	int ret = scene_on(held, gpu) ?: scene_on(waiting, !gpu) ?: pair_hold(held);

	ret = ret ?: hand_over(&held->gpu, held->syncobj[0], sync_file, &waiting->gpu, &there);
	return ret ?: submit_waiting(waiting, there) ?: waits(waiting) ?: job_on(!gpu) ?: pair_is_held(held);
}

static int one_after_the_other(unsigned int gpu, bool sync_file)
{
	struct scene held, waiting;
	int ret = chain(&held, &waiting, gpu, sync_file);

	ret = ret ?: pair_release(&held) ?: scene_right(&waiting, WAITING, WAITING_VALUE);
	if (!ret) {
		scene_drop(&held);
		scene_drop(&waiting);
	}
	return ret;
}

int pair_fences(unsigned int count)
{
	unsigned int gpu, i;
	int ret = 0;

	ktap_start(2 * PAIR);
	for (gpu = 0; gpu < PAIR; gpu++) {
		for (i = 0; !ret && i < count; i++)
			ret = one_after_the_other(gpu, !SYNC_FILE);
		ktap_check(ret, "a job waits for GPU %u by syncobj", gpu);
		for (i = 0; !ret && i < count; i++)
			ret = one_after_the_other(gpu, SYNC_FILE);
		ktap_check(ret, "a job waits for GPU %u by sync file", gpu);
	}
	return ret ? 1 : 0;
}

/*
 * The driver leaves a GPU while a job waits on it for one of the other, and one of the other for it. When the first one
 * has ended, the second one is too late, and must end all the same, for the third one to go on.
 */
static int one_between_goes(unsigned int gpu)
{
	struct scene held, waiting;
	uint32_t group, back;
	int ret = chain(&held, &waiting, gpu, !SYNC_FILE) ?: gpu_group_create(&held.gpu, held.vm, 1, &group);

	ret = ret ?: hand_over(&waiting.gpu, waiting.syncobj[WAITING], !SYNC_FILE, &held.gpu, &back);
	ret = ret ?: submit_at(&held, group, LAST, back, LAST_VALUE) ?: driver_off(!gpu) ?: pair_is_held(&held);
	ret = ret ?: pair_release(&held) ?: scene_right(&held, LAST, LAST_VALUE) ?: driver_on(!gpu);
	if (!ret) {
		scene_drop(&held);
		scene_drop(&waiting);
	}
	return ret ?: job_on(gpu) ?: job_on(!gpu);
}

int pair_fence_gone(unsigned int count)
{
	unsigned int gpu;
	int ret = 0;

	(void)count;
	ktap_start(PAIR);
	for (gpu = 0; gpu < PAIR; gpu++) {
		ret = ret ?: one_between_goes(gpu);
		ktap_check(ret, "GPU %u goes while it waits and is waited for", !gpu);
	}
	return ret ? 1 : 0;
}

/* The driver leaves a GPU whose job is under way: its fence is signalled some day, for the other one waits for it. */
static int waited_for_goes(unsigned int gpu)
{
	struct scene held, waiting;
	int ret = chain(&held, &waiting, gpu, !SYNC_FILE);

	ret = ret ?: driver_off(gpu) ?: scene_right(&waiting, WAITING, WAITING_VALUE) ?: driver_on(gpu);
	if (!ret) {
		scene_drop(&held);
		scene_drop(&waiting);
	}
	return ret ?: job_on(gpu) ?: job_on(!gpu);
}

int pair_fence_lost(unsigned int count)
{
	unsigned int gpu;
	int ret = 0;

	(void)count;
	ktap_start(PAIR);
	for (gpu = 0; gpu < PAIR; gpu++) {
		ret = ret ?: waited_for_goes(gpu);
		ktap_check(ret, "GPU %u goes while the other waits for it", gpu);
	}
	return ret ? 1 : 0;
}

/* The job that is waited for is no good, or has been (@before): who waits for it runs all the same. */
static int waited_for_fails(unsigned int gpu, bool before)
{
	struct scene bad, waiting;
	uint32_t there;
	struct cs cs;
	int status = 1, ret = scene_on(&bad, gpu) ?: scene_on(&waiting, !gpu);

	if (ret)
		return ret;
	cs = scene_stream(&bad, 0);
	cs_undefined(&cs);
	ret = scene_submit(&bad, bad.group, 0, &cs, 0);
	ret = ret ?: hand_over(&bad.gpu, bad.syncobj[0], !SYNC_FILE, &waiting.gpu, &there);
	if (before)
		ret = ret ?: gpu_fence_status(&bad.gpu, bad.syncobj[0], GPU_TIMEOUT_MS, &status);
	ret = ret ?: submit_waiting(&waiting, there) ?: scene_right(&waiting, WAITING, WAITING_VALUE);
	ret = ret ?: gpu_fence_status(&bad.gpu, bad.syncobj[0], GPU_TIMEOUT_MS, &status);
	if (!ret && status == 1)
		ret = fail(0, "an undefined instruction does no harm");
	if (!ret) {
		scene_drop(&bad);
		scene_drop(&waiting);
	}
	return ret ?: job_on(gpu) ?: job_on(!gpu);
}

int pair_fence_failed(unsigned int count)
{
	unsigned int gpu;
	int ret = 0;

	(void)count;
	ktap_start(2 * PAIR);
	for (gpu = 0; gpu < PAIR; gpu++) {
		ret = ret ?: waited_for_fails(gpu, false);
		ktap_check(ret, "a job waits for one of GPU %u that fails", gpu);
		ret = ret ?: waited_for_fails(gpu, true);
		ktap_check(ret, "a job waits for one of GPU %u that has failed", gpu);
	}
	return ret ? 1 : 0;
}

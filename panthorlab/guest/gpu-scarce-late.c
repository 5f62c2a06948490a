// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Calls that later drivers have, without memory.
 */

#include "gpu-scarce.h"
#include "later-uapi.h"

#define LABEL_SIZE	64u

static int make_label(struct scarce *s)
{
	static const char text[LABEL_SIZE] = "a buffer of gpu-scarce";
	struct later_set_label label = { .handle = s->bo.handle, .label = (uintptr_t)text };

	return gpu_ioctl(&s->scene.gpu, LATER_IOCTL_SET_LABEL, &label, "BO_SET_LABEL");
}

static int make_info(struct scarce *s)
{
	struct later_bo_info info = { .handle = s->bo.handle };

	return gpu_ioctl(&s->scene.gpu, LATER_IOCTL_BO_INFO, &info, "BO_QUERY_INFO");
}

static int begin_cached(struct scarce *s)
{
	struct drm_panthor_bo_create create = { .size = SCARCE_PAGES * GPU_PAGE, .flags = LATER_BO_WB_MMAP };
	int ret = GPU_IOCTL(&s->scene.gpu, PANTHOR_BO_CREATE, &create);

	s->bo = (struct gpu_bo){ .handle = create.handle, .size = create.size };
	return ret;
}

static int make_sync(struct scarce *s)
{
	struct later_bo_sync_op op = { .handle = s->bo.handle, .size = s->bo.size };
	struct later_bo_sync sync = { .ops = DRM_PANTHOR_OBJ_ARRAY(1, &op) };

	return gpu_ioctl(&s->scene.gpu, LATER_IOCTL_BO_SYNC, &sync, "BO_SYNC");
}

static int make_mmio_offset(struct scarce *s)
{
	struct later_set_mmio_offset set = { .offset = DRM_PANTHOR_USER_MMIO_OFFSET };

	return gpu_ioctl(&s->scene.gpu, LATER_IOCTL_SET_MMIO_OFFSET, &set, "SET_USER_MMIO_OFFSET");
}

const struct call scarce_late[] = {
	{ "BO_SET_LABEL", 4, 0, 0, NULL, scarce_begin_bo, make_label, NULL, scarce_right_bo, scarce_drop_bo },
	{ "SET_USER_MMIO_OFFSET", 5, 0, 0, NULL, NULL, make_mmio_offset, NULL, NULL, NULL },
	{ "BO_SYNC", 7, 0, 0, NULL, begin_cached, make_sync, NULL, scarce_right_bo, scarce_drop_bo },
	{ "BO_QUERY_INFO", 7, 0, 0, NULL, scarce_begin_bo, make_info, NULL, scarce_right_bo, scarce_drop_bo },
	{ 0 }
};

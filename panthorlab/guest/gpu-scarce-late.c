// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Calls that later drivers have, without memory.
 */

#include "gpu-scarce.h"

#define LABEL_SIZE	64u

/*
 * As the uAPI of 7.3 has them: programs are built with the headers of the kernel under test, which may be older.
 */
struct late_set_label {
	uint32_t handle, pad;
	uint64_t label;
};

struct late_sync_op {
	uint32_t handle, type;
	uint64_t offset, size;
};

struct late_query_info {
	uint32_t handle, extra_flags, create_flags, pad;
};

#define LATE(number, type)	DRM_IOWR(DRM_COMMAND_BASE + (number), type)
#define LATE_SET_LABEL		LATE(13, struct late_set_label)
#define LATE_MMIO_OFFSET	LATE(14, uint64_t)
#define LATE_SYNC		LATE(15, struct drm_panthor_obj_array)
#define LATE_QUERY_INFO		LATE(16, struct late_query_info)
#define LATE_WB_MMAP		(1u << 1)	/* of BO_CREATE: the CPU's caches have it */

static int begin_bo(struct scarce *s)
{
	return scarce_bo(s, 0, &s->bo);
}

/* It is as good as before. */
static int right_bo(struct scarce *s)
{
	int ret = scarce_cpu(s, &s->bo);

	if (!ret)
		*(volatile uint32_t *)s->bo.map = s->value;
	return ret;
}

static int drop_bo(struct scarce *s)
{
	return scarce_drop(s, &s->bo);
}

static int make_label(struct scarce *s)
{
	static const char text[LABEL_SIZE] = "a buffer of gpu-scarce";
	struct late_set_label label = { .handle = s->bo.handle, .label = (uintptr_t)text };

	return gpu_ioctl(&s->scene.gpu, LATE_SET_LABEL, &label, "BO_SET_LABEL");
}

static int make_info(struct scarce *s)
{
	struct late_query_info info = { .handle = s->bo.handle };

	return gpu_ioctl(&s->scene.gpu, LATE_QUERY_INFO, &info, "BO_QUERY_INFO");
}

static int begin_cached(struct scarce *s)
{
	struct drm_panthor_bo_create create = { .size = SCARCE_PAGES * GPU_PAGE, .flags = LATE_WB_MMAP };
	int ret = GPU_IOCTL(&s->scene.gpu, PANTHOR_BO_CREATE, &create);

	s->bo = (struct gpu_bo){ .handle = create.handle, .size = create.size };
	return ret;
}

static int make_sync(struct scarce *s)
{
	struct late_sync_op op = { .handle = s->bo.handle, .size = s->bo.size };
	struct drm_panthor_obj_array ops = DRM_PANTHOR_OBJ_ARRAY(1, &op);

	return gpu_ioctl(&s->scene.gpu, LATE_SYNC, &ops, "BO_SYNC");
}

static int make_mmio_offset(struct scarce *s)
{
	uint64_t offset = DRM_PANTHOR_USER_MMIO_OFFSET;

	return gpu_ioctl(&s->scene.gpu, LATE_MMIO_OFFSET, &offset, "SET_USER_MMIO_OFFSET");
}

const struct call scarce_late[] = {
	{ "BO_SET_LABEL", 4, 0, 0, NULL, begin_bo, make_label, NULL, right_bo, drop_bo },
	{ "SET_USER_MMIO_OFFSET", 5, 0, 0, NULL, NULL, make_mmio_offset, NULL, NULL, NULL },
	{ "BO_SYNC", 7, 0, 0, NULL, begin_cached, make_sync, NULL, right_bo, drop_bo },
	{ "BO_QUERY_INFO", 7, 0, 0, NULL, begin_bo, make_info, NULL, right_bo, drop_bo },
	{ 0 }
};

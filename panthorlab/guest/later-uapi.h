/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The uAPI of later drivers, which the headers of an older kernel have not. It never changes, so it is told here
 * once, under names of our own: each with the driver version that it is of. 1.2 adds the priorities
 * (gpu-uapi-priorities.c), 1.3 and 1.6 nothing to call.
 */
#ifndef PANTHORLAB_GUEST_LATER_UAPI_H
#define PANTHORLAB_GUEST_LATER_UAPI_H

#include <stdint.h>

#include <drm/drm.h>
#include <drm/panthor_drm.h>

#define LATER_IOCTL(nr, type)	DRM_IOWR(DRM_COMMAND_BASE + (nr), struct type)

/* 1.1, of which 1.8 has more: a DEV_QUERY */
#define LATER_QUERY_TIMESTAMP		2u

/* Those of 1.1 alone, of which the first two must be asked for. */
#define LATER_TIMESTAMP_LEAST		16u
#define LATER_TIMESTAMP_OF_1_1		24u

/* 1.8: @flags; 0 asks for what 1.1 told */
#define LATER_TIMESTAMP_GPU		(1u << 0)
#define LATER_TIMESTAMP_MONOTONIC	(1u << 1)
#define LATER_TIMESTAMP_MONOTONIC_RAW	(2u << 1)
#define LATER_TIMESTAMP_CPU(type)	((uint32_t)(type) << 1)	/* 0: none, more than 2: no clock */
#define LATER_TIMESTAMP_OFFSET		(1u << 4)
#define LATER_TIMESTAMP_CYCLES		(1u << 5)
#define LATER_TIMESTAMP_FREQUENCY	(1u << 6)
#define LATER_TIMESTAMP_DURATION	(1u << 7)

struct later_timestamp {
	uint64_t frequency;
	uint64_t timestamp;
	uint64_t offset;
	uint32_t flags;
	uint32_t duration_ns;
	uint64_t cycles;
	uint64_t cpu_sec;
	uint64_t cpu_nsec;
};

/* 1.4 */
#define LATER_LABEL_MOST		4096u	/* with the zero behind it */

struct later_set_label {
	uint32_t handle;
	uint32_t pad;
	uint64_t label;
};

#define LATER_IOCTL_SET_LABEL		LATER_IOCTL(0x0d, later_set_label)

/* 1.5 */
#define LATER_MMIO_32BIT		(1ull << 43)
#define LATER_MMIO_64BIT		(1ull << 56)

struct later_set_mmio_offset {
	uint64_t offset;
};

#define LATER_IOCTL_SET_MMIO_OFFSET	LATER_IOCTL(0x0e, later_set_mmio_offset)

/* 1.7 */
#define LATER_BO_WB_MMAP		(1u << 1)	/* a flag of BO_CREATE */
#define LATER_BO_FLUSH			0u
#define LATER_BO_FLUSH_AND_INVALIDATE	1u
#define LATER_BO_IS_IMPORTED		(1u << 0)

struct later_bo_sync_op {
	uint32_t handle;
	uint32_t type;
	uint64_t offset;
	uint64_t size;
};

struct later_bo_sync {
	struct drm_panthor_obj_array ops;
};

#define LATER_IOCTL_BO_SYNC		LATER_IOCTL(0x0f, later_bo_sync)

struct later_bo_info {
	uint32_t handle;
	uint32_t extra_flags;
	uint32_t create_flags;
	uint32_t pad;
};

#define LATER_IOCTL_BO_INFO		LATER_IOCTL(0x10, later_bo_info)

#define LATER_COHERENCY_NONE		31u	/* else the number of a bit of @coherency_features */

/* What a DEV_QUERY GPU_INFO writes. 1.7 has a name for what was padding. */
union later_gpu_info {
	struct drm_panthor_gpu_info info;
	struct {
		uint32_t other[17];
		uint32_t selected_coherency;
	} later;
};

/* 1.9 */
#define LATER_QUERY_MMU			4u	/* a DEV_QUERY */
#define LATER_MAP_SPARSE		(1u << 3)	/* a flag of a VM_BIND operation */

struct later_mmu_info {
	uint64_t page_sizes;
};

#endif

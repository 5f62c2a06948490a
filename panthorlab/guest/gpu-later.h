/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_LATER_H
#define PANTHORLAB_GUEST_GPU_LATER_H

#include "gpu-job.h"
#include "later-uapi.h"

#define LATER_COUNT(array)	(sizeof(array) / sizeof((array)[0]))

/**
 * union later_arg - Argument of any of the calls
 */
union later_arg {
	struct drm_panthor_dev_query query;
	struct drm_panthor_vm_bind bind;
	struct drm_panthor_bo_create create;
	struct later_set_label label;
	struct later_set_mmio_offset mmio;
	struct later_bo_sync sync;
	struct later_bo_info info;
	struct drm_prime_handle prime;
};

/**
 * struct later_call - One call with all that it points to, so that any field of it can be made wrong
 * @ops: array of a BO_SYNC
 * @op: array of a VM_BIND
 * @signal: array of @op
 * @time: answer to a DEV_QUERY
 */
struct later_call {
	unsigned long request;
	union later_arg arg;
	struct later_bo_sync_op ops[3];
	struct drm_panthor_vm_bind_op op;
	struct drm_panthor_sync_op signal;
	struct later_timestamp time;
};

/**
 * struct later - One file with a VM, a group and what the modes add to it
 * @bo: a buffer of no VM's own, mapped at LATER_VA
 * @words: of @bo, for the CPU
 */
struct later {
	struct scene scene;
	struct gpu_bo bo;
	volatile uint32_t *words;
};

#define LATER_VA	0x4000000ull
#define LATER_BO_SIZE	(4 * GPU_PAGE)

/**
 * struct later_wrong - What makes a call that works one that does not
 */
struct later_wrong {
	const char *name;
	void (*make)(struct later *later, struct later_call *call);
	size_t offset, size;
	uint64_t value;
};

#define LATER_WRONG(make, field, wrong_value) {						\
	#field " = " #wrong_value, make, offsetof(struct later_call, field),		\
	sizeof(((struct later_call *)0)->field), (uint64_t)(wrong_value) }

/**
 * struct later_check - One result
 * @holds: 0 if all is as it must be, else an errno and a line in last_error()
 */
struct later_check {
	const char *name;
	int (*holds)(struct later *later);
};

int later_modes_run(const char *name, unsigned int minor, const char *what, const struct later_check *checks,
		    unsigned int count);

/* The results of @checks, of a driver of 1.@minor or later; of an older one that @what is skipped. */
#define LATER_RUN(name, minor, what, checks)	later_modes_run(name, minor, what, checks, LATER_COUNT(checks))

/* Each call works as @make makes it, before and after it is refused for what is wrong. */
int later_refused(struct later *later, const struct later_wrong *wrong, size_t count);
int later_make(struct later *later, void (*make)(struct later *, struct later_call *), struct later_call *call);

/* A buffer of no VM's own. */
int later_bo(struct gpu *gpu, size_t size, uint32_t flags, uint32_t *handle);
int later_close(struct gpu *gpu, uint32_t handle);
int later_map(struct gpu *gpu, uint32_t vm, uint32_t handle, uint64_t va, uint64_t size);
int later_mmap(struct gpu *gpu, uint32_t handle, size_t size, void **at);

/* The buffer as a file, to be read and written; what a file is to another one. */
int later_export(struct gpu *gpu, uint32_t handle, int *fd);
int later_import(struct gpu *gpu, int fd, uint32_t *handle);

/* A job of the scene stores @value at @va; loads from there; and must see @value. */
int later_stores(struct scene *scene, uint64_t va, uint32_t value);
int later_loaded(struct scene *scene, uint64_t va, uint32_t *value);
int later_loads(struct scene *scene, uint64_t va, uint32_t value);

/* The row of the buffer in the driver's list: whether there is one, and its label (LATER_LABEL_MOST bytes, or NULL). */
bool later_gems(const struct gpu *gpu);
int later_row(struct gpu *gpu, uint64_t offset, char *label);

/**
 * struct later_sizes - Bytes that this list tells: of the buffer, and of all, -1 if it does not
 */
struct later_sizes {
	long long size, resident, all_resident, all_reclaimable;
};

int later_sizes(struct gpu *gpu, uint64_t offset, struct later_sizes *sizes);
int later_offset(struct gpu *gpu, uint32_t handle, uint64_t *offset);

int later_timestamp(void);
int later_timestamp_flags(void);
int later_label(void);
int later_mmio_offset(void);
int later_bo_info(void);
int later_bo_sync(void);
int later_coherency(void);
int later_mmu_info(void);
int later_sparse(void);
int later_sparse_holes(void);
int later_prime(void);
int later_usage(void);
int later_usage_long(void);
int later_memory(void);
int later_mappings(void);

#endif

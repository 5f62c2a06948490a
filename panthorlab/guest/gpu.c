// SPDX-License-Identifier: GPL-2.0-or-later

#define _GNU_SOURCE
#include "gpu.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/sync_file.h>

#define RENDER_MINOR_FIRST	128
#define RENDER_MINORS		64
#define RING_SIZE		4096
#define MODALIASES		"/sys/bus/platform/devices/*/modalias"
#define GPU_ALIAS		"mali-valhall-csf"

static int chosen = -1;	/* by gpu_choose() */

int gpu_ioctl(struct gpu *gpu, unsigned long request, void *arg, const char *name)
{
	int ret;

	do {
		ret = ioctl(gpu->fd, request, arg);
	} while (ret && (errno == EINTR || errno == EAGAIN));
	return ret ? fail(-errno, "%s", name) : 0;
}

/* Is this fd panthor's? The version is kept. */
static bool gpu_is_panthor(struct gpu *gpu)
{
	char name[16] = "";
	struct drm_version version = { .name = name, .name_len = sizeof(name) - 1 };

	if (ioctl(gpu->fd, DRM_IOCTL_VERSION, &version) || strcmp(name, "panthor"))
		return false;
	gpu->version[0] = version.version_major;
	gpu->version[1] = version.version_minor;
	gpu->version[2] = version.version_patchlevel;
	return true;
}

int gpu_query(struct gpu *gpu, uint32_t type, void *info, uint32_t size)
{
	struct drm_panthor_dev_query query = {
		.type = type,
		.size = size,
		.pointer = (uintptr_t)info,
	};

	memset(info, 0, size);
	return GPU_IOCTL(gpu, PANTHOR_DEV_QUERY, &query);
}

static bool file_contains(const char *path, const char *text)
{
	char contents[512];
	FILE *file = fopen(path, "re");
	size_t size = file ? fread(contents, 1, sizeof(contents) - 1, file) : 0;

	if (file)
		fclose(file);
	contents[size] = '\0';
	return strstr(contents, text);
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(a, b);
}

/*
 * Paths in sysfs of the GPUs, with or without a driver, at most GPU_MOST, in the order of their places on the bus;
 * returns how many there are.
 */
unsigned int gpu_devices(char (*paths)[PATH_MAX])
{
	unsigned int count = 0;
	glob_t found;
	size_t i;

	if (glob(MODALIASES, 0, NULL, &found))
		return 0;
	for (i = 0; i < found.gl_pathc && count < GPU_MOST; i++) {
		char *path = found.gl_pathv[i];

		if (!file_contains(path, GPU_ALIAS))
			continue;
		*strrchr(path, '/') = '\0';
		count += realpath(path, paths[count]) != NULL;
	}
	globfree(&found);
	qsort(paths, count, sizeof(*paths), compare_paths);
	return count;
}

/* One of them; @path has PATH_MAX bytes. */
int gpu_device(unsigned int number, char *path)
{
	char paths[GPU_MOST][PATH_MAX];
	unsigned int count = gpu_devices(paths);

	if (number >= count)
		return fail(-ENODEV, "GPU %u of %u", number, count);
	strcpy(path, paths[number]);
	return 0;
}

/* Of several GPUs, which one gpu_open() opens from now on; without this, GPU_CHOICE in the environment says it. */
void gpu_choose(unsigned int number)
{
	chosen = number;
}

/* Where the chosen GPU is; an empty path: any will do. */
static int chosen_device(char *path)
{
	const char *word = getenv(GPU_CHOICE);

	*path = '\0';
	if (chosen >= 0)
		return gpu_device(chosen, path);
	return word && *word ? gpu_device(strtoul(word, NULL, 10), path) : 0;
}

/* Whether this render node is of the GPU at @device. */
static bool node_is_of(int minor, const char *device)
{
	char link[64], path[PATH_MAX];

	snprintf(link, sizeof(link), "/sys/class/drm/renderD%d/device", minor);
	return realpath(link, path) && !strcmp(path, device);
}

/* Open the first render node whose driver is panthor, of the GPU that was chosen if one was. */
int gpu_open(struct gpu *gpu)
{
	struct drm_panthor_gpu_info info;
	char device[PATH_MAX];
	int i, ret, opened = 0;

	gpu->fd = -1;
	ret = chosen_device(device);
	if (ret)
		return ret;
	for (i = 0; i < RENDER_MINORS; i++) {
		char path[32];

		if (*device && !node_is_of(RENDER_MINOR_FIRST + i, device))
			continue;
		snprintf(path, sizeof(path), "/dev/dri/renderD%d", RENDER_MINOR_FIRST + i);
		gpu->fd = open(path, O_RDWR | O_CLOEXEC);
		if (gpu->fd < 0) {
			if (errno != ENOENT && errno != EACCES && errno != ENODEV && errno != ENXIO)
				return fail(-errno, "open %s", path);
			continue;
		}
		opened++;
		if (gpu_is_panthor(gpu))
			break;
		close(gpu->fd);
	}
	if (i == RENDER_MINORS)
		gpu->fd = -1;
	if (gpu->fd < 0)
		return fail(-ENODEV, "no panthor among the %d render nodes that open", opened);

	ret = gpu_query(gpu, DRM_PANTHOR_DEV_QUERY_GPU_INFO, &info, sizeof(info));
	if (ret) {
		gpu_close(gpu);
		return ret;
	}
	gpu->shader_cores = info.shader_present;
	gpu->tilers = info.tiler_present;
	return 0;
}

void gpu_close(struct gpu *gpu)
{
	if (gpu->fd >= 0)
		close(gpu->fd);
	gpu->fd = -1;
}

int gpu_vm_create(struct gpu *gpu, uint32_t *vm)
{
	struct drm_panthor_vm_create create = { 0 };
	int ret = GPU_IOCTL(gpu, PANTHOR_VM_CREATE, &create);

	*vm = create.id;
	return ret;
}

int gpu_vm_destroy(struct gpu *gpu, uint32_t vm)
{
	struct drm_panthor_vm_destroy destroy = { .id = vm };

	return GPU_IOCTL(gpu, PANTHOR_VM_DESTROY, &destroy);
}

static int gpu_bind(struct gpu *gpu, uint32_t vm, const struct gpu_bo *bo, uint32_t flags)
{
	struct drm_panthor_vm_bind_op op = {
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | flags,
		.bo_handle = bo->handle,
		.va = bo->va,
		.size = bo->size,
	};
	struct drm_panthor_vm_bind bind = {
		.vm_id = vm,
		.ops = DRM_PANTHOR_OBJ_ARRAY(1, &op),
	};

	return GPU_IOCTL(gpu, PANTHOR_VM_BIND, &bind);
}

/* @flags: DRM_PANTHOR_VM_BIND_OP_MAP_*. The memory is zero. */
int gpu_bo_create(struct gpu *gpu, uint32_t vm, uint64_t va, size_t size, uint32_t flags,
		  struct gpu_bo *bo)
{
	struct drm_panthor_bo_create create = { .size = size, .exclusive_vm_id = vm };
	struct drm_panthor_bo_mmap_offset offset = { 0 };
	int ret;

	ret = GPU_IOCTL(gpu, PANTHOR_BO_CREATE, &create);
	if (ret)
		return ret;

	bo->handle = offset.handle = create.handle;
	bo->va = va;
	bo->size = size;
	ret = GPU_IOCTL(gpu, PANTHOR_BO_MMAP_OFFSET, &offset);
	if (ret)
		return ret;

	bo->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, gpu->fd, offset.offset);
	if (bo->map == MAP_FAILED) {
		bo->map = NULL;
		return fail(-errno, "mmap of a buffer object");
	}
	return gpu_bind(gpu, vm, bo, flags);
}

int gpu_heap_create(struct gpu *gpu, uint32_t vm, uint32_t chunks, uint32_t chunk_size,
		    uint32_t max_chunks, struct gpu_heap *heap)
{
	struct drm_panthor_tiler_heap_create create = {
		.vm_id = vm,
		.initial_chunk_count = chunks,
		.chunk_size = chunk_size,
		.max_chunks = max_chunks,
		.target_in_flight = 65535,
	};
	int ret = GPU_IOCTL(gpu, PANTHOR_TILER_HEAP_CREATE, &create);

	heap->handle = create.handle;
	heap->context_va = create.tiler_heap_ctx_gpu_va;
	heap->chunk_va = create.first_heap_chunk_gpu_va;
	heap->chunk_size = chunk_size;
	return ret;
}

int gpu_heap_destroy(struct gpu *gpu, uint32_t handle)
{
	struct drm_panthor_tiler_heap_destroy destroy = { .handle = handle };

	return GPU_IOCTL(gpu, PANTHOR_TILER_HEAP_DESTROY, &destroy);
}

/*
 * What GROUP_CREATE is asked for: one core of each kind is enough for what the workloads run. How
 * many queues there may be is the kernel's to say.
 */
void gpu_group_ask(const struct gpu *gpu, uint32_t vm, struct drm_panthor_queue_create *queues,
		   unsigned int count, struct drm_panthor_group_create *create)
{
	uint64_t core = gpu->shader_cores & -gpu->shader_cores;
	unsigned int i;

	for (i = 0; i < count; i++)
		queues[i] = (struct drm_panthor_queue_create){ .ringbuf_size = RING_SIZE };
	*create = (struct drm_panthor_group_create){
		.queues = DRM_PANTHOR_OBJ_ARRAY(count, queues),
		.max_compute_cores = 1,
		.max_fragment_cores = 1,
		.max_tiler_cores = 1,
		.priority = PANTHOR_GROUP_PRIORITY_MEDIUM,
		.compute_core_mask = core,
		.fragment_core_mask = core,
		.tiler_core_mask = gpu->tilers & -gpu->tilers,
		.vm_id = vm,
	};
}

int gpu_group_create(struct gpu *gpu, uint32_t vm, unsigned int queues, uint32_t *group)
{
	struct drm_panthor_queue_create queue[GPU_QUEUES_MAX];
	struct drm_panthor_group_create create;
	int ret;

	if (queues > GPU_QUEUES_MAX)
		return fail(-EINVAL, "a group of %u queues", queues);
	gpu_group_ask(gpu, vm, queue, queues, &create);
	ret = GPU_IOCTL(gpu, PANTHOR_GROUP_CREATE, &create);
	*group = create.group_handle;
	return ret;
}

int gpu_group_destroy(struct gpu *gpu, uint32_t group)
{
	struct drm_panthor_group_destroy destroy = { .group_handle = group };

	return GPU_IOCTL(gpu, PANTHOR_GROUP_DESTROY, &destroy);
}

int gpu_group_state(struct gpu *gpu, uint32_t group, uint32_t *state, uint32_t *fatal_queues)
{
	struct drm_panthor_group_get_state get = { .group_handle = group };
	int ret = GPU_IOCTL(gpu, PANTHOR_GROUP_GET_STATE, &get);

	*state = get.state;
	*fatal_queues = get.fatal_queues;
	return ret;
}

/*
 * Until the group's state has one of @bits, or @timeout_ms have passed: the kernel learns of a fault
 * by one interrupt and of the end of the job by another, in any order, and marks the group later.
 */
int gpu_wait_group_state(struct gpu *gpu, uint32_t group, uint32_t bits, unsigned int timeout_ms,
			 uint32_t *state, uint32_t *fatal_queues)
{
	int64_t deadline = now_us() + timeout_ms * 1000LL;

	for (;;) {
		int ret = gpu_group_state(gpu, group, state, fatal_queues);

		if (ret || *state & bits || now_us() > deadline)
			return ret;
		sleep_us(1000);
	}
}

/* All jobs go in one call. Caches are always flushed first (flush id 0). */
int gpu_submit(struct gpu *gpu, uint32_t group, const struct gpu_job *jobs, unsigned int count)
{
	struct drm_panthor_queue_submit queues[8];
	struct drm_panthor_sync_op syncs[8][2];
	struct drm_panthor_group_submit submit = { .group_handle = group };
	unsigned int i, used;

	if (!count || count > 8)
		return fail(-EINVAL, "%u jobs in one submission", count);
	for (i = 0; i < count; i++) {
		queues[i] = (struct drm_panthor_queue_submit){
			.queue_index = jobs[i].queue,
			.stream_size = jobs[i].size,
			.stream_addr = jobs[i].va,
		};
		used = 0;
		if (jobs[i].waits)
			syncs[i][used++] = (struct drm_panthor_sync_op){
				.flags = DRM_PANTHOR_SYNC_OP_WAIT,
				.handle = jobs[i].waits,
			};
		if (jobs[i].syncobj)
			syncs[i][used++] = (struct drm_panthor_sync_op){
				.flags = DRM_PANTHOR_SYNC_OP_SIGNAL,
				.handle = jobs[i].syncobj,
			};
		if (used)
			queues[i].syncs = (struct drm_panthor_obj_array)
				DRM_PANTHOR_OBJ_ARRAY(used, syncs[i]);
	}
	submit.queue_submits = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(count, queues);
	return GPU_IOCTL(gpu, PANTHOR_GROUP_SUBMIT, &submit);
}

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

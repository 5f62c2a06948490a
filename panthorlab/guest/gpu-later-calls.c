// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the modes have in common: calls that are refused, buffers as files, jobs that store and load.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gpu-files.h"
#include "gpu-later.h"

enum { REG_ADDR = 0, REG_VALUE = 2, REG_RESULT = 4 };

int later_make(struct later *later, void (*make)(struct later *, struct later_call *), struct later_call *call)
{
	memset(call, 0, sizeof(*call));
	make(later, call);
	return gpu_ioctl(&later->scene.gpu, call->request, &call->arg, "the call as it is meant");
}

int later_refused(struct later *later, const struct later_wrong *wrong, size_t count)
{
	struct later_call call;
	int ret = 0;
	size_t i;

	for (i = 0; !ret && i < count; i++) {
		int got;

		ret = later_make(later, wrong[i].make, &call);
		if (ret)
			break;
		memset(&call, 0, sizeof(call));
		wrong[i].make(later, &call);
		memcpy((char *)&call + wrong[i].offset, &wrong[i].value, wrong[i].size);
		got = gpu_ioctl(&later->scene.gpu, call.request, &call.arg, wrong[i].name);
		if (!gpu_refusal(got))
			ret = fail(-EPROTO, "%s: %d", wrong[i].name, got);
		ret = ret ?: later_make(later, wrong[i].make, &call);
	}
	return ret;
}

int later_bo(struct gpu *gpu, size_t size, uint32_t flags, uint32_t *handle)
{
	struct drm_panthor_bo_create create = { .size = size, .flags = flags };
	int ret = GPU_IOCTL(gpu, PANTHOR_BO_CREATE, &create);

	*handle = create.handle;
	return ret;
}

int later_close(struct gpu *gpu, uint32_t handle)
{
	struct drm_gem_close close = { .handle = handle };

	return GPU_IOCTL(gpu, GEM_CLOSE, &close);
}

int later_map(struct gpu *gpu, uint32_t vm, uint32_t handle, uint64_t va, uint64_t size)
{
	struct drm_panthor_vm_bind_op op = {
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
		.bo_handle = handle,
		.va = va,
		.size = size,
	};
	struct drm_panthor_vm_bind bind = { .vm_id = vm, .ops = DRM_PANTHOR_OBJ_ARRAY(1, &op) };

	return GPU_IOCTL(gpu, PANTHOR_VM_BIND, &bind);
}

int later_offset(struct gpu *gpu, uint32_t handle, uint64_t *offset)
{
	struct drm_panthor_bo_mmap_offset call = { .handle = handle };
	int ret = GPU_IOCTL(gpu, PANTHOR_BO_MMAP_OFFSET, &call);

	*offset = call.offset;
	return ret;
}

int later_mmap(struct gpu *gpu, uint32_t handle, size_t size, void **at)
{
	uint64_t offset;
	int ret = later_offset(gpu, handle, &offset);

	if (ret)
		return ret;
	*at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, gpu->fd, offset);
	return *at == MAP_FAILED ? fail(-errno, "mmap of a buffer") : 0;
}

int later_export(struct gpu *gpu, uint32_t handle, int *fd)
{
	struct drm_prime_handle prime = { .handle = handle, .flags = DRM_CLOEXEC | DRM_RDWR, .fd = -1 };
	int ret = GPU_IOCTL(gpu, PRIME_HANDLE_TO_FD, &prime);

	*fd = prime.fd;
	return ret;
}

int later_import(struct gpu *gpu, int fd, uint32_t *handle)
{
	struct drm_prime_handle prime = { .fd = fd };
	int ret = GPU_IOCTL(gpu, PRIME_FD_TO_HANDLE, &prime);

	*handle = prime.handle;
	return ret;
}

int later_stores(struct scene *scene, uint64_t va, uint32_t value)
{
	struct cs cs = scene_stream(scene, 0);
	int status, ret;

	cs_tell(&cs, va, value);
	ret = scene_submit(scene, scene->group, 0, &cs, 0);
	ret = ret ?: gpu_fence_status(&scene->gpu, scene->syncobj[0], GPU_TIMEOUT_MS, &status);
	return ret ?: status == 1 ? 0 : fail(0, "a job that stores: fence status %d", status);
}

int later_loaded(struct scene *scene, uint64_t va, uint32_t *value)
{
	struct cs cs = scene_stream(scene, 1);
	int status, ret;

	cs_move48(&cs, REG_ADDR, va);
	cs_load32(&cs, REG_VALUE, REG_ADDR);
	cs_wait(&cs, CS_SB_ALL);
	cs_move48(&cs, REG_RESULT, scene_result_va(scene, 1));
	cs_store32(&cs, REG_RESULT, REG_VALUE);
	cs_wait(&cs, CS_SB_ALL);
	ret = scene_submit(scene, scene->group, 0, &cs, 1);
	ret = ret ?: gpu_fence_status(&scene->gpu, scene->syncobj[1], GPU_TIMEOUT_MS, &status);
	*value = *scene_result(scene, 1);
	return ret ?: status == 1 ? 0 : fail(0, "a job that loads: fence status %d", status);
}

int later_loads(struct scene *scene, uint64_t va, uint32_t value)
{
	uint32_t loaded;
	int ret = later_loaded(scene, va, &loaded);

	return ret ?: loaded == value ? 0 : fail(0, "0x%x is loaded instead of 0x%x", loaded, value);
}

static FILE *open_gems(const struct gpu *gpu)
{
	char path[GPU_PATH_SIZE];

	return gpu_debugfs(gpu, "gems", path) ? NULL : fopen(path, "re");
}

bool later_gems(const struct gpu *gpu)
{
	FILE *file = open_gems(gpu);

	return file && !fclose(file);
}

/* The columns behind the one that says where a file maps the buffer, NULL if this is another buffer's row. */
static char *behind(char *line, const char *place)
{
	char *at = line;

	while ((at = strstr(at, place))) {
		at += strlen(place);
		if (*at == ' ')
			return at;
	}
	return NULL;
}

/* The last two columns of @text, which is what stands before the place of a buffer. */
static void last_two(char *text, long long *first, long long *second)
{
	char *word, *before = NULL, *last = NULL;

	for (word = strtok(text, " "); word; word = strtok(NULL, " ")) {
		before = last;
		last = word;
	}
	if (before && (sscanf(before, "%lld", first) != 1 || sscanf(last, "%lld", second) != 1))
		*first = *second = -1;
}

/*
 * A row ends in the place of the buffer in the file that maps it, its state, its usage, and the label, which may be
 * empty. Before that are columns that are others in other kernels, the last two of which may be its sizes.
 */
static int read_row(struct gpu *gpu, uint64_t offset, char *label, struct later_sizes *sizes)
{
	static char line[2 * LATER_LABEL_MOST];
	FILE *file = open_gems(gpu);
	int found = 0;
	char place[32];

	*sizes = (struct later_sizes){ -1, -1, -1, -1 };
	if (!file)
		return fail(-errno, "gems in debugfs");
	snprintf(place, sizeof(place), " 0x%llx", (unsigned long long)(offset / GPU_PAGE));
	while (fgets(line, sizeof(line), file)) {
		int state = -1, usage = -1, end = 0;
		char *at;

		sscanf(line, "Total size: %*d, Total resident: %lld, Total reclaimable: %lld", &sizes->all_resident,
		       &sizes->all_reclaimable);
		line[strcspn(line, "\n")] = '\0';
		at = behind(line, place);
		if (!at || sscanf(at, " %i %i%n", &state, &usage, &end) != 2)
			continue;
		found++;
		if (label)
			snprintf(label, LATER_LABEL_MOST, "%s", at + end + strspn(at + end, " "));
		at[-(long)strlen(place)] = '\0';
		last_two(line, &sizes->size, &sizes->resident);
	}
	fclose(file);
	return found == 1 ? 0 : fail(-ENOENT, "%d rows of the buffer", found);
}

int later_row(struct gpu *gpu, uint64_t offset, char *label)
{
	struct later_sizes sizes;

	return read_row(gpu, offset, label, &sizes);
}

int later_sizes(struct gpu *gpu, uint64_t offset, struct later_sizes *sizes)
{
	int ret = read_row(gpu, offset, NULL, sizes);

	return ret ?: sizes->size < 0 ? fail(-ENOENT, "no sizes in the row of the buffer") : 0;
}

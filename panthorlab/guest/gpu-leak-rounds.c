// SPDX-License-Identifier: GPL-2.0-or-later
/* What is done over and over: made and destroyed, or made and kept. */

#include "gpu-leak.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLED_GROUPS	6u
#define MOMENTS		16u
#define MOMENT_US	150u
#define OTHER_VA	0x20000000ull
#define OTHER_PAGES	16u
#define WRONG_CHUNK	(HEAP_CHUNK / 2)

static int round_vm(struct heap_scene *scene)
{
	uint32_t vm;

	return gpu_vm_create(&scene->gpu, &vm) ?: gpu_vm_destroy(&scene->gpu, vm);
}

static int round_group(struct heap_scene *scene)
{
	uint32_t group;

	return gpu_group_create(&scene->gpu, scene->vm, 2, &group) ?:
	       gpu_group_destroy(&scene->gpu, group);
}

static int round_heap(struct heap_scene *scene)
{
	struct gpu_heap heap;

	return gpu_heap_create(&scene->gpu, scene->vm, 3, HEAP_CHUNK, 4, &heap) ?:
	       gpu_heap_destroy(&scene->gpu, heap.handle);
}

static int close_bo(struct heap_scene *scene, uint32_t handle)
{
	struct drm_gem_close request = { .handle = handle };

	return GPU_IOCTL(&scene->gpu, GEM_CLOSE, &request);
}

static int make_bo(struct heap_scene *scene, uint32_t vm, uint32_t *handle)
{
	struct drm_panthor_bo_create create = {
		.size = OTHER_PAGES * GPU_PAGE,
		.exclusive_vm_id = vm,
	};
	int ret = GPU_IOCTL(&scene->gpu, PANTHOR_BO_CREATE, &create);

	*handle = create.handle;
	return ret;
}

static struct drm_panthor_vm_bind_op map(uint32_t handle, unsigned int page, unsigned int count)
{
	return (struct drm_panthor_vm_bind_op){
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
		.bo_handle = handle,
		.bo_offset = page * GPU_PAGE,
		.va = OTHER_VA + page * GPU_PAGE,
		.size = count * GPU_PAGE,
	};
}

static struct drm_panthor_vm_bind_op unmap(unsigned int page, unsigned int count)
{
	return (struct drm_panthor_vm_bind_op){
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP,
		.va = OTHER_VA + page * GPU_PAGE,
		.size = count * GPU_PAGE,
	};
}

/* The last one's fence is waited for, or the call does it all at once. */
static int bind(struct heap_scene *scene, struct drm_panthor_vm_bind_op *ops, unsigned int count,
		bool async)
{
	struct drm_panthor_sync_op signal = {
		.flags = DRM_PANTHOR_SYNC_OP_SIGNAL,
		.handle = scene->syncobj[0],
	};
	struct drm_panthor_vm_bind request = {
		.vm_id = scene->vm,
		.flags = async ? DRM_PANTHOR_VM_BIND_ASYNC : 0,
		.ops = DRM_PANTHOR_OBJ_ARRAY(count, ops),
	};
	int status, ret;

	if (async)
		ops[count - 1].syncs = (struct drm_panthor_obj_array)
			DRM_PANTHOR_OBJ_ARRAY(1, &signal);
	ret = GPU_IOCTL(&scene->gpu, PANTHOR_VM_BIND, &request);
	if (ret || !async)
		return ret;
	ret = gpu_fence_status(&scene->gpu, signal.handle, GPU_TIMEOUT_MS, &status);
	return ret ?: status == 1 ? 0 : fail(0, "asynchronous VM_BIND: %d", status);
}

/* Maps over, unmaps in, at and around the ends of mappings: each splits, cuts or replaces some. */
static int rebind(struct heap_scene *scene, bool shared, bool async)
{
	struct drm_panthor_vm_bind_op ops[] = {
		map(0, 0, OTHER_PAGES), unmap(5, 2), map(0, 4, 4), unmap(0, 1), map(0, 1, 9),
		unmap(3, 10), map(0, 8, 8), unmap(15, 1), unmap(0, OTHER_PAGES),
	};
	unsigned int i, n = sizeof(ops) / sizeof(ops[0]);
	uint32_t handle;
	int ret = make_bo(scene, shared ? 0 : scene->vm, &handle);

	for (i = 0; i < n; i++)
		if ((ops[i].flags & DRM_PANTHOR_VM_BIND_OP_TYPE_MASK) ==
		    DRM_PANTHOR_VM_BIND_OP_TYPE_MAP)
			ops[i].bo_handle = handle;
	ret = ret ?: bind(scene, ops, n, async);
	return ret ?: close_bo(scene, handle);
}

/* What a VM has got for a call that is then refused goes with the VM: a second such call would find it there. */
static int round_vm_refusing(struct heap_scene *scene)
{
	struct gpu_heap heap;
	uint32_t vm;
	int ret = gpu_vm_create(&scene->gpu, &vm);

	if (!ret && !gpu_heap_create(&scene->gpu, vm, 1, WRONG_CHUNK, 4, &heap))
		ret = fail(0, "a heap with chunks of 0x%x bytes was accepted", WRONG_CHUNK);
	return ret ?: gpu_vm_destroy(&scene->gpu, vm);
}

/* A fence from the VM's queue, and one from a group's, which has nothing else to do. */
static int round_signals(struct heap_scene *scene)
{
	struct drm_panthor_vm_bind_op op = {
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY,
	};
	struct gpu_job job = { .syncobj = scene->syncobj[0] };
	int status, ret = bind(scene, &op, 1, true);

	ret = ret ?: gpu_submit(&scene->gpu, scene->group[0], &job, 1);
	ret = ret ?: gpu_fence_status(&scene->gpu, job.syncobj, GPU_TIMEOUT_MS, &status);
	return ret ?: status == 1 ? 0 : fail(0, "a job without a stream: %d", status);
}

static int round_bo(struct heap_scene *scene)
{
	uint32_t handle;

	return make_bo(scene, scene->vm, &handle) ?: close_bo(scene, handle);
}

static int round_bind(struct heap_scene *scene)
{
	return rebind(scene, false, false);
}

static int round_bind_shared(struct heap_scene *scene)
{
	return rebind(scene, true, false);
}

static int round_bind_async(struct heap_scene *scene)
{
	return rebind(scene, false, true);
}

/* The third operation of four is refused: what the first two did stays, what was got for all goes. */
static int round_bind_refused(struct heap_scene *scene)
{
	struct drm_panthor_vm_bind_op ops[] = {
		map(0, 0, OTHER_PAGES), unmap(5, 2), map(0, 0, 1), unmap(0, 1),
	};
	struct drm_panthor_vm_bind_op all = unmap(0, OTHER_PAGES);
	uint32_t handle;
	int ret = make_bo(scene, scene->vm, &handle);

	ops[0].bo_handle = ops[2].bo_handle = handle;
	ops[2].bo_offset = OTHER_PAGES * GPU_PAGE;
	if (!ret && !bind(scene, ops, sizeof(ops) / sizeof(ops[0]), false))
		ret = fail(0, "a mapping beyond the buffer was accepted");
	ret = ret ?: bind(scene, &all, 1, false);
	return ret ?: close_bo(scene, handle);
}

static int render(struct heap_scene *scene)
{
	struct pass pass = heap_pass(scene, 0, 4);

	pass.handler = true;
	return heap_run(scene, 0, &pass);
}

static int round_job(struct heap_scene *scene)
{
	return render(scene);
}

/* All of it in a file of its own. */
static int round_client(struct heap_scene *scene)
{
	struct heap_scene own;
	int ret = heap_scene_create(&own, 1, 1, 3) ?: render(&own);

	(void)scene;
	heap_scene_close(&own);
	return ret;
}

/* Opened and closed, with nothing in it: what the driver keeps of each file may be a few bytes. */
static int round_file(struct heap_scene *scene)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", scene->gpu.fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fail(-errno, "open %s", path);
	close(fd);
	return 0;
}

/* The VM first, under everything that lives in it; but no job, or its group would fault. */
static int round_vm_first(struct heap_scene *scene)
{
	struct heap_scene own;
	int ret = heap_scene_create(&own, 1, 1, 3);

	(void)scene;
	ret = ret ?: gpu_vm_destroy(&own.gpu, own.vm);
	ret = ret ?: gpu_group_destroy(&own.gpu, own.group[0]);
	heap_scene_close(&own);
	return ret;
}

/*
 * Killed while its passes ask for memory, each round at another moment. There are several, so that the
 * kernel's workers, who grow one heap each, are busy, and some group is evicted with its work still to do.
 */
static int round_killed(struct heap_scene *scene)
{
	static unsigned int moment;
	pid_t pid;
	int status;

	(void)scene;
	moment++;
	pid = fork();
	if (!pid) {
		struct heap_scene own;
		struct pass pass;
		unsigned int g;
		int ret;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ret = heap_scene_create(&own, KILLED_GROUPS, 1, 64);
		for (g = 0; !ret && g < own.groups; g++) {
			pass = heap_pass(&own, g, 40);
			ret = heap_submit(&own, g, &pass);
		}
		sleep_us(moment % MOMENTS * MOMENT_US);
		if (!ret)
			raise(SIGKILL);
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return fail(-errno, "a process to kill");
	return WIFSIGNALED(status) ? 0 : fail(0, "the process to kill could not begin");
}

static int keep_syncobj(struct heap_scene *scene)
{
	uint32_t syncobj;

	return gpu_syncobj_create(&scene->gpu, &syncobj);
}

static int keep_group(struct heap_scene *scene)
{
	uint32_t group;

	return gpu_group_create(&scene->gpu, scene->vm, 1, &group);
}

const struct kind kinds[] = {
	{ "VM", round_vm, 64, false },
	{ "group", round_group, 32, false },
	{ "heap", round_heap, 64, false },
	{ "buffer", round_bo, 512, false },
	{ "binds", round_bind, 256, false },
	{ "binds of a shared buffer", round_bind_shared, 256, false },
	{ "asynchronous binds", round_bind_async, 192, false },
	{ "binds that are refused", round_bind_refused, 512, false },
	{ "VM that refuses calls", round_vm_refusing, 1536, false },
	{ "signals", round_signals, 512, false },
	{ "render pass", round_job, 32, false },
	{ "file", round_file, 4096, false },
	{ "client", round_client, 8, false },
	{ "client whose VM goes first", round_vm_first, 16, false },
	{ "killed client", round_killed, 8, false },
	{ "syncobj, kept", keep_syncobj, 3072, true },
	{ "group, kept", keep_group, 16, true },
	{ 0 }
};

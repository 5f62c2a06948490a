// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Rounds of making and destroying, of each kind, each many times; afterwards the kernel must not
 * hold more memory than before. That the least that could be lost would be seen is proved in the
 * same way: rounds that keep one small object each must be found out.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap-scene.h"
#include "held.h"
#include "ktap.h"
#include "options.h"

#define TOLERATED_KIB	40	/* per turn: less is lost in the stock of the allocators */
#define TURNS		4
#define SETTLE_MS	4000	/* on a busy host thousands of fences are freed as slowly as that */
#define KEPT_TURNS	2	/* of rounds that keep something: it adds up in each, ... */
#define KEPT_SETTLE_MS	200	/* ... and nothing is waited for */
#define KILLED_GROUPS	6u
#define MOMENTS		16u
#define MOMENT_US	150u
#define OTHER_VA	0x20000000ull
#define OTHER_PAGES	16u

/**
 * struct kind - Something to do over and over
 * @rounds: in a turn: so many that one lost object per round is more than is tolerated
 * @keeps: it is meant to lose memory, and must be seen to
 */
struct kind {
	const char *name;
	int (*round)(struct heap_scene *scene);
	unsigned int rounds;
	bool keeps;
};

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

static const struct kind kinds[] = {
	{ "VM", round_vm, 64, false },
	{ "group", round_group, 32, false },
	{ "heap", round_heap, 64, false },
	{ "buffer", round_bo, 512, false },
	{ "binds", round_bind, 256, false },
	{ "binds of a shared buffer", round_bind_shared, 256, false },
	{ "asynchronous binds", round_bind_async, 192, false },
	{ "binds that are refused", round_bind_refused, 512, false },
	{ "render pass", round_job, 32, false },
	{ "client", round_client, 8, false },
	{ "client whose VM goes first", round_vm_first, 16, false },
	{ "killed client", round_killed, 8, false },
	{ "syncobj, kept", keep_syncobj, 3072, true },
	{ "group, kept", keep_group, 16, true },
};

#define KINDS	(sizeof(kinds) / sizeof(kinds[0]))
#define KEEPING	2u	/* of them keep something */

/**
 * struct measure - How often rounds are repeated, and whether what they lose counts
 * @factor: times as many rounds of each kind
 * @lenient: one turn, whatever it loses
 */
struct measure {
	unsigned int factor;
	bool lenient;
};

/* Only that its rounds work. */
static bool survives(const struct kind *kind, unsigned int rounds)
{
	struct heap_scene scene;
	unsigned int i;
	int ret = heap_scene_create(&scene, 1, 1, 3);

	for (i = 0; !ret && i < rounds; i++)
		ret = kind->round(&scene);
	if (ret)
		out("# %s: round %u: %s\n", kind->name, i, last_error());
	out_flush();
	return !ret;
}

/* In a process of its own: what is kept goes with it. Its status says how it was, its output why. */
static bool judge(const struct kind *kind, unsigned int rounds)
{
	struct heap_scene scene;
	unsigned int turns = kind->keeps ? KEPT_TURNS : TURNS, turn, i;
	unsigned int settle_ms = kind->keeps ? KEPT_SETTLE_MS : SETTLE_MS;
	long lost = 0, least = 0;
	int64_t start = now_us();
	int ret = heap_scene_create(&scene, 1, 1, 3);

	ret = ret ?: kind->round(&scene);	/* what is got once and for all is got by now */
	for (turn = 0; !ret && turn < turns; turn++) {
		long before = held_kib();

		for (i = 0; !ret && i < rounds; i++)
			ret = kind->round(&scene);
		lost = held_more(before, TOLERATED_KIB, settle_ms);
		least = !turn || lost < least ? lost : least;
		if (lost <= TOLERATED_KIB)
			break;
	}
	out("# %s: rounds %u, turns %u, lost KiB %ld, ms %lld\n", kind->name, rounds,
	    turn + (turn < turns), least, (long long)(now_us() - start) / 1000);
	if (ret)
		out("# %s\n", last_error());
	else if (kind->keeps ? lost <= TOLERATED_KIB : lost > TOLERATED_KIB)
		out("# %s: every %u rounds lose at least %ld KiB\n", kind->name, rounds, least);
	out_flush();
	return !ret && kind->keeps == (lost > TOLERATED_KIB);
}

static bool judge_apart(const struct kind *kind, const struct measure *how)
{
	/* what keeps groups may have so many */
	unsigned int rounds = kind->rounds * (kind->keeps ? 1 : how->factor);
	pid_t pid;
	int status;

	out_flush();
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit((how->lenient ? survives(kind, rounds) : judge(kind, rounds)) ? 0 : 1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static void usage(FILE *stream)
{
	fputs("usage: gpu-leak [--factor N] [--lenient]\n\n"
	      "  --factor N    times as many rounds of each kind\n"
	      "  --lenient     that rounds work is enough, whatever they lose (KASAN keeps back what is\n"
	      "                freed), and none are made that do lose something\n", stream);
}

int main(int argc, char **argv)
{
	struct measure how = { .factor = 1 };
	unsigned int result = 0, failed = 0;
	const struct program_option options[] = {
		{ "factor", .number = &how.factor, .least = 1, .most = 999 },
		{ "lenient", .flag = &how.lenient },
		{ 0 }
	};
	size_t i;

	read_options(argc, argv, options, usage);
	ktap_start(how.lenient ? KINDS - KEEPING : KINDS);
	for (i = 0; i < KINDS; i++) {
		bool ok;

		if (how.lenient && kinds[i].keeps)
			continue;
		ok = judge_apart(&kinds[i], &how);
		failed += !ok;
		ktap_result(++result, ok, kinds[i].name, kinds[i].keeps ? "it was not seen" : "see above");
	}
	return failed ? 1 : 0;
}

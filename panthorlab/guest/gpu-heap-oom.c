// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Out of tiler memory, one group at a time: what the kernel grants, what it leaves to the exception
 * handler, and what it must refuse without harm.
 */

#include <errno.h>
#include <stdio.h>

#include "gpu-heap.h"
#include "ktap.h"

#define POOL_HEAPS	128u	/* that a VM may have */
#define SUSPEND_MS	5000

/* Run the pass in group @g; its exception handler must have been called @calls times. */
static int handled_in(struct heap_scene *scene, unsigned int g, unsigned int tilings, uint32_t calls)
{
	struct pass pass = heap_pass(scene, g, tilings);
	uint32_t is;
	int ret;

	pass.handler = true;
	ret = heap_run(scene, g, &pass);
	is = heap_handler_calls(scene, g);
	if (!ret && is != calls)
		ret = fail(0, "%u tiler jobs: the exception handler ran %u times, not %u", tilings,
			   is, calls);
	return ret;
}

static int handled(struct heap_scene *scene, unsigned int tilings, uint32_t calls)
{
	return handled_in(scene, 0, tilings, calls);
}

/*
 * A new heap has the context of the one before it, which was used, and which no group has bound any more: of its
 * chunks nothing must be left there.
 */
static int after_another(struct heap_scene *scene, unsigned int count)
{
	int ret = gpu_group_destroy(&scene->gpu, scene->group[0]) ?: gpu_wait_suspended(&scene->gpu, SUSPEND_MS) ?:
		  gpu_heap_destroy(&scene->gpu, scene->heap[0].handle) ?: heap_add_group(scene) ?:
		  heap_add_heap(scene, 1, count, 65535);

	if (!ret && scene->heap[1].context_va != scene->heap[0].context_va)
		out("# the new heap has a context of its own: nothing was tried\n");
	return ret ?: handled_in(scene, 1, count, 0);
}

void heap_grow(struct heap_checks *checks, unsigned int count)
{
	struct heap_scene scene;
	int ret = heap_scene_create(&scene, 1, 1, count);

	heap_check(checks, ret ?: handled(&scene, count, 0), "as many chunks as the heap may have");
	/* The chunks that it has by now are its own, so this one does not ask for any. */
	heap_check(checks, ret ?: handled(&scene, count, 0), "the same again, with free chunks");
	heap_check(checks, ret ?: handled(&scene, count + 1, 1), "one more: the handler runs");
	heap_check(checks, ret ?: handled(&scene, count, 0), "and the heap is whole afterwards");
	heap_check(checks, ret ?: after_another(&scene, count), "a new heap in its place is as good");
	heap_scene_close(&scene);

	ret = heap_scene_create(&scene, 1, count, count);
	heap_check(checks, ret ?: handled(&scene, count, 0), "all chunks that a heap begins with are used");
	heap_scene_close(&scene);
}

/* Three chunks at a time; when they are used up the handler frees all three. */
void heap_handler(struct heap_checks *checks, unsigned int count)
{
	const unsigned int chunks = 3;
	uint32_t calls = count > chunks ? (count - 1) / chunks : 0;
	struct heap_scene scene;
	int ret = heap_scene_create(&scene, 1, 2, chunks);

	heap_check(checks, ret ?: handled(&scene, count, calls), "incremental rendering");
	heap_check(checks, ret ?: handled(&scene, count, calls), "incremental rendering again");
	heap_scene_close(&scene);
}

/* None may be in flight, so the one that runs out is one too many. */
void heap_in_flight(struct heap_checks *checks, unsigned int count)
{
	struct heap_scene scene;
	int ret = heap_open(&scene);

	ret = ret ?: heap_add_group(&scene);
	ret = ret ?: heap_add_heap(&scene, 1, 64, 0);
	heap_check(checks, ret ?: handled(&scene, count, count - 1), "too many passes in flight");
	heap_scene_close(&scene);
}

/* A new group's pass must die of it; then one that is right must not. */
static void dies(struct heap_scene *scene, struct heap_checks *checks, struct pass pass,
		 const char *name)
{
	int ret = heap_add_group(scene);

	heap_check(checks, ret ?: heap_must_die(scene, scene->groups - 1, &pass), name);
}

/* A further group with a further heap, both new, renders. */
static void renders(struct heap_checks *checks, const char *name)
{
	struct heap_scene scene;
	int ret = heap_scene_create(&scene, 1, 1, 4);

	heap_check(checks, ret ?: handled(&scene, 4, 0), name);
	heap_scene_close(&scene);
}

void heap_no_pool(struct heap_checks *checks, unsigned int count)
{
	struct heap_scene scene;
	struct pass pass;
	int ret = heap_open(&scene);

	(void)count;
	heap_check(checks, ret, "a VM");
	if (ret)
		return;
	pass = heap_pass(&scene, 0, 2);
	dies(&scene, checks, pass, "no heap in the VM");
	pass.handler = true;
	dies(&scene, checks, pass, "no heap in the VM, but a handler");
	renders(checks, "another VM renders");

	ret = heap_add_heap(&scene, 1, 4, 65535);
	ret = ret ?: gpu_heap_destroy(&scene.gpu, scene.heap[0].handle);
	heap_check(checks, ret, "a heap comes and goes");
	if (!ret) {
		pass = heap_pass(&scene, 0, 2);	/* its context is still mapped, its chunk not */
		pass.chunk = 0;
		dies(&scene, checks, pass, "the heap is gone");
	}
	ret = heap_add_group(&scene);
	if (!ret) {
		unsigned int g = scene.groups - 1;

		/* Contexts are given out anew: this is the first one again. */
		ret = heap_add_heap(&scene, 1, 4, 65535);
		pass = heap_pass(&scene, scene.heaps - 1, 4);
		ret = ret ?: heap_run(&scene, g, &pass);
	}
	heap_check(checks, ret, "a new heap in the same VM renders");
	heap_scene_close(&scene);
}

void heap_wrong(struct heap_checks *checks, unsigned int count)
{
	struct heap_scene scene;
	struct pass pass, good;
	int ret = heap_open(&scene);

	(void)count;
	ret = ret ?: heap_add_heap(&scene, 1, 4, 65535);
	heap_check(checks, ret, "a heap");
	if (ret)
		return;
	good = heap_pass(&scene, 0, 2);
	good.chunk = 0;		/* so that the first tiler job asks */

	pass = good;
	pass.context = heap_pass(&scene, 1, 0).context;
	dies(&scene, checks, pass, "a context that no kernel gave out");
	pass.context = good.context + 100 * GPU_HEAP_CONTEXT_STRIDE;
	dies(&scene, checks, pass, "a context of the pool that no heap has");
	pass = good;
	pass.unstarted = true;
	dies(&scene, checks, pass, "more passes ended than started");
	pass = good;
	pass.twice_done = true;
	dies(&scene, checks, pass, "more fragment work ended than tiler work");
	renders(checks, "another VM renders");
	heap_scene_close(&scene);
}

static int must_refuse(int ret, const char *what)
{
	return ret == -EINVAL || ret == -ENOENT ? 0 : fail(0, "%s: %d", what, ret);
}

static int full_pool(struct heap_scene *scene)
{
	struct gpu_heap heap[POOL_HEAPS + 1];
	unsigned int made = 0, i;
	int ret = 0, refused;

	do {
		ret = gpu_heap_create(&scene->gpu, scene->vm, 1, HEAP_CHUNK, 2, &heap[made]);
		made += !ret;
	} while (!ret && made <= POOL_HEAPS);
	refused = ret;
	if (made && (heap[made - 1].handle & 0xffff) >= POOL_HEAPS)
		return fail(0, "heap %u of a VM has handle 0x%x: its context lies behind all others",
			    made, heap[made - 1].handle);
	for (i = 0, ret = 0; !ret && i < made; i++)
		ret = gpu_heap_destroy(&scene->gpu, heap[i].handle);
	if (!ret && made != POOL_HEAPS)
		ret = fail(0, "%u heaps in a VM, then %d", made, refused);
	return ret;
}

/* The least, the most, and one that is no power of two. */
static int chunk_sizes(struct heap_scene *scene)
{
	static const uint32_t sizes[] = { 128 * 1024, 384 * 1024, 8 * 1024 * 1024 };
	struct gpu_heap heap;
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ret = gpu_heap_create(&scene->gpu, scene->vm, 1, sizes[i], 1, &heap);
		ret = ret ?: gpu_heap_destroy(&scene->gpu, heap.handle);
	}
	return ret;
}

void heap_calls(struct heap_checks *checks, unsigned int count)
{
	struct heap_scene scene;
	struct gpu_heap heap;
	uint32_t vm = 0;
	int ret = heap_open(&scene);

	(void)count;
	heap_check(checks, ret, "a VM");
	if (ret)
		return;
	heap_check(checks, must_refuse(gpu_heap_destroy(&scene.gpu, scene.vm << 16), "destroyed"),
		   "no heap to destroy in a VM without a pool");
	ret = heap_add_heap(&scene, 1, 4, 65535);
	heap_check(checks, ret ?: gpu_heap_destroy(&scene.gpu, scene.heap[0].handle),
		   "a heap is destroyed");
	heap_check(checks, must_refuse(gpu_heap_destroy(&scene.gpu, scene.heap[0].handle), "again"),
		   "not twice");
	heap_check(checks, full_pool(&scene), "as many heaps as a VM may have");
	heap_check(checks, chunk_sizes(&scene), "chunks of every size that is allowed");
	heap_check(checks, must_refuse(gpu_heap_create(&scene.gpu, scene.vm, 5, HEAP_CHUNK, 4, &heap),
				       "created"), "not more chunks than the heap may have");

	ret = gpu_vm_create(&scene.gpu, &vm);
	ret = ret ?: gpu_heap_create(&scene.gpu, vm, 1, HEAP_CHUNK, 4, &heap);
	ret = ret ?: gpu_vm_destroy(&scene.gpu, vm);
	heap_check(checks, ret, "a VM goes with its heap");
	heap_check(checks, must_refuse(gpu_heap_destroy(&scene.gpu, heap.handle), "destroyed"),
		   "no heap to destroy in a VM that is gone");
	heap_check(checks, must_refuse(gpu_heap_create(&scene.gpu, vm, 1, HEAP_CHUNK, 4, &heap),
				       "created"), "no heap in a VM that is gone");
	heap_scene_close(&scene);
	renders(checks, "another VM renders");
}

/* No memory, no handler: the firmware waits for one, and the kernel gives the job up after 5 s. */
void heap_exhausted(struct heap_checks *checks, unsigned int count)
{
	struct heap_scene scene;
	struct pass pass;
	uint32_t state, queues;
	int status, ret = heap_scene_create(&scene, 1, 1, 2);

	(void)count;
	pass = heap_pass(&scene, 0, 6);
	ret = ret ?: heap_submit(&scene, 0, &pass);
	ret = ret ?: gpu_fence_status(&scene.gpu, scene.syncobj[0], GPU_TIMEOUT_MS, &status);
	ret = ret ?: gpu_group_state(&scene.gpu, scene.group[0], &state, &queues);
	if (!ret && (status == 1 || !(state & DRM_PANTHOR_GROUP_STATE_TIMEDOUT)))
		ret = fail(0, "fence status %d, group state %u", status, state);
	heap_check(checks, ret, "a full heap and no handler");
	heap_scene_close(&scene);
	renders(checks, "another VM renders");
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Out of tiler memory while something else happens: groups come off their slots, objects go, the
 * process dies.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "gpu-heap.h"
#include "ktap.h"

#define DELAYS		32u	/* moments to strike at, ... */
#define DELAY_US	150u	/* ... so far apart */
#define RACE_TILINGS	40u
#define EVICT_TRIES	3u
#define JOB_TIMEOUT_US	4900000	/* the driver grants 5 s */

static int slots(struct heap_scene *scene, unsigned int *count)
{
	struct drm_panthor_csif_info csif;
	int ret = gpu_query(&scene->gpu, DRM_PANTHOR_DEV_QUERY_CSIF_INFO, &csif, sizeof(csif));

	*count = csif.csg_slot_count;
	return ret;
}

/* @at_once: none begins before all are submitted. */
static int all_render(struct heap_scene *scene, unsigned int tilings, bool handler, bool at_once)
{
	struct pass pass[HEAP_GROUPS];
	unsigned int g;
	int ret = 0;

	for (g = 0; !ret && g < scene->groups; g++) {
		pass[g] = heap_pass(scene, g, tilings);
		pass[g].handler = handler;
		pass[g].gated = at_once;
		ret = heap_submit(scene, g, &pass[g]);
	}
	for (g = 0; !ret && at_once && g < scene->groups; g++)
		heap_begin(scene, g);
	for (g = 0; !ret && g < scene->groups; g++)
		ret = heap_right(scene, g, &pass[g]);
	return ret;
}

/* A job was given up @us after the first was submitted: no job can have had its time by then. */
static bool given_up_early(struct heap_scene *scene, int64_t us)
{
	uint32_t state, queues;
	unsigned int g;

	for (g = 0; us < JOB_TIMEOUT_US && g < scene->groups; g++)
		if (!gpu_group_state(&scene->gpu, scene->group[g], &state, &queues) &&
		    state & DRM_PANTHOR_GROUP_STATE_TIMEDOUT)
			return true;
	return false;
}

static int evict(unsigned int count, bool *early)
{
	struct heap_scene scene;
	unsigned int n = 0;
	int64_t start;
	int ret = heap_open(&scene);

	ret = ret ?: slots(&scene, &n);
	while (!ret && scene.groups < n + n / 2) {
		ret = heap_add_group(&scene);
		ret = ret ?: heap_add_heap(&scene, 1, count + 1, 65535);
	}
	start = now_us();
	ret = ret ?: all_render(&scene, count, false, false);
	*early = ret && given_up_early(&scene, now_us() - start);
	heap_scene_close(&scene);
	return ret;
}

/*
 * Half as many groups again as slots: every tick some of those that wait for memory have to go. What
 * they asked for is asked for again when they are back, so all get to their end. Kernels before 6.19
 * now and then give up a job that is off its slot at once (docs/findings/0027): that proves nothing of
 * what is asked here, so it is tried again, but if it is always so, it is the finding.
 */
void heap_evict(struct heap_checks *checks, unsigned int count)
{
	unsigned int tries = 0, given_up = 0;
	bool early;
	int ret;

	do {
		ret = evict(count, &early);
		given_up += early;
	} while (early && ++tries < EVICT_TRIES);
	out("# info given_up_early=%u\n", given_up);
	heap_check(checks, ret, "all groups render");
}

/* As many groups as slots. The tiler takes chunks on one slot only; that group's handler runs. */
void heap_last_slot(struct heap_checks *checks, unsigned int count)
{
	struct heap_scene scene;
	unsigned int n = 0, g, handled = 0;
	int ret = heap_open(&scene);

	ret = ret ?: slots(&scene, &n);
	while (!ret && scene.groups < n) {
		ret = heap_add_group(&scene);
		ret = ret ?: heap_add_heap(&scene, 1, 1, 65535);
	}
	ret = ret ?: all_render(&scene, count, true, true);
	for (g = 0; !ret && g < scene.groups; g++)
		handled += heap_handler_calls(&scene, g) == count - 1;
	if (!ret && handled != 1)
		ret = fail(0, "%u groups ran out of memory, not one", handled);
	heap_check(checks, ret, "all groups render");
	heap_scene_close(&scene);
}

/* Begin a pass that asks for chunk after chunk, and let it run for a time that depends on @turn. */
static int begin(struct heap_scene *scene, unsigned int turn, struct pass *pass)
{
	int ret;

	*pass = heap_pass(scene, 0, RACE_TILINGS);
	ret = heap_submit(scene, 0, pass);
	if (!ret)
		sleep_us(turn % DELAYS * DELAY_US);
	return ret;
}

static int make(struct heap_scene *scene)
{
	return heap_scene_create(scene, 1, 1, RACE_TILINGS + 1);
}

static int destroy_group(struct heap_scene *scene)
{
	return gpu_group_destroy(&scene->gpu, scene->group[0]);
}

static int destroy_heap(struct heap_scene *scene)
{
	return gpu_heap_destroy(&scene->gpu, scene->heap[0].handle);
}

static int destroy_vm(struct heap_scene *scene)
{
	return gpu_vm_destroy(&scene->gpu, scene->vm);
}

/*
 * A client per turn. The fence is signalled whatever happens to the job; a turn strikes in time if
 * the job has not got to its end.
 */
static void race(struct heap_checks *checks, unsigned int count,
		 int (*strike)(struct heap_scene *scene), const char *name)
{
	unsigned int turn, cut = 0;
	int64_t start = now_us();
	int ret = 0;

	for (turn = 0; !ret && turn < count; turn++) {
		struct heap_scene scene;
		struct pass pass;
		int status;

		ret = make(&scene);
		ret = ret ?: begin(&scene, turn, &pass);
		ret = ret ?: strike(&scene);
		ret = ret ?: gpu_fence_status(&scene.gpu, scene.syncobj[0], GPU_TIMEOUT_MS, &status);
		cut += !ret && heap_right(&scene, 0, &pass) != 0;
		heap_scene_close(&scene);
	}
	out("# info turns=%u\n# info in_time=%u\n# info ms=%lld\n", turn, cut,
	    (long long)(now_us() - start) / 1000);
	if (!ret && !cut)
		ret = fail(0, "no turn struck in time");
	heap_check(checks, ret, name);
}

/* The next client, and nothing of the last one in its way. */
static void afterwards(struct heap_checks *checks)
{
	struct heap_scene scene;
	struct pass pass;
	int ret = make(&scene);

	pass = heap_pass(&scene, 0, RACE_TILINGS);
	heap_check(checks, ret ?: heap_run(&scene, 0, &pass), "the next client renders");
	heap_scene_close(&scene);
}

void heap_race_group(struct heap_checks *checks, unsigned int count)
{
	race(checks, count, destroy_group, "GROUP_DESTROY while the heap grows");
	afterwards(checks);
}

void heap_race_heap(struct heap_checks *checks, unsigned int count)
{
	race(checks, count, destroy_heap, "TILER_HEAP_DESTROY while the heap grows");
	afterwards(checks);
}

void heap_race_vm(struct heap_checks *checks, unsigned int count)
{
	race(checks, count, destroy_vm, "VM_DESTROY while the heap grows");
	afterwards(checks);
}

/* Tell that the pass runs; only a signal ends this process. */
static void victim(int ready)
{
	struct heap_scene scene;
	struct pass pass;
	char byte = 'r';
	int ret;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ret = make(&scene);
	ret = ret ?: begin(&scene, 0, &pass);
	if (ret || write(ready, &byte, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static int kill_one(unsigned int turn)
{
	int pipes[2], ret = 0;
	char byte;
	pid_t pid;

	if (pipe(pipes))
		return fail(-errno, "pipe");
	pid = fork();
	if (pid < 0)
		return fail(-errno, "fork");
	if (!pid) {
		close(pipes[0]);
		victim(pipes[1]);
	}
	close(pipes[1]);
	if (read(pipes[0], &byte, 1) != 1)
		ret = fail(0, "turn %u: the client could not begin", turn);
	close(pipes[0]);
	sleep_us(turn % DELAYS * DELAY_US);
	kill(pid, SIGKILL);
	wait_for_child(pid);
	return ret;
}

void heap_race_kill(struct heap_checks *checks, unsigned int count)
{
	unsigned int turn;
	int64_t start = now_us();
	int ret = 0;

	for (turn = 0; !ret && turn < count; turn++)
		ret = kill_one(turn);
	out("# info turns=%u\n# info ms=%lld\n", turn, (long long)(now_us() - start) / 1000);
	heap_check(checks, ret, "SIGKILL while the heap grows");
	afterwards(checks);
}

/*
 * Heaps come and go in a VM that has an address space, and the GPU's MMU may not answer: each call
 * ends, well or not, and so does the client.
 */
void heap_churn(struct heap_checks *checks, unsigned int count)
{
	struct heap_scene scene;
	struct pass pass;
	struct gpu_heap heap;
	unsigned int i, failed = 0;
	int ret = make(&scene);

	pass = heap_pass(&scene, 0, 1);
	heap_check(checks, ret ?: heap_run(&scene, 0, &pass), "the VM has an address space");
	for (i = 0; !ret && i < count; i++) {
		if (i % 4 == 0)		/* or it would go to sleep, and its MMU with it */
			failed += heap_run(&scene, 0, &pass) != 0;
		if (gpu_heap_create(&scene.gpu, scene.vm, 1, HEAP_CHUNK, 1, &heap))
			failed++;
		else
			failed += gpu_heap_destroy(&scene.gpu, heap.handle) != 0;
	}
	out("# info failed=%u\n", failed);
	heap_scene_close(&scene);
}

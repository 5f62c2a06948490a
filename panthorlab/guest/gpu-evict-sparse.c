// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Modes sparse and sparse-race: ranges without a buffer, while what is behind them is let go.
 */

#include "gpu-evict-sparse.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"

static bool too_old(const struct gpu *gpu)
{
	bool old = gpu->version[0] == 1 && gpu->version[1] < SPARSE_MINOR;

	out("# info sparse=%d\n", !old);
	return old;
}

static int let_go(struct scene *scene)
{
	unsigned long gone;
	int ret = evict_pages(&scene->gpu, ALL_PAGES, &gone);

	*ranges_gone += !ret && gone >= SPARSE_BLOCK;
	return ret;
}

static int at_random(unsigned int count, unsigned int seed)
{
	static struct arena arena;
	int ret = arena_create(&arena, ARENA_MAX / BOS) ?: sparse_random(&arena, count, seed, let_go);

	gpu_close(&arena.scene.gpu);
	return ret;
}

static int run_case(int (*check)(struct scene *scene))
{
	static struct scene scene;

	return scene_create(&scene, 1) ?: check(&scene);
}

/* In a process of its own: by that debugfs tells whose is what is behind the ranges, and all of the case goes with it. */
static int in_process(int (*check)(struct scene *scene))
{
	int status;
	pid_t pid;

	out_flush();
	pid = fork();
	if (pid < 0)
		return fail(-errno, "fork");
	if (!pid) {
		status = run_case(check);
		if (status)
			out("# %s\n", last_error());
		out_flush();
		_exit(status != 0);
	}
	if (waitpid(pid, &status, 0) != pid)
		return fail(-errno, "waitpid");
	return status ? fail(0, "the process of this case ended with 0x%x", status) : 0;
}

int mode_sparse(unsigned int count, unsigned int seed)
{
	struct gpu gpu;
	bool old;
	unsigned int i;
	int ret = gpu_open(&gpu);

	old = !ret && too_old(&gpu);
	gpu_close(&gpu);
	ranges_gone = mmap(NULL, GPU_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!ret && ranges_gone == MAP_FAILED)
		ret = fail(-errno, "mmap");
	ktap_start(old || ret ? 1 : sparse_case_count + 1);
	if (old || ret) {
		ktap_check(ret, "the driver is asked whether it has ranges without a buffer");
		return ktap_status();
	}
	for (i = 0; i < sparse_case_count; i++)
		ktap_check(in_process(sparse_cases[i].check), "%s", sparse_cases[i].name);
	ktap_check(at_random(count, seed), "with buffers, over and below each other");
	out("# info gone=%u\n", *ranges_gone);
	return ktap_status();
}

int mode_sparse_race(unsigned int count, unsigned int seed)
{
	static struct arena arena;
	struct letter letter = { 0 };
	int ret = arena_create(&arena, ARENA_MAX / BOS);
	bool old = !ret && too_old(&arena.scene.gpu);

	ktap_start(old ? 1 : 2);
	if (old) {
		ktap_check(0, "the driver is asked whether it has ranges without a buffer");
		return ktap_status();
	}
	ret = ret ?: letter_begin(&arena.scene.gpu, &letter) ?: sparse_random(&arena, count, seed, NULL);
	ktap_check(ret, "ranges without a buffer are mapped and unmapped");
	ktap_check(letter_end(&letter), "all is let go meanwhile");
	return ktap_status();
}

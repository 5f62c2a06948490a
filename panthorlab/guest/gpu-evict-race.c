// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Buffers are let go while they are used, mapped and unmapped: a process does nothing else meanwhile.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu-evict.h"
#include "gpu-vm.h"
#include "heap-scene.h"
#include "ktap.h"

#define BUFFERS		3u
#define CHUNKS		4u
#define TILINGS		3u

int letter_begin(const struct gpu *gpu, struct letter *letter)
{
	letter->shared = mmap(NULL, GPU_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (letter->shared == MAP_FAILED)
		return fail(-errno, "mmap");
	letter->pid = fork();
	if (letter->pid < 0)
		return fail(-errno, "fork");
	if (letter->pid)
		return 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		unsigned long gone;

		if (evict_pages(gpu, ALL_PAGES, &gone))
			_exit(1);
		letter->shared->rounds++;
		letter->shared->gone += gone;
	}
}

int letter_end(struct letter *letter)
{
	int status;

	if (letter->pid <= 0)
		return fail(0, "what lets go of buffers was not begun");
	kill(letter->pid, SIGKILL);
	if (waitpid(letter->pid, &status, 0) != letter->pid)
		return fail(-errno, "waitpid");
	out("# info rounds=%u\n# info gone=%u\n", letter->shared->rounds, letter->shared->gone);
	return WIFSIGNALED(status) ? 0 : fail(0, "what lets go of buffers ended by itself: 0x%x", status);
}

int mode_race(unsigned int count, unsigned int seed)
{
	static struct scene scene;
	struct buffer buffer[BUFFERS];
	struct letter letter = { 0 };
	unsigned int i, b;
	int ret = scene_create(&scene, 1);

	(void)seed;
	ktap_start(2);
	for (b = 0; !ret && b < BUFFERS; b++)
		ret = buffer_make(&scene, b == 0, 5 + b, 1, &buffer[b]) ?:
		      buffer_map(&scene, scene.vm, &buffer[b], EVICT_VA + b * 0x100000, 0, 5 + b, 0) ?:
		      buffer_fill(&scene, &buffer[b], EVICT_VA + b * 0x100000);
	ret = ret ?: letter_begin(&scene.gpu, &letter);
	for (i = 0; !ret && i < count; i++) {
		struct buffer *one = &buffer[i % BUFFERS];
		uint64_t va = EVICT_VA + i % BUFFERS * 0x100000;

		ret = buffer_read(&scene, one, va) ?: buffer_fill(&scene, one, va) ?: buffer_seen(one);
	}
	ktap_check(ret, "jobs read what was written");
	ktap_check(letter_end(&letter), "buffers are let go meanwhile");
	return ktap_status();
}

/* The random operations of gpu-vm. */
int mode_binds(unsigned int count, unsigned int seed)
{
	struct gpu gpu;
	struct letter letter;
	int ret = gpu_open(&gpu) ?: letter_begin(&gpu, &letter);

	if (ret) {
		ktap_start(1);
		ktap_check(ret, "begin");
		return ktap_status();
	}
	ret = mode_random(count, seed);
	return letter_end(&letter) ? 1 : ret;
}

/* Chunks of heaps are buffers of the kernel that nobody looks at while no job runs. */
int mode_heap(unsigned int count, unsigned int seed)
{
	static struct heap_scene scene;
	unsigned long gone, all = 0;
	unsigned int i;
	int ret = heap_scene_create(&scene, 1, CHUNKS, 16);

	(void)seed;
	ktap_start(1);
	for (i = 0; !ret && i < count; i++) {
		struct pass pass = heap_pass(&scene, 0, TILINGS);

		ret = heap_run(&scene, 0, &pass) ?: evict_pages(&scene.gpu, ALL_PAGES, &gone);
		all += ret ? 0 : gone;
	}
	out("# info gone=%lu\n", all);
	ktap_check(ret, "heaps render after they were let go");
	return ktap_status();
}

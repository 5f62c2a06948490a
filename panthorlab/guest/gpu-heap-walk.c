// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Somebody reads about the GPU, in debugfs and in fdinfo, while clients come, render and go.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"
#include "gpu-heap.h"
#include "ktap.h"

#define CLIENTS		1u	/* several that die at once fault on every kernel: docs/gpu.md */
#define DIRECTORY	"/sys/kernel/debug/dri/%u/%s"	/* by the minor of the device */

/**
 * struct walk - What was read
 * @minor: of the GPU's file; it is another one if a device that was unplugged is still there
 * @text: of the last file
 * @reads: that went well
 * @vms: reads of gpuvas that showed a VM which is not the firmware's
 * @fdinfos: of open GPU files
 */
struct walk {
	unsigned int minor;
	char text[65536];
	unsigned int reads, vms, fdinfos;
};

/* Files go while they are looked at: many an error is none. */
static int read_whole(struct walk *walk, const char *path)
{
	int ret = read_text(path, walk->text, sizeof(walk->text));

	walk->reads += !ret;
	return ret;
}

/* ENODEV: docs/findings/0002-gpuvas-enodev.md. */
static int walk_debugfs(struct walk *walk)
{
	static const char *const files[] = { "name", "clients", "gem_names", "gpuvas", "gems" };
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[64];
		int ret;

		snprintf(path, sizeof(path), DIRECTORY, walk->minor, files[i]);
		ret = read_whole(walk, path);
		if (ret && ret != -ENOENT && ret != -ENODEV)
			return ret;
		if (!ret && !strcmp(files[i], "gpuvas"))
			walk->vms += strstr(walk->text, "GPU-VM)") != NULL;
	}
	return 0;
}

static int walk_fdinfo(struct walk *walk, pid_t pid)
{
	char path[300];
	struct dirent *entry;
	int ret = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	dir = opendir(path);
	if (!dir)
		return 0;	/* it is gone */
	while (!ret && (entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", pid, entry->d_name);
		ret = read_whole(walk, path);
		if (ret == -ENOENT || ret == -ESRCH || ret == -EACCES)
			ret = 0;
		else if (!ret)
			walk->fdinfos += strstr(walk->text, "drm-driver:\tpanthor") != NULL;
	}
	closedir(dir);
	return ret;
}

static void client(unsigned int count)
{
	unsigned int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (i = 0; i < count; i++) {
		struct heap_scene scene;
		struct pass pass;
		int ret = heap_scene_create(&scene, 2, 1, 3);

		pass = heap_pass(&scene, i % 2, 6);
		pass.handler = true;
		ret = ret ?: heap_run(&scene, i % 2, &pass);
		heap_scene_close(&scene);
		if (ret)
			_exit(1);
	}
	_exit(0);
}

void heap_walk(struct heap_checks *checks, unsigned int count)
{
	static struct walk walk;
	struct gpu gpu = { .fd = -1 };
	struct stat stat = { 0 };
	bool told;
	pid_t pid[CLIENTS];
	unsigned int i, left = CLIENTS, failed = 0;
	int status, ret = 0;

	ret = gpu_open(&gpu) ?: walk_fdinfo(&walk, getpid());
	if (!ret && fstat(gpu.fd, &stat))
		ret = fail(-errno, "fstat");
	walk.minor = minor(stat.st_rdev);
	told = walk.fdinfos;	/* 6.12 says nothing of panthor's files there */
	walk.fdinfos = 0;
	gpu_close(&gpu);
	for (i = 0; i < CLIENTS; i++) {
		pid[i] = fork();
		if (!pid[i])
			client(count);
	}
	while (left) {
		ret = ret ?: walk_debugfs(&walk);
		for (i = 0; i < CLIENTS; i++) {
			if (pid[i] > 0)
				ret = ret ?: walk_fdinfo(&walk, pid[i]);
			if (!pid[i] || (pid[i] > 0 && waitpid(pid[i], &status, WNOHANG) != pid[i]))
				continue;
			failed += pid[i] < 0 || !WIFEXITED(status) || WEXITSTATUS(status);
			pid[i] = 0;
			left--;
		}
	}
	out("# info reads=%u\n# info vms=%u\n# info fdinfos=%u\n", walk.reads, walk.vms, walk.fdinfos);
	heap_check(checks, ret, "all that can be read is read");
	heap_check(checks, walk.vms && (walk.fdinfos || !told) ? 0 : fail(0, "no client was seen at work"),
		   "clients were seen at work");
	heap_check(checks, failed ? fail(0, "%u clients failed", failed) : 0, "all clients render");
}

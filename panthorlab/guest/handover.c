// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What it takes to hand a running board over to another driver or another kernel. Not left to the
 * board's own tools: not every root file system has kmod, and none says who holds the GPU open.
 *
 *   bound            devices that the driver of the GPU has, one a line
 *   holders          "PID COMM PATH" of every process with /dev/dri/... open
 *   unbind DEVICE    take the driver off it; returns when its remove has run
 *   rmmod NAME       unload a module, never by force
 *   insmod FILE      load a module; its parameters may follow
 *   mark ID          "panthorlab: load id=ID" into the kernel log; its sequence number
 *   log-start        sequence number of the last mark, 0 if there is none
 *   detach PROGRAM   run it in a session of its own, its output into the kernel log; only that it was started is told
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers.h"

#define MARK		"panthorlab: load id="
#define RECORD_MAX	8192

static int complain(const char *what)
{
	fprintf(stderr, "handover: %s: %s\n", what, strerror(errno));
	return 1;
}

static int bound(void)
{
	const struct gpu_driver *driver = gpu_driver_here();
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	if (!driver)
		return 0;
	snprintf(path, sizeof(path), PLATFORM_DRIVERS "/%s", driver->name);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : complain(path);
	while ((entry = readdir(dir)))
		if (entry->d_type == DT_LNK && strcmp(entry->d_name, "module"))
			puts(entry->d_name);
	closedir(dir);
	return 0;
}

static void holder(const char *pid)
{
	char path[320], target[256], comm[32] = "?";
	struct dirent *entry;
	DIR *dir;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return;		/* it has ended */
	while ((entry = readdir(dir))) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, entry->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0 || strncmp(target, "/dev/dri/", 9))
			continue;
		target[n] = 0;
		snprintf(path, sizeof(path), "/proc/%s/comm", pid);
		file = fopen(path, "re");
		if (file) {
			if (fgets(comm, sizeof(comm), file))
				comm[strcspn(comm, "\n")] = 0;
			fclose(file);
		}
		printf("%s %s %s\n", pid, comm, target);
		break;
	}
	closedir(dir);
}

static int holders(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	if (!dir)
		return complain("/proc");
	while ((entry = readdir(dir)))
		if (strspn(entry->d_name, "0123456789") == strlen(entry->d_name))
			holder(entry->d_name);
	closedir(dir);
	return 0;
}

static int unbind(const char *device)
{
	const struct gpu_driver *driver = gpu_driver_here();
	const ssize_t size = strlen(device);
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), PLATFORM_DRIVERS "/%s/unbind", driver ? driver->name : "");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, device, size) != size)
		return complain(device);
	return 0;
}

static int load(const char *path, const char *params)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, params, 0))
		return complain(path);
	return 0;
}

static int unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? complain(name) : 0;
}

/* Sequence number of a mark, -1 if the record is none. The kernel gives what it says itself facility 0. */
static int64_t mark_in(char *record)
{
	unsigned int priority;
	int64_t seq;
	char *text = strchr(record, ';');

	if (!text || sscanf(record, "%u,%" SCNd64, &priority, &seq) != 2 || priority < 8)
		return -1;
	return strncmp(text + 1, MARK, strlen(MARK)) ? -1 : seq;
}

/* Sequence number of the last mark, 0 if there is none, -1 on error. */
static int64_t last_mark(void)
{
	const int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char record[RECORD_MAX + 1];
	int64_t last = 0, seq;
	ssize_t n;

	if (fd < 0)
		return -1;
	for (;;) {
		n = read(fd, record, RECORD_MAX);
		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (n < 0 && errno != EAGAIN)
			last = -1;
		if (n <= 0)
			break;
		record[n] = 0;
		seq = mark_in(record);
		if (seq >= 0)
			last = seq;
	}
	close(fd);
	return last;
}

static int log_start(void)
{
	const int64_t seq = last_mark();

	if (seq < 0)
		return complain("/dev/kmsg");
	printf("%" PRId64 "\n", seq);
	return 0;
}

static int mark(const char *id)
{
	char line[256];
	const int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	/* Without the newline it cannot be read before something else was printed: it could still go on. */
	const int n = snprintf(line, sizeof(line), MARK "%s\n", id);
	const int64_t before = last_mark();

	if (n >= (int)sizeof(line))
		errno = ENAMETOOLONG;
	if (fd < 0 || n >= (int)sizeof(line) || write(fd, line, n) != n)
		return complain("/dev/kmsg");
	if (last_mark() <= before) {
		fputs("handover: the kernel dropped the mark; it must run with printk.devkmsg=on\n", stderr);
		return 1;
	}
	return log_start();
}

static int detach(char **argv)
{
	int started[2], error = 0, log;

	if (pipe2(started, O_CLOEXEC))
		return complain("pipe");
	switch (fork()) {
	case -1:
		return complain("fork");
	case 0:
		setsid();
		log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
		if (log < 0)
			log = open("/dev/null", O_RDWR | O_CLOEXEC);
		dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
		dup2(log, 1);
		dup2(log, 2);
		execv(argv[0], argv);
		error = errno;
		if (write(started[1], &error, sizeof(error)) < 0)
			_exit(126);
		_exit(127);
	}
	close(started[1]);
	if (read(started[0], &error, sizeof(error)) > 0) {
		errno = error;
		return complain(argv[0]);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (argc == 2 && !strcmp(command, "bound"))
		return bound();
	if (argc == 2 && !strcmp(command, "holders"))
		return holders();
	if (argc == 2 && !strcmp(command, "log-start"))
		return log_start();
	if (argc == 3 && !strcmp(command, "unbind"))
		return unbind(argv[2]);
	if (argc == 3 && !strcmp(command, "rmmod"))
		return unload(argv[2]);
	if ((argc == 3 || argc == 4) && !strcmp(command, "insmod"))
		return load(argv[2], argc == 4 ? argv[3] : "");
	if (argc == 3 && !strcmp(command, "mark"))
		return mark(argv[2]);
	if (argc >= 3 && !strcmp(command, "detach"))
		return detach(argv + 2);
	fputs("usage: handover bound | holders | log-start | unbind DEVICE | rmmod NAME | insmod FILE [PARAMETERS] |\n"
	      "                mark ID | detach PROGRAM [ARGUMENT...]\n", stderr);
	return argc == 2 && !strcmp(command, "--help") ? 0 : 2;
}

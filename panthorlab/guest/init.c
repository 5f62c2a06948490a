// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * PID 1 of an emulated board. It does next to nothing, so that a fault in the agent (agent.c) is seen as such and not
 * as "Attempted to kill init!": it mounts, forks the agent, and reaps.
 *
 * If the kernel was told `panthorlab.spin`, it also keeps the CPU from ever being idle; `panthorlab.spin=each`, all of them.
 *
 * When not PID 1: `init wait GLOB SECONDS` waits until a path exists.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-main.h"
#include "board.h"

static void mount_all(void)
{
	static const struct {
		const char *type, *dir, *options;
	} mounts[] = {
		{ "devtmpfs", "/dev", "mode=0755" },
		{ "proc", "/proc", "" },
		{ "sysfs", "/sys", "" },
		{ "debugfs", "/sys/kernel/debug", "" },
		{ "tracefs", "/sys/kernel/tracing", "" },
		{ "tmpfs", "/tmp", "mode=1777" },
	};

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		/* In sysfs there is a place for what the kernel has, and no other can be made. */
		if (mkdir(mounts[i].dir, 0755) && errno != EEXIST)
			continue;
		if (mount(mounts[i].type, mounts[i].dir, mounts[i].type, 0, mounts[i].options) && errno != EBUSY)
			say("mount %s: %s", mounts[i].dir, strerror(errno));
	}
}

static int wait_for(const char *pattern, const char *seconds)
{
	const uint64_t end = uptime_ns() + strtoull(seconds, NULL, 10) * 1000000000ull;
	glob_t found;

	do {
		if (!glob(pattern, 0, NULL, &found)) {
			puts(found.gl_pathv[0]);
			globfree(&found);
			return 0;
		}
		msleep(STEP_MS);
	} while (uptime_ns() < end);
	fprintf(stderr, "init: no %s after %s s\n", pattern, seconds);
	return 1;
}

/* Whether the kernel was told this word. */
static bool told(const char *word)
{
	char line[4096];
	ssize_t n;
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	line[n < 0 ? 0 : n] = '\0';
	for (char *at = strtok(line, " \n"); at; at = strtok(NULL, " \n"))
		if (!strcmp(at, word))
			return true;
	return false;
}

/* Takes what time of this CPU nobody else wants: in exact time only instructions move the clock. */
static void spin(int cpu)
{
	const struct sched_param none = { 0 };
	cpu_set_t own;

	if (fork())
		return;
	CPU_ZERO(&own);
	CPU_SET(cpu, &own);
	if (sched_setaffinity(0, sizeof(own), &own))
		say("CPU %d: %s", cpu, strerror(errno));
	if (sched_setscheduler(0, SCHED_IDLE, &none))
		say("SCHED_IDLE: %s", strerror(errno));
	for (;;)
		asm volatile(".rept 62\n\tnop\n\t.endr");
}

/* A CPU that waits for an interrupt keeps the other ones from nothing, but its turns would be over at once. */
static void spin_each(void)
{
	cpu_set_t all;

	if (sched_getaffinity(0, sizeof(all), &all)) {
		say("sched_getaffinity: %s", strerror(errno));
		return;
	}
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all))
			spin(cpu);
}

int main(int argc, char **argv)
{
	pid_t child, pid;
	int status = 0, fd;

	if (getpid() != 1) {
		if (argc == 4 && !strcmp(argv[1], "wait"))
			return wait_for(argv[2], argv[3]);
		fprintf(stderr, "usage: init wait GLOB SECONDS\n");
		return 2;
	}
	mount_all();
	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd < 3);
	close(fd);
	say("started");
	if (told("panthorlab.spin=each"))
		spin_each();
	else if (told("panthorlab.spin"))
		spin(0);
	child = fork();
	if (child == 0)
		agent();
	while (child > 0) {
		pid = wait(&status);
		if (pid == child)
			break;
	}
	say("agent ended, status 0x%x", status);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

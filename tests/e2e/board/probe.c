// SPDX-License-Identifier: GPL-2.0-or-later
/* What a process on a board may do to the agent; see test_shell.py. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n <= 0)
			exit(9);
		data += n;
		size -= n;
	}
}

/* `total` bytes to stdout and, complemented, to stderr, that tell where they belong: any loss or swap shows. */
static int spew(long total, unsigned int seed)
{
	static unsigned char line[4096], other[4096];

	for (long done = 0; done < total; done += sizeof(line)) {
		for (unsigned int i = 0; i < sizeof(line); i++) {
			line[i] = (done + i) / 251 + i + seed;
			other[i] = ~line[i];
		}
		all(1, (char *)line, sizeof(line));
		all(2, (char *)other, sizeof(other));
	}
	return 0;
}

static int cat(void)
{
	static char buf[8192];
	ssize_t n;

	while ((n = read(0, buf, sizeof(buf))) > 0)
		all(1, buf, n);
	return n ? 1 : 0;
}

int main(int argc, char **argv, char **envp)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "spew"))
		return spew(atol(argv[2]), atoi(argv[3]));
	if (!strcmp(what, "cat"))
		return cat();
	if (!strcmp(what, "args")) {
		for (int i = 2; i < argc; i++)
			printf("%s\n", argv[i]);
		for (; *envp; envp++)
			printf("env %s\n", *envp);
		return 0;
	}
	if (!strcmp(what, "sleep")) {	/* says its pid and its child's, then both wait to be killed */
		const pid_t child = fork();

		if (child) {
			printf("%d %d\n", getpid(), child);
			fflush(stdout);
		}
		for (;;)
			pause();
	}
	if (!strcmp(what, "orphan")) {	/* leaves a child behind that holds the pipes and never ends */
		printf("parent's word\n");
		fflush(stdout);
		if (!fork())
			for (;;)
				pause();
		return 5;
	}
	if (!strcmp(what, "chatty-orphan")) {	/* one that keeps writing */
		if (!fork())
			for (;;)
				all(1, "x", 1);
		usleep(20000);
		return 6;
	}
	if (!strcmp(what, "children")) {	/* leaves `n` dead ones for PID 1 to reap */
		for (int i = 0; i < atoi(argv[2]); i++)
			if (!fork()) {
				if (!fork()) {
					usleep(1000);
					_exit(0);
				}
				_exit(0);
			}
		return 0;
	}
	if (!strcmp(what, "segv"))
		raise(SIGSEGV);
	if (!strcmp(what, "fill")) {	/* the file system of a file, to the last byte */
		const int fd = open(argv[2], O_WRONLY | O_CREAT, 0600);

		for (long step = 1l << 28; step; step /= 2)
			while (!posix_fallocate(fd, lseek(fd, 0, SEEK_END), step))
				lseek(fd, 0, SEEK_END);
		return 0;
	}
	if (!strcmp(what, "kill-parent"))	/* the agent; stopped, it is as silent as in a guest that hangs */
		return kill(getppid(), atoi(argv[2]));
	if (getpid() == 1)		/* as rdinit=: a boot that comes to nothing */
		for (;;)
			pause();
	return 2;
}

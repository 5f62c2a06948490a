/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What init.c, agent.c and agent-helpers.c share. */
#ifndef PANTHORLAB_INIT_H
#define PANTHORLAB_INIT_H

#include <stddef.h>
#include <stdint.h>

#define STEP_MS		1	/* between two looks at something that nothing announces */

/* One line on the console: how far the boot has come, for the host to name if it stops here. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void msleep(int ms);
uint64_t uptime_ns(void);
int write_all(int fd, const void *data, size_t size);

void agent(void) __attribute__((noreturn));

/* Bodies of child processes; each returns its exit status, an errno. */
struct put {
	uint32_t mode;
	uint64_t size;
	const char *path;
};

int get_main(const void *path);
int put_main(const void *put);
int loader_main(const void *list);

#endif

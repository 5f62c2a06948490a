/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The main functions of the agent and of the children that it starts. */
#ifndef PANTHORLAB_AGENT_MAIN_H
#define PANTHORLAB_AGENT_MAIN_H

#include <stdint.h>

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

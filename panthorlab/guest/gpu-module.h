/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_MODULE_H
#define PANTHORLAB_GUEST_GPU_MODULE_H

#include <stdbool.h>
#include <sys/types.h>

#define MODULES		"/sys/module"
#define NAME_SIZE	256
#define NEEDED_MAX	16u

struct module {
	const char *name;
	char needs[NEEDED_MAX][NAME_SIZE];	/* modules that it holds */
	unsigned int needed;
	char node[NAME_SIZE];			/* "renderD128" */
	unsigned int count;
};

bool module_here(const char *name);
long module_references(const char *name);
int module_interrupts(const struct module *m);
int nothing_left(struct module *m);

/* Calls @entry for each entry of a directory until it returns something else than 0, which this returns, too. */
int each(const char *dir, int (*entry)(const char *name, void *data), void *data);

/* Whether there is a render node; its name, in @node of NAME_SIZE bytes. */
bool render_node(char *node);

int find_module(struct module *m);
int module_delete(const struct module *m);
int unload_and_load(struct module *m);

pid_t work_start(bool busy);
void work_end(pid_t pid);
int work(void);

/* Modes, as gpu-module.c names them. They return the exit status. */
int module_reload(struct module *m);
int module_once(struct module *m);
int module_held(struct module *m);
int module_shared(struct module *m);

#endif

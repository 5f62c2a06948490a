/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_HEAP_EXIT_H
#define PANTHORLAB_GUEST_HEAP_EXIT_H

#include "client.h"

#define EXEC_TARGET	"exec-target"	/* what mode exec becomes: exits at once */

struct mode;

struct options {
	const struct mode *mode;
	struct client_config config;
	unsigned int terminations;
	unsigned int processes;
	int socket[2];			/* fd-pass */
};

/**
 * struct mode - One way to die
 * @config: defaults
 * @heap_per_group: --groups means as many heaps, unless --heaps is given
 * @evicted: its groups are off the GPU when it dies, so nothing is terminated
 * @prepare: before the GPU is opened
 * @die: with the result printed; returns the exit status if it returns
 * @run: instead of all this, for modes with several clients
 */
struct mode {
	const char *name;
	const char *role;
	const char *help;
	struct client_config config;
	bool heap_per_group;
	bool evicted;
	int (*prepare)(struct options *options);
	int (*die)(struct client *client, struct options *options);
	int (*run)(struct options *options);
};

/* With what went wrong printed: the exit status. */
int complain(const char *what);

/* Ways to die, as heap-exit.c has them in its table. */
int die_exit(struct client *client, struct options *options);
int die_sigkill(struct client *client, struct options *options);
int die_sigsegv(struct client *client, struct options *options);
int die_exec(struct client *client, struct options *options);
int die_destroy(struct client *client, struct options *options);
int die_heap_destroy(struct client *client, struct options *options);
int die_vm_destroy_live(struct client *client, struct options *options);
int die_idle_exit(struct client *client, struct options *options);
int die_destroy_wait(struct client *client, struct options *options);
int die_fork_storm(struct client *client, struct options *options);
int die_fd_inherit(struct client *client, struct options *options);
int die_fd_pass(struct client *client, struct options *options);
int prepare_fd_pass(struct options *options);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_CROWD_H
#define PANTHORLAB_GUEST_CROWD_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_AT_ONCE	64u

struct options {
	unsigned int count;
	unsigned int at_once;
	unsigned int together;
	unsigned int open;
	unsigned int min_ms;
	unsigned int max_ms;
	bool kill;
	bool warm;
	unsigned int seed;
	char **argv;
};

/**
 * struct counts - What became of the clients
 * @started: of these so many have
 * @ended: by themselves, with status 0,
 * @killed: been killed,
 * @failed: ended otherwise
 * @most: seen with the GPU open at the same time
 */
struct counts {
	unsigned int started, ended, killed, failed, most;
};

extern struct counts counts;

/* @seed: of the moments of death. */
void clients_prepare(const struct options *options, uint64_t seed);
void clients_end(void);

/* Clients have places from 0 to MAX_AT_ONCE - 1. */
bool client_is_there(unsigned int place);
int client_start(unsigned int place, const struct options *options);
unsigned int clients_there(void);

/* Kill whose time has come. Returns when to look again. */
int64_t clients_kill_due(void);
void clients_reap(void);

/* Count those that have the GPU open. */
void clients_look(void);

#endif

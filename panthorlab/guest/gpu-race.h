/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_RACE_H
#define PANTHORLAB_GUEST_GPU_RACE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sched-lab.h"

#define WORK_NS		2000000	/* for the kernel's workers, which free groups */

enum priority { FROZEN, KEEPER, ACTOR, DIRECTOR };

/**
 * struct actor - A thread that makes one call whenever it is started
 * @busy: it was started, and nobody has waited for its end
 * @inside: it is in its call
 * @released: it need not keep the CPU any more
 * @ret: of its last call, 0 or a negative errno
 * @handle: of the group that it makes or destroys
 */
struct actor {
	pthread_t thread;
	pid_t tid;
	struct race *race;
	void (*call)(struct actor *actor);
	sem_t go, gone;
	bool busy;
	atomic_bool inside, released;
	int ret;
	uint32_t handle;
};

/**
 * struct race - What director and actors share
 * @lab: with two VMs: of the creator, and of the director, which must not wait for its locks
 * @handle: of what they race for
 * @calls: of a reader that ended
 */
struct race {
	struct lab lab;
	_Atomic uint32_t handle;
	atomic_uint calls;
	unsigned int count, limit_ms;
};

int raw(struct race *race, unsigned long request, void *arg);
int group_make(struct race *race, uint32_t vm, uint32_t *handle);
int group_drop(struct race *race, uint32_t handle);
int group_look(struct race *race, uint32_t handle);

int set_priority(pid_t tid, enum priority priority);
void sleep_ns(int64_t ns);

int actor_create(struct race *race, struct actor *actor, void (*call)(struct actor *actor));
void actor_end(struct actor *actor);
int actor_stop_after(struct actor *actor, enum priority priority, int64_t ns);
int actor_start(struct actor *actor, enum priority priority);
int actor_finish(struct actor *actor, enum priority priority);
int actor_finish_last(struct actor *actor);
bool is_waiting(const struct actor *actor);
bool starts_waiting(struct actor *actor);

/* Modes, as gpu-race.c tells them. */
int vm_make(struct race *race, uint32_t vm, uint32_t *handle);
int vm_drop(struct race *race, uint32_t handle);

int race_create(struct race *race);
int race_reuse(struct race *race);
int race_bo(struct race *race);
int race_heap(struct race *race);
int race_label(struct race *race);

#endif

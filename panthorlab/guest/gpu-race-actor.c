// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Threads that can be stopped in the middle of a call, and the calls that they make.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "gpu-race.h"

#define POLL_NS		100000	/* between two looks at an actor, at least */
#define POLL_SHARE	4	/* times as long as a look takes */

/* Calls of actors leave no text in last_error(), which is the director's. */
int raw(struct race *race, unsigned long request, void *arg)
{
	return ioctl(race->lab.gpu.fd, request, arg) ? -errno : 0;
}

static int group_try(struct race *race, uint32_t vm, uint32_t *handle)
{
	struct drm_panthor_queue_create queue;
	struct drm_panthor_group_create create;
	int ret;

	gpu_group_ask(&race->lab.gpu, vm, &queue, 1, &create);
	ret = raw(race, DRM_IOCTL_PANTHOR_GROUP_CREATE, &create);
	*handle = create.group_handle;
	return ret;
}

/* Groups that are gone hold memory of the firmware until the kernel's workers have freed them. */
int group_make(struct race *race, uint32_t vm, uint32_t *handle)
{
	int64_t deadline = now_us() + GPU_TIMEOUT_MS * 1000LL;
	int ret = group_try(race, vm, handle);

	while ((ret == -ENOSPC || ret == -ENOMEM) && now_us() < deadline) {
		sleep_ns(WORK_NS);
		ret = group_try(race, vm, handle);
	}
	return ret;
}

int group_drop(struct race *race, uint32_t handle)
{
	struct drm_panthor_group_destroy destroy = { .group_handle = handle };

	return raw(race, DRM_IOCTL_PANTHOR_GROUP_DESTROY, &destroy);
}

int group_look(struct race *race, uint32_t handle)
{
	struct drm_panthor_group_get_state get = { .group_handle = handle };

	return raw(race, DRM_IOCTL_PANTHOR_GROUP_GET_STATE, &get);
}

int set_priority(pid_t tid, enum priority priority)
{
	struct sched_param param = { .sched_priority = priority };

	return sched_setscheduler(tid, priority == FROZEN ? SCHED_IDLE : SCHED_FIFO, &param) ?
	       fail(-errno, "sched_setscheduler") : 0;
}

void sleep_ns(int64_t ns)
{
	struct timespec left = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) && errno == EINTR)
		;
}

/* While an actor has nothing to do but is not released, those that are stopped must not go on. */
static void *act(void *data)
{
	struct actor *actor = data;

	actor->tid = gettid();
	sem_post(&actor->gone);
	for (;;) {
		wait_for(&actor->go);
		if (!actor->call)
			return NULL;
		actor->inside = true;
		actor->call(actor);
		actor->inside = false;
		while (!actor->released)
			;
		sem_post(&actor->gone);
	}
}

int actor_create(struct race *race, struct actor *actor, void (*call)(struct actor *actor))
{
	int ret;

	*actor = (struct actor){ .race = race, .call = call };
	sem_init(&actor->go, 0, 0);
	sem_init(&actor->gone, 0, 0);
	ret = pthread_create(&actor->thread, NULL, act, actor);
	if (ret)
		return fail(-ret, "pthread_create");
	wait_for(&actor->gone);
	return 0;
}

void actor_end(struct actor *actor)
{
	actor->call = NULL;
	sem_post(&actor->go);
	pthread_join(actor->thread, NULL);
}

/* Let it run for @ns, and stop it where it then is. */
int actor_stop_after(struct actor *actor, enum priority priority, int64_t ns)
{
	int ret = set_priority(actor->tid, priority);

	actor->busy = true;
	actor->released = false;
	actor->inside = true;	/* it is about to be */
	sem_post(&actor->go);
	sleep_ns(ns);
	return ret;
}

/* Let it run, and others when it waits. */
int actor_start(struct actor *actor, enum priority priority)
{
	int ret = set_priority(actor->tid, priority);

	actor->busy = true;
	actor->released = true;
	actor->inside = true;
	sem_post(&actor->go);
	return ret;
}

/* Let it go on to its end. */
int actor_finish(struct actor *actor, enum priority priority)
{
	int ret = set_priority(actor->tid, priority);

	actor->released = true;
	wait_for(&actor->gone);
	actor->busy = false;
	return ret;
}

/* As actor_finish(), but the kernel's workers first: what was destroyed is freed until it goes on. */
int actor_finish_last(struct actor *actor)
{
	return actor_finish(actor, FROZEN);
}

/* It waits in the kernel, for a lock. */
bool is_waiting(const struct actor *actor)
{
	char path[64], line[256] = "";
	const char *state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", actor->tid);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	state = strrchr(line, ')');
	return state && state[1] == ' ' && state[2] == 'D';
}

/*
 * Until it waits for a lock (true) or has ended its call. To look, to go to sleep and to wake up take a
 * debug kernel longer than POLL_NS: the actor, whose CPU it is, would hardly run between two looks.
 */
bool starts_waiting(struct actor *actor)
{
	int64_t ns = POLL_NS;

	while (actor->inside) {
		int64_t begin = now_us(), look;

		sleep_ns(ns);
		if (is_waiting(actor))
			return true;
		look = (now_us() - begin) * 1000 - ns;
		ns = look * POLL_SHARE > POLL_NS ? look * POLL_SHARE : POLL_NS;
	}
	return false;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Handles that one thread uses while another one destroys what they stand for.
 *
 *   --mode group    GROUP_GET_STATE is interrupted, and the group destroyed and freed meanwhile
 *   --mode vm       the same with VM_GET_STATE
 *   --mode create   the handle of a group that is half made, as GROUP_CREATE has not returned, is
 *                   destroyed
 *
 * No two CPUs have to meet in a window. All threads share one CPU; the director, which has the
 * highest priority, wakes up by a timer in the middle of an actor's call, and decides who goes on
 * and who stays where he was interrupted, in the kernel. A group stays half made for as long as the
 * scheduler's lock is held; the emulated GPU sees to that, if it is told to start groups late.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "gpu.h"
#include "ktap.h"
#include "sched-lab.h"

#define POLL_NS		100000
#define WORK_NS		2000000	/* for the kernel's workers, one of which starts the group */
#define BLOCKS		40u	/* tries to find the scheduler's lock held */

enum priority { FROZEN, ACTOR, DIRECTOR };

/**
 * struct actor - A thread that makes one call whenever it is started
 * @busy: it was started, and nobody has waited for its end
 * @inside: it is in its call
 * @released: it need not keep the CPU any more
 * @ret: of its last call, 0 or a negative errno
 * @handle: of the group that it made
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

/* Calls of actors leave no text in last_error(), which is the director's. */
static int raw(struct race *race, unsigned long request, void *arg)
{
	return ioctl(race->lab.gpu.fd, request, arg) ? -errno : 0;
}

static int group_make(struct race *race, uint32_t vm, uint32_t *handle)
{
	struct drm_panthor_queue_create queue;
	struct drm_panthor_group_create create;
	int ret;

	gpu_group_ask(&race->lab.gpu, vm, &queue, 1, &create);
	ret = raw(race, DRM_IOCTL_PANTHOR_GROUP_CREATE, &create);
	*handle = create.group_handle;
	return ret;
}

static int group_drop(struct race *race, uint32_t handle)
{
	struct drm_panthor_group_destroy destroy = { .group_handle = handle };

	return raw(race, DRM_IOCTL_PANTHOR_GROUP_DESTROY, &destroy);
}

static int group_look(struct race *race, uint32_t handle)
{
	struct drm_panthor_group_get_state get = { .group_handle = handle };

	return raw(race, DRM_IOCTL_PANTHOR_GROUP_GET_STATE, &get);
}

static int vm_make(struct race *race, uint32_t vm, uint32_t *handle)
{
	struct drm_panthor_vm_create create = { 0 };
	int ret = raw(race, DRM_IOCTL_PANTHOR_VM_CREATE, &create);

	(void)vm;
	*handle = create.id;
	return ret;
}

static int vm_drop(struct race *race, uint32_t handle)
{
	struct drm_panthor_vm_destroy destroy = { .id = handle };

	return raw(race, DRM_IOCTL_PANTHOR_VM_DESTROY, &destroy);
}

static int vm_look(struct race *race, uint32_t handle)
{
	struct drm_panthor_vm_get_state get = { .vm_id = handle };

	return raw(race, DRM_IOCTL_PANTHOR_VM_GET_STATE, &get);
}

/**
 * struct kind - What has handles
 */
static const struct kind {
	int (*make)(struct race *race, uint32_t vm, uint32_t *handle);
	int (*drop)(struct race *race, uint32_t handle);
	int (*look)(struct race *race, uint32_t handle);
} groups = { group_make, group_drop, group_look }, vms = { vm_make, vm_drop, vm_look };

/* -- threads */

static int set_priority(pid_t tid, enum priority priority)
{
	struct sched_param param = { .sched_priority = priority };

	return sched_setscheduler(tid, priority == FROZEN ? SCHED_IDLE : SCHED_FIFO, &param) ?
	       fail(-errno, "sched_setscheduler") : 0;
}

static void sleep_ns(int64_t ns)
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

static int actor_create(struct race *race, struct actor *actor, void (*call)(struct actor *actor))
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

static void actor_end(struct actor *actor)
{
	actor->call = NULL;
	sem_post(&actor->go);
	pthread_join(actor->thread, NULL);
}

/* Let it run for @ns, and stop it where it then is. */
static int actor_stop_after(struct actor *actor, enum priority priority, int64_t ns)
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
static int actor_start(struct actor *actor)
{
	int ret = set_priority(actor->tid, ACTOR);

	actor->busy = true;
	actor->released = true;
	actor->inside = true;
	sem_post(&actor->go);
	return ret;
}

/* Let it go on to its end. */
static int actor_finish(struct actor *actor, enum priority priority)
{
	int ret = set_priority(actor->tid, priority);

	actor->released = true;
	wait_for(&actor->gone);
	actor->busy = false;
	return ret;
}

/* As actor_finish(), but the kernel's workers first: what was destroyed is freed until it goes on. */
static int actor_finish_last(struct actor *actor)
{
	return actor_finish(actor, FROZEN);
}

/* -- modes group and vm */

static const struct kind *looked_at;

/* Look until there is nothing any more. */
static void call_look(struct actor *actor)
{
	struct race *race = actor->race;

	do {
		actor->ret = looked_at->look(race, race->handle);
		race->calls++;
	} while (!actor->ret);
}

/*
 * The interrupted call finds what it looks for or not, that is, the interrupt came behind its look-up
 * or before: both must have happened often enough, then it came in between, too, if it could.
 */
static int race_look(struct race *race, const struct kind *kind)
{
	unsigned int before = 0, behind = 0, rounds, calls;
	int64_t deadline = now_us() + race->limit_ms * 1000LL;
	unsigned int wanted = race->count ?: 400;
	struct actor reader;
	uint32_t handle;
	int ret, dropped;

	looked_at = kind;
	ret = actor_create(race, &reader, call_look);
	if (ret)
		return ret;
	for (rounds = 0; !ret && (before < wanted || behind < wanted) && now_us() < deadline; rounds++) {
		ret = kind->make(race, race->lab.vm[1].vm, &handle);
		if (ret) {
			fail(ret, "no new object");
			break;
		}
		race->handle = handle;
		race->calls = 0;
		ret = actor_stop_after(&reader, ACTOR, 30000 + rand() % 100000);
		calls = race->calls;
		dropped = kind->drop(race, handle);
		ret = ret ?: actor_finish_last(&reader);
		if (dropped)
			ret = fail(dropped, "destroying handle %u", handle);
		else if (reader.ret != -EINVAL)
			ret = fail(reader.ret, "looking for handle %u, which is gone", handle);
		else if (race->calls == calls + 1)
			before++;
		else if (race->calls == calls + 2)
			behind++;
	}
	if (!ret)
		actor_end(&reader);
	out("# rounds %u, interrupted before the look-up %u, behind it %u\n", rounds, before, behind);
	if (!ret && (before < wanted || behind < wanted))
		ret = fail(-ETIME, "not enough calls were interrupted on both sides of the look-up");
	return ret;
}

static int race_group(struct race *race)
{
	return race_look(race, &groups);
}

static int race_vm(struct race *race)
{
	return race_look(race, &vms);
}

/* -- a group that is half made */

static void call_create(struct actor *actor)
{
	actor->ret = group_make(actor->race, actor->race->lab.vm[0].vm, &actor->handle);
}

static void call_destroy_other(struct actor *actor)
{
	actor->ret = group_drop(actor->race, actor->handle);
}

/* It waits in the kernel, for a lock. */
static bool is_waiting(const struct actor *actor)
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

/* Until it waits for a lock (true) or has ended its call. */
static bool starts_waiting(struct actor *actor)
{
	while (actor->inside) {
		sleep_ns(POLL_NS);
		if (is_waiting(actor))
			return true;
	}
	return false;
}

/**
 * struct maker - Makes a group, and stops where it has its handle and is not whole
 * @blocker: destroys another group. It takes the lock that the creator needs, and waits for the
 *	     scheduler's, which is held while the GPU does not say that a group has started
 * @creator: waits for the blocker's lock
 * @blocked: rounds in which the blocker waited
 * @half: rounds in which the creator waited, too
 */
struct maker {
	struct actor blocker, creator;
	unsigned int rounds, blocked, half;
};

static int maker_create(struct race *race, struct maker *maker)
{
	int ret;

	*maker = (struct maker){ 0 };
	ret = actor_create(race, &maker->blocker, call_destroy_other);
	return ret ?: actor_create(race, &maker->creator, call_create);
}

static void maker_end(struct maker *maker)
{
	actor_end(&maker->blocker);
	actor_end(&maker->creator);
}

static void maker_tell(const struct maker *maker)
{
	out("# rounds %u, the lock was held in %u, a group half made in %u\n", maker->rounds,
	    maker->blocked, maker->half);
}

/* There is a group with the handle that is raced for. */
static int ensure_group(struct race *race)
{
	uint32_t handle;
	int ret;

	if (!group_look(race, race->handle))
		return 0;
	ret = group_make(race, race->lab.vm[1].vm, &handle);
	if (!ret && handle != race->handle)
		return fail(-EIO, "the new group has handle %u, not %u", handle, race->handle);
	return ret ? fail(ret, "GROUP_CREATE") : 0;
}

/* Have the scheduler's lock held by the tick that starts a group, and the blocker wait for it. */
static int block(struct race *race, struct maker *maker, unsigned int starter, bool *blocked)
{
	struct lab_submit how = { 0 };
	unsigned int try;
	int ret = lab_store(&race->lab, starter, 0, 1, &how);

	*blocked = false;
	for (try = 0; !ret && !*blocked && try < BLOCKS; try++) {
		ret = group_make(race, race->lab.vm[1].vm, &maker->blocker.handle);
		if (ret)
			return fail(ret, "GROUP_CREATE");
		sleep_ns(WORK_NS);
		ret = actor_start(&maker->blocker);
		*blocked = starts_waiting(&maker->blocker);
		if (!ret && !*blocked)
			ret = actor_finish(&maker->blocker, ACTOR) ?: maker->blocker.ret;
	}
	return ret;
}

static bool is_half(const struct maker *maker)
{
	return maker->creator.inside && is_waiting(&maker->creator);
}

/* The group with the handle goes, the creator gets the handle, and stops with it if @half. */
static int maker_start(struct race *race, struct maker *maker, bool *half)
{
	unsigned int starter;
	bool blocked;
	int ret;

	*half = false;
	race->lab.group_count = 0;
	maker->rounds++;
	ret = lab_group(&race->lab, 1, PANTHOR_GROUP_PRIORITY_MEDIUM, &starter);
	if (ret)
		return ret;
	ret = group_drop(race, race->handle);
	if (ret)
		return fail(ret, "GROUP_DESTROY");
	ret = block(race, maker, starter, &blocked);
	maker->blocked += blocked;
	if (ret || !blocked)
		return ret;
	ret = actor_start(&maker->creator);
	*half = starts_waiting(&maker->creator);
	maker->half += *half;
	return ret;
}

/* @made: the creator has made its group with the handle, and nobody should have destroyed it. */
static int maker_finish(struct race *race, struct maker *maker, bool half, bool *made)
{
	int ret = 0;

	*made = false;
	if (maker->blocker.busy)
		ret = actor_finish(&maker->blocker, ACTOR) ?: maker->blocker.ret;
	if (maker->creator.busy) {
		ret = actor_finish_last(&maker->creator) ?: ret;
		ret = ret ?: maker->creator.ret;
		*made = !ret && half && maker->creator.handle == race->handle;
	}
	return ret ?: group_drop(race, race->lab.group[0].handle);
}

/*
 * A handle that GROUP_CREATE has taken but not returned is refused, until the group is whole. A
 * kernel that does not know that state destroys what is half made.
 */
static int race_create(struct race *race)
{
	unsigned int refused = 0, destroyed = 0, wanted = race->count ?: 10;
	int64_t deadline = now_us() + race->limit_ms * 1000LL;
	struct maker maker;
	int ret = maker_create(race, &maker);

	while (!ret && refused < wanted && !destroyed && now_us() < deadline) {
		int dropped = -EINVAL;
		bool half, made;

		ret = ensure_group(race);
		ret = ret ?: maker_start(race, &maker, &half);
		if (ret)
			break;
		if (half)
			dropped = group_drop(race, race->handle);
		half = half && (!dropped || is_half(&maker));
		ret = maker_finish(race, &maker, half, &made);
		destroyed += made && !dropped;
		refused += made && dropped == -EINVAL;
	}
	if (!ret)
		maker_end(&maker);
	maker_tell(&maker);
	out("# refused %u, destroyed %u\n", refused, destroyed);
	if (!ret && destroyed)
		ret = fail(-EIO, "GROUP_DESTROY destroyed a group that was half made");
	else if (!ret && refused < wanted)
		ret = fail(-ETIME, "only %u of %u groups were caught half made", refused, wanted);
	return ret;
}

static const struct mode {
	const char *name;
	int (*run)(struct race *race);
} modes[] = {
	{ "group", race_group }, { "vm", race_vm }, { "create", race_create },
};

#define MODES	(sizeof(modes) / sizeof(modes[0]))

/* One CPU for all, and the director before everybody else. */
static int prepare(struct race *race)
{
	uint32_t handle;
	cpu_set_t cpus;
	int ret;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		return fail(-errno, "sched_setaffinity");
	ret = lab_create(&race->lab, 2);
	if (ret)
		return ret;
	ret = group_make(race, race->lab.vm[1].vm, &handle);
	race->handle = handle;
	if (ret)
		return fail(ret, "GROUP_CREATE");
	return set_priority(0, DIRECTOR);
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "mode", required_argument, NULL, 'm' },
		{ "count", required_argument, NULL, 'c' },
		{ "limit-ms", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	static const char usage[] = "usage: gpu-race --mode group|vm|create [--count N] [--limit-ms T]\n"
		"  --count: how often a call must have been interrupted where it matters\n"
		"  --limit-ms: within this time (20000)\n";
	static struct race race = { .limit_ms = 20000 };
	const struct mode *mode = NULL;
	int opt, ret;
	size_t i;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case 'm':
			for (i = 0; i < MODES; i++)
				if (!strcmp(optarg, modes[i].name))
					mode = &modes[i];
			break;
		case 'c':
			race.count = strtoul(optarg, NULL, 10);
			break;
		case 'l':
			race.limit_ms = strtoul(optarg, NULL, 10);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			return 2;
		}
	}
	if (!mode || optind != argc || !race.limit_ms) {
		fputs(usage, stderr);
		return 2;
	}
	ktap_start(1);
	ret = prepare(&race);
	if (!ret)
		ret = mode->run(&race);
	ktap_result(1, !ret, mode->name, last_error());
	return ret ? 1 : 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A buffer object whose handle is closed by another thread before BO_CREATE has returned it: handles
 * are given by their order, so anybody can know which one comes next. From then on the object is not
 * the creator's any more.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "gpu-race.h"
#include "gpu-race-edge.h"
#include "ktap.h"

#define STEP_NS		256	/* of the place where the handle is given */

static void call_bo(struct actor *actor)
{
	struct drm_panthor_bo_create create = { .size = GPU_PAGE };

	actor->ret = raw(actor->race, DRM_IOCTL_PANTHOR_BO_CREATE, &create);
	actor->handle = create.handle;
}

static int bo_close(struct race *race, uint32_t handle)
{
	struct drm_gem_close close = { .handle = handle };

	return raw(race, DRM_IOCTL_GEM_CLOSE, &close);
}

/**
 * struct strikes - What the handle was when it was closed
 * @early: not given yet
 * @struck: given, and not returned
 * @late: returned
 */
struct strikes {
	unsigned int early, struck, late;
};

/* One object. Calls are stopped around the place where its handle is given, half of them behind it. */
static int bo_round(struct race *race, struct actor *maker, struct edge *edge, struct strikes *strikes)
{
	bool inside;
	int closed, ret;

	ret = actor_stop_after(maker, ACTOR, edge->ns + rand() % STEP_NS);
	closed = bo_close(race, race->handle);
	inside = maker->inside;
	ret = ret ?: actor_finish_last(maker);
	if (ret || maker->ret)
		return ret ?: fail(maker->ret, "BO_CREATE");
	if (maker->handle != race->handle)
		return fail(-EIO, "handle %u, expected %u", maker->handle, race->handle);
	strikes->early += closed != 0;
	strikes->struck += !closed && inside;
	strikes->late += !closed && !inside;
	edge_move(edge, closed);
	return closed ? bo_close(race, race->handle) : 0;
}

/*
 * The list of all objects, if the driver has one, must have an end: one that was put on it when it was
 * freed is made anew, and then leads to itself. Not as a realtime thread, or nobody could say so.
 */
static int walk_list(struct race *race, bool *listed)
{
	struct sched_param param = { 0 };
	char path[64], text[4096];
	struct stat st;
	ssize_t n = -1;
	int fd;

	if (sched_setscheduler(0, SCHED_OTHER, &param) || fstat(race->lab.gpu.fd, &st))
		return fail(-errno, "before the list is read");
	snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%u/gems", minor(st.st_rdev));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	*listed = fd >= 0;
	while (fd >= 0 && (n = read(fd, text, sizeof(text))) > 0)
		;
	if (fd >= 0)
		close(fd);
	return *listed && n ? fail(-errno, "%s", path) : 0;
}

int race_bo(struct race *race)
{
	int64_t deadline = now_us() + race->limit_ms * 1000LL;
	unsigned int wanted = race->count ?: 200;
	struct edge edge = edge_begin(STEP_NS);
	struct strikes strikes = { 0 };
	struct actor maker;
	bool listed = false;
	int ret;

	ret = actor_create(race, &maker, call_bo);
	if (ret)
		return ret;
	call_bo(&maker);	/* for the handle that comes next, and again and again */
	race->handle = maker.handle;
	ret = maker.ret ?: bo_close(race, race->handle);
	if (ret)
		fail(ret, "a first buffer object");
	while (!ret && strikes.struck < wanted && now_us() < deadline)
		ret = bo_round(race, &maker, &edge, &strikes);
	if (!ret)
		actor_end(&maker);
	ret = ret ?: walk_list(race, &listed);
	out("# closed before it was given %u, before it was returned %u, after that %u\n", strikes.early,
	    strikes.struck, strikes.late);
	out("# given after %lld ns\n# info listed=%d\n# info struck=%u\n", (long long)edge.ns, listed,
	    strikes.struck);
	return ret;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the driver tells of priorities that a group may have is what GROUP_CREATE grants, to root and to
 * one without rights, and nothing else is told: bytes that mean nothing are zero.
 */

#include <errno.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu-uapi.h"
#include "ktap.h"

#define QUERY_PRIORITIES	3u	/* DRM_PANTHOR_DEV_QUERY_GROUP_PRIORITIES_INFO, from 1.2 on */
#define PRIORITIES		8u	/* bits of the mask */
#define ROUNDS			8u	/* calls with what others have left behind on the stack */

/**
 * struct priorities - struct drm_panthor_group_priorities_info, which older headers have not
 */
struct priorities {
	uint8_t allowed_mask;
	uint8_t pad[3];
};

static int query(struct uapi *u, struct priorities *told)
{
	struct drm_panthor_dev_query call = {
		.type = QUERY_PRIORITIES,
		.size = sizeof(*told),
		.pointer = (uintptr_t)told,
	};

	return GPU_IOCTL(&u->gpu, PANTHOR_DEV_QUERY, &call);
}

static bool known(struct uapi *u)
{
	struct drm_panthor_dev_query call = { .type = QUERY_PRIORITIES };

	return !GPU_IOCTL(&u->gpu, PANTHOR_DEV_QUERY, &call) && call.size >= sizeof(struct priorities);
}

static bool granted(struct uapi *u, unsigned int priority)
{
	struct drm_panthor_group_destroy destroy = { 0 };
	struct call call = { 0 };

	make_GROUP_CREATE(u, &call);
	call.arg.group.priority = priority;
	if (gpu_ioctl(&u->gpu, call.request, &call.arg, "GROUP_CREATE"))
		return false;
	destroy.group_handle = call.arg.group.group_handle;
	return !GPU_IOCTL(&u->gpu, PANTHOR_GROUP_DESTROY, &destroy);
}

/* Two answers to the same question, with other calls in between. */
static int right(struct uapi *u)
{
	struct priorities told;
	unsigned int round, i, mask = 0;
	int ret = 0;

	for (i = 0; i < PRIORITIES; i++)
		mask |= granted(u, i) << i;
	for (round = 0; !ret && round < ROUNDS; round++) {
		(void)granted(u, round % PRIORITIES);
		ret = query(u, &told);
		if (!ret && told.allowed_mask != mask)
			ret = fail(-EIO, "0x%02x is told, 0x%02x is granted", told.allowed_mask, mask);
		for (i = 0; !ret && i < sizeof(told.pad); i++)
			if (told.pad[i])
				ret = fail(-EIO, "byte %u that means nothing is 0x%02x", i, told.pad[i]);
	}
	return ret;
}

/* In a child without rights, with the file that it inherited. What was wrong there it says itself. */
static int right_for_nobody(struct uapi *u)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (setgid(NOBODY) || setuid(NOBODY))
			_exit(2);
		status = right(u) != 0;
		if (status) {
			out("# %s\n", last_error());
			out_flush();
		}
		_exit(status);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 2)
		return fail(-ECHILD, "no process without rights");
	return WEXITSTATUS(status) ? fail(-EIO, "not to nobody") : 0;
}

int uapi_priorities(struct uapi *u)
{
	bool told;

	ktap_start(2);
	if (uapi_open(u)) {
		uapi_result(u, false, "open");
		return 1;
	}
	told = known(u);
	out("# info told=%d\n", told);
	out_flush();
	uapi_result(u, !told || !right(u), "what is told to root is granted");
	uapi_result(u, !told || !right_for_nobody(u), "what is told to nobody is granted");
	return u->failed ? 1 : 0;
}

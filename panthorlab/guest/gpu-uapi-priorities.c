// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the driver tells of priorities that a group may have is what GROUP_CREATE grants, to root and to
 * one without rights, and nothing else is told: bytes that mean nothing are zero. Of all rights the one to
 * be nice to oneself is what a high priority wants.
 */

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
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

/* What the right alone grants, and what no right at all does. */
static int granted_to(struct uapi *u, bool nice)
{
	unsigned int i;

	for (i = PANTHOR_GROUP_PRIORITY_LOW; i <= PANTHOR_GROUP_PRIORITY_HIGH; i++)
		if (granted(u, i) != (nice || i <= PANTHOR_GROUP_PRIORITY_MEDIUM))
			return fail(-EIO, "priority %u is%s granted", i, granted(u, i) ? "" : " not");
	return 0;
}

/* Nobody, who has this right and no other, or none. */
static int become_nobody(bool nice)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct rights[_LINUX_CAPABILITY_U32S_3] = { 0 };

	rights[0].effective = rights[0].permitted = nice ? 1u << CAP_SYS_NICE : 0;
	return prctl(PR_SET_KEEPCAPS, 1) || setgid(NOBODY) || setuid(NOBODY) ||
	       syscall(SYS_capset, &header, rights);
}

/* In a child with this right or none, with the file that it inherited. What was wrong there it says itself. */
static int right_for_nobody(struct uapi *u, bool nice, bool told)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (become_nobody(nice))
			_exit(2);
		status = (granted_to(u, nice) ?: told ? right(u) : 0) != 0;
		if (status) {
			out("# %s\n", last_error());
			out_flush();
		}
		_exit(status);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 2)
		return fail(-ECHILD, "no process without rights");
	return WEXITSTATUS(status) ? fail(-EIO, "not to %s", nice ? "who may be nice" : "nobody") : 0;
}

int uapi_priorities(struct uapi *u)
{
	bool told;

	ktap_start(3);
	if (uapi_open(u)) {
		uapi_result(u, false, "open");
		return 1;
	}
	told = known(u);
	out("# info told=%d\n", told);
	out_flush();
	uapi_result(u, !told || !right(u), "what is told to root is granted");
	uapi_result(u, !right_for_nobody(u, false, told), "what is told to nobody is granted");
	uapi_result(u, !right_for_nobody(u, true, told), "what is told to one who may be nice is granted");
	return u->failed ? 1 : 0;
}

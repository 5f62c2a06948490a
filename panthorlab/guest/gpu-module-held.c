// SPDX-License-Identifier: GPL-2.0-or-later
/* Modes held and shared: unloading is refused while there is anything that could call the module. */

#include "gpu-module.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client.h"
#include "ktap.h"
#include "sentinel.h"

struct held {
	int fd;
	void *map;
};

static int take_file(struct gpu *gpu, struct held *held)
{
	held->fd = dup(gpu->fd);
	return held->fd < 0 ? fail(-errno, "dup") : 0;
}

static int take_mapping(struct gpu *gpu, struct held *held)
{
	struct gpu_bo bo;
	uint32_t vm;
	int ret = gpu_vm_create(gpu, &vm) ?: gpu_bo_create(gpu, vm, CLIENT_VA, GPU_PAGE, 0, &bo);

	held->map = ret ? NULL : (void *)bo.map;
	return ret;
}

static int take_shared_buffer(struct gpu *gpu, struct held *held)
{
	struct drm_panthor_bo_create create = { .size = GPU_PAGE };
	struct drm_prime_handle prime = { .flags = DRM_CLOEXEC };
	int ret = GPU_IOCTL(gpu, PANTHOR_BO_CREATE, &create);

	prime.handle = create.handle;
	ret = ret ?: GPU_IOCTL(gpu, PRIME_HANDLE_TO_FD, &prime);
	held->fd = ret ? -1 : prime.fd;
	return ret;
}

/* Of a file that is closed again, what outlives it. */
static int take(int (*what)(struct gpu *gpu, struct held *held), struct held *held)
{
	struct gpu gpu;
	int ret = gpu_open(&gpu);

	*held = (struct held){ .fd = -1 };
	if (ret)
		return ret;
	ret = what(&gpu, held);
	gpu_close(&gpu);
	return ret;
}

static void let_go(struct held *held)
{
	if (held->fd >= 0)
		close(held->fd);
	if (held->map)
		munmap(held->map, GPU_PAGE);
}

static int refused(struct module *m)
{
	const int ret = module_delete(m);

	if (!ret)
		return fail(0, "%s was unloaded", m->name);
	return ret == -EWOULDBLOCK || ret == -EBUSY ? 0 : fail(ret, "unload");
}

int module_held(struct module *m)
{
	static const struct {
		const char *name;
		int (*take)(struct gpu *gpu, struct held *held);
	} holders[] = {
		{ "file", take_file }, { "mapping", take_mapping },
	};
	const unsigned int count = sizeof(holders) / sizeof(holders[0]);
	struct held held;
	unsigned int i;
	pid_t pid;
	int ret;

	ktap_start(count + 1);
	pid = work_start(false);
	ret = pid < 0 ? pid : refused(m) ?: sentinel_job();
	if (pid > 0)
		work_end(pid);
	ktap_check(ret ?: sentinel_job() ?: unload_and_load(m), "a process that works");
	for (i = 0; i < count; i++) {
		ret = take(holders[i].take, &held) ?: refused(m) ?: sentinel_job();
		let_go(&held);
		ktap_check(ret ?: unload_and_load(m) ?: sentinel_job(), "%s", holders[i].name);
	}
	return ktap_status();
}

/* ---- shared: so does a buffer of which somebody has a dma-buf, whoever made it ---- */

/* Without a reference nobody tries what unloading would come to. */
int module_shared(struct module *m)
{
	struct held held;
	long references = 0;
	int ret;

	ktap_start(1);
	ret = take(take_shared_buffer, &held);
	if (!ret) {
		references = module_references(m->name);
		out("# info references=%ld\n", references);
		ret = references > 0 ? refused(m) : fail(0, "nothing keeps %s loaded", m->name);
	}
	let_go(&held);
	ktap_check(ret ?: unload_and_load(m) ?: sentinel_job(), "shared buffer");
	return ktap_status();
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A buffer that is larger than all memory: whoever uses it is told so, and the next one, too, for nothing has become of
 * the first try.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu-uapi.h"

#define TRIES	2

/*
 * Even the list of its pages is more than the kernel has, and fails at once: no page is looked for. 0 if that list may
 * be so large that kernels warn of it (docs/findings/0046-arrays-that-warn.md).
 */
static uint64_t too_large(void)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t list = memory + memory / 4;

	return list < INT_MAX ? list / sizeof(void *) / GPU_PAGE * GPU_PAGE * GPU_PAGE : 0;
}

static int map_on_gpu(struct uapi *u, uint32_t handle)
{
	struct drm_panthor_vm_bind_op op = {
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
		.bo_handle = handle,
		.va = UAPI_VA,
		.size = GPU_PAGE,
	};
	struct drm_panthor_vm_bind bind = { .vm_id = u->vm, .ops = DRM_PANTHOR_OBJ_ARRAY(1, &op) };
	int ret = GPU_IOCTL(&u->gpu, PANTHOR_VM_BIND, &bind);

	return ret == -ENOMEM ? 0 : fail(-EPROTO, "it is mapped, or else refused: %d", ret);
}

/* The signal that a process dies of that touches the page @at; 0: of none. */
static int killed_by(const volatile uint32_t *at)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		(void)*at;
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return fail(-ECHILD, "no process to touch it");
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* Kernels before 7.0 want the pages for the mapping already. */
static int touch(struct uapi *u, uint32_t handle)
{
	struct drm_panthor_bo_mmap_offset offset = { .handle = handle };
	int i, by, ret = GPU_IOCTL(&u->gpu, PANTHOR_BO_MMAP_OFFSET, &offset);
	void *at;

	if (ret)
		return ret;
	at = mmap(NULL, GPU_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, u->gpu.fd, (off_t)offset.offset);
	if (at == MAP_FAILED)
		return errno == ENOMEM ? 0 : fail(-errno, "a mapping for the CPU");
	for (i = 0; !ret && i < TRIES; i++) {
		by = killed_by(at);
		if (by != SIGBUS)
			ret = fail(-EPROTO, "a page that is not to be had is touched, and signal %d comes", by);
	}
	munmap(at, GPU_PAGE);
	return ret;
}

int uapi_larger_than_memory(struct uapi *u)
{
	struct drm_panthor_bo_create create = { .size = too_large() };
	struct drm_gem_close gone = { 0 };
	int i, ret = create.size ? GPU_IOCTL(&u->gpu, PANTHOR_BO_CREATE, &create) : -ENOMEM;

	if (ret)	/* kernels before 7.0 want all pages at once */
		return ret == -ENOMEM ? 0 : ret;
	for (i = 0; !ret && i < TRIES; i++)
		ret = map_on_gpu(u, create.handle);
	ret = ret ?: touch(u, create.handle) ?: map_on_gpu(u, create.handle);
	gone.handle = create.handle;
	return ret ?: GPU_IOCTL(&u->gpu, GEM_CLOSE, &gone);
}

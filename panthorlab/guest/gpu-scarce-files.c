// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The render node opened and mapped without memory, and buffers that two files share.
 */

#define _GNU_SOURCE
#include "gpu-scarce.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	REGISTERS = 1,	/* the page with LATEST_FLUSH instead of a buffer */
};

/* -- open() */

int scarce_open(struct scarce *s)
{
	s->other = (struct gpu){ .fd = open(s->path, O_RDWR | O_CLOEXEC) };
	return s->other.fd < 0 ? fail(-errno, "open %s", s->path) : 0;
}

/* It takes VMs and groups. */
static int right_open(struct scarce *s)
{
	int ret;

	s->other.shader_cores = s->scene.gpu.shader_cores;
	s->other.tilers = s->scene.gpu.tilers;
	ret = gpu_vm_create(&s->other, &s->vm);
	return ret ?: gpu_group_create(&s->other, s->vm, 1, &s->group);
}

static int end_open(struct scarce *s)
{
	gpu_close(&s->other);
	return 0;
}

/* -- the first VM of a file, and its first group: tables of handles grow */

static int make_first_vm(struct scarce *s)
{
	return gpu_vm_create(&s->other, &s->vm);
}

static int begin_first_group(struct scarce *s)
{
	int ret = scarce_open(s);

	return ret ?: right_open(s) ?: gpu_group_destroy(&s->other, s->group);
}

static int make_first_group(struct scarce *s)
{
	return gpu_group_create(&s->other, s->vm, 1, &s->group);
}

static int right_first_group(struct scarce *s)
{
	uint32_t state, fatal;

	return gpu_group_state(&s->other, s->group, &state, &fatal);
}

/* -- mmap(), and the first touch of what is mapped */

static int begin_map(struct scarce *s)
{
	struct drm_panthor_bo_mmap_offset offset;
	int ret;

	s->bo = (struct gpu_bo){ 0 };
	s->point = DRM_PANTHOR_USER_MMIO_OFFSET;
	if (s->call->flavour & REGISTERS)
		return 0;
	ret = scarce_bo(s, 0, &s->bo);
	offset = (struct drm_panthor_bo_mmap_offset){ .handle = s->bo.handle };
	ret = ret ?: GPU_IOCTL(&s->scene.gpu, PANTHOR_BO_MMAP_OFFSET, &offset);
	s->point = offset.offset;
	return ret;
}

static int make_map(struct scarce *s)
{
	bool registers = s->call->flavour & REGISTERS;
	size_t size = registers ? GPU_PAGE : s->bo.size;
	void *map = mmap(NULL, size, registers ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, s->scene.gpu.fd, s->point);

	if (map == MAP_FAILED)
		return fail(-errno, "mmap");
	s->bo.map = map;
	s->bo.size = size;
	return 0;
}

static int begin_touch(struct scarce *s)
{
	int ret = begin_map(s);

	return ret ?: make_map(s);
}

/* By the kernel, which says EFAULT where a program would only try again, or get a signal. */
static int make_touch(struct scarce *s)
{
	if (s->call->flavour & REGISTERS)
		return write(s->fd, (void *)s->bo.map, sizeof(uint32_t)) < 0 ? fail(-errno, "read of a register") : 0;
	return getrandom((void *)s->bo.map, sizeof(uint32_t), 0) < 0 ? fail(-errno, "touch of a buffer") : 0;
}

static int begin_read(struct scarce *s)
{
	int pipe[2];
	int ret = begin_touch(s);

	if (ret)
		return ret;
	if (pipe2(pipe, O_CLOEXEC))
		return fail(-errno, "pipe");
	s->fd = pipe[1];
	s->other.fd = pipe[0];
	return 0;
}

static int right_map(struct scarce *s)
{
	volatile uint32_t *word = s->bo.map;

	if (s->call->flavour & REGISTERS)
		return *word ? 0 : fail(0, "LATEST_FLUSH is 0");
	*word = s->value;
	return *word == s->value ? 0 : fail(0, "0x%08x in the buffer, expected 0x%08x", *word, s->value);
}

static int end_map(struct scarce *s)
{
	if (s->fd >= 0)
		close(s->fd);
	gpu_close(&s->other);
	return scarce_drop(s, &s->bo);
}

/* -- a buffer that two files have */

static int begin_shared(struct scarce *s)
{
	return scarce_bo(s, 0, &s->bo);
}

static int make_export(struct scarce *s)
{
	struct drm_prime_handle prime = { .handle = s->bo.handle, .flags = DRM_CLOEXEC | DRM_RDWR, .fd = -1 };
	int ret = GPU_IOCTL(&s->scene.gpu, PRIME_HANDLE_TO_FD, &prime);

	s->fd = prime.fd;
	return ret;
}

static int make_import(struct scarce *s)
{
	struct drm_prime_handle prime = { .fd = s->fd };
	int ret = GPU_IOCTL(&s->other, PRIME_FD_TO_HANDLE, &prime);

	s->second = (struct gpu_bo){ .handle = prime.handle };
	return ret;
}

static int begin_import(struct scarce *s)
{
	int ret = begin_shared(s);

	ret = ret ?: make_export(s);
	return ret ?: scarce_open(s);
}

/* The other file's handle is of the same buffer. */
static int right_import(struct scarce *s)
{
	struct drm_gem_close close = { .handle = s->second.handle };

	return GPU_IOCTL(&s->other, GEM_CLOSE, &close);
}

const struct call scarce_files[] = {
	{ "open", 0, 0, -ENOSPC, NULL, NULL, scarce_open, NULL, right_open, end_open },
	{ "first-vm", 0, 0, -EINVAL, NULL, scarce_open, make_first_vm, NULL, right_open, end_open },
	{ "first-group", 0, 0, -ENOSPC, SCARCE_SCHED, begin_first_group, make_first_group, NULL, right_first_group, end_open },
	{ "mmap", 0, 0, 0, NULL, begin_map, make_map, NULL, right_map, end_map },
	{ "mmap-registers", 0, REGISTERS, 0, NULL, begin_map, make_map, NULL, right_map, end_map },
	{ "touch", 0, 0, -EFAULT, NULL, begin_touch, make_touch, NULL, right_map, end_map },
	{ "touch-registers", 0, REGISTERS, -EFAULT, NULL, begin_read, make_touch, NULL, right_map, end_map },
	{ "export", 0, 0, 0, NULL, begin_shared, make_export, NULL, NULL, end_map },
	{ "import", 0, 0, 0, NULL, begin_import, make_import, NULL, right_import, end_map },
	{ 0 }
};

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A buffer that others may share. Synchronization is explicit: neither a job nor a mapping that uses
 * the buffer makes them wait, as long as nobody has told the buffer of a fence.
 */

#include "gpu-sched.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-buf.h>

#include "ktap.h"

#define SHARED_VA	0x30000000ull
#define OTHER_VA	0x38000000ull

static int bind_shared(struct lab *lab, uint32_t handle, uint64_t va, uint32_t after, uint32_t signals)
{
	struct drm_panthor_sync_op syncs[] = {
		{ .flags = DRM_PANTHOR_SYNC_OP_SIGNAL, .handle = signals },
		{ .handle = after },
	};
	struct drm_panthor_vm_bind_op op = {
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
		.bo_handle = handle,
		.va = va,
		.size = GPU_PAGE,
	};
	struct drm_panthor_vm_bind bind = {
		.vm_id = lab->vm[0].vm,
		.flags = signals ? DRM_PANTHOR_VM_BIND_ASYNC : 0,
		.ops = DRM_PANTHOR_OBJ_ARRAY(1, &op),
	};

	if (signals)
		op.syncs = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(2, syncs);
	return GPU_IOCTL(&lab->gpu, PANTHOR_VM_BIND, &bind);
}

/* A buffer of no VM's own, mapped, and as a file for others. */
static int share(struct lab *lab, uint32_t *handle, int *fd)
{
	struct drm_panthor_bo_create create = { .size = GPU_PAGE };
	struct drm_prime_handle export = { .flags = DRM_CLOEXEC | DRM_RDWR };
	int ret = GPU_IOCTL(&lab->gpu, PANTHOR_BO_CREATE, &create);

	*handle = export.handle = create.handle;
	if (!ret)
		ret = bind_shared(lab, create.handle, SHARED_VA, 0, 0);
	if (!ret)
		ret = GPU_IOCTL(&lab->gpu, PRIME_HANDLE_TO_FD, &export);
	*fd = export.fd;
	return ret;
}

/* What others may do with the buffer now: POLLIN to read, POLLOUT to write. */
static short usable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT };

	return poll(&pfd, 1, 0) < 0 ? POLLERR : pfd.revents;
}

static int expect_free(struct lab *lab, int fd, uint32_t syncobj, const char *what)
{
	short free = usable(fd);
	int ret = lab_expect(lab, syncobj, 0, what);

	if (!ret && free != (POLLIN | POLLOUT))
		ret = fail(0, "%s keeps others from a shared buffer: poll gives 0x%x", what, free);
	return ret;
}

/* The job's fence as one that all must wait for: the same look at the buffer must show it. */
static int tell(struct lab *lab, int fd, uint32_t syncobj)
{
	struct dma_buf_import_sync_file import = { .flags = DMA_BUF_SYNC_WRITE };
	int ret = lab_fence(lab, syncobj, &import.fd);

	if (!ret && ioctl(fd, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &import))
		ret = fail(-errno, "DMA_BUF_IOCTL_IMPORT_SYNC_FILE");
	if (!ret && usable(fd))
		ret = fail(0, "others need not wait for a fence that the buffer was told of: 0x%x", usable(fd));
	if (!ret)
		close(import.fd);
	return ret;
}

/* What is exclusively a VM's cannot be shared. */
static int exclusive(struct lab *lab)
{
	struct drm_prime_handle export = { .handle = lab->vm[0].words.handle, .flags = DRM_CLOEXEC };
	int ret = GPU_IOCTL(&lab->gpu, PRIME_HANDLE_TO_FD, &export);

	return ret ? 0 : fail(0, "a buffer that is exclusively a VM's becomes a file");
}

/* Another client of the GPU has the buffer in its VM, and stores in it: the first one's mapping shows it. */
static int used_by_another(struct lab *lab, uint32_t handle, int fd)
{
	struct drm_panthor_bo_mmap_offset offset = { .handle = handle };
	struct drm_prime_handle import = { .fd = fd };
	volatile uint32_t *map = MAP_FAILED;
	uint32_t syncobj;
	struct lab other;
	struct cs cs;
	uint64_t va;
	int ret = GPU_IOCTL(&lab->gpu, PANTHOR_BO_MMAP_OFFSET, &offset);

	if (!ret)
		map = mmap(NULL, GPU_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, lab->gpu.fd, offset.offset);
	if (map == MAP_FAILED)
		return ret ?: fail(-errno, "mmap of a shared buffer");
	ret = lab_create(&other, 1) ?: lab_groups(&other, 1, PRIORITY_MEDIUM);
	ret = ret ?: gpu_syncobj_create(&other.gpu, &syncobj) ?: GPU_IOCTL(&other.gpu, PRIME_FD_TO_HANDLE, &import);
	ret = ret ?: bind_shared(&other, import.handle, SHARED_VA, 0, 0);
	if (ret)
		return ret;
	cs = lab_stream(&other, 0, &va);
	cs_tell(&cs, SHARED_VA, 0x5a5ed5a5);
	ret = lab_submit(&other, 0, va, &cs, &(struct lab_submit){ .signals = syncobj });
	ret = ret ?: lab_expect(&other, syncobj, 1, "the other client's job");
	if (!ret && *map != 0x5a5ed5a5)
		ret = fail(0, "0x%08x is in the shared buffer", *map);
	lab_release(&other);
	munmap((void *)map, GPU_PAGE);
	return ret;
}

int sched_shared(void)
{
	uint32_t syncobj[2], handle = 0;
	struct lab lab;
	unsigned int i;
	int ret, fd = -1;

	ktap_start(5);
	ret = lab_create(&lab, 1);
	if (!ret)
		ret = lab_groups(&lab, 1, PRIORITY_MEDIUM);
	if (!ret)
		ret = lab_syncobjs(&lab, syncobj, 2);
	if (!ret)
		ret = share(&lab, &handle, &fd);
	if (!ret)
		ret = lab_hold(&lab, 0, syncobj[0]);
	if (!ret)
		ret = lab_wait_count(&lab, 0, 0);
	if (!ret)
		ret = expect_free(&lab, fd, syncobj[0], "a job");
	ktap_result(1, !ret, "a job keeps nobody from a shared buffer", last_error());
	if (!ret)
		ret = bind_shared(&lab, handle, OTHER_VA, syncobj[0], syncobj[1]);
	if (!ret)
		ret = expect_free(&lab, fd, syncobj[1], "a mapping to come");
	ktap_result(2, !ret, "a mapping to come keeps nobody from it", last_error());
	if (!ret)
		ret = tell(&lab, fd, syncobj[0]);
	*lab_gate(&lab, 0) = 1;
	for (i = 0; !ret && i < 2; i++)
		ret = lab_expect(&lab, syncobj[i], 1, i ? "the mapping" : "the job");
	if (!ret && usable(fd) != (POLLIN | POLLOUT))
		ret = fail(0, "others still wait when all has ended");
	ktap_result(3, !ret, "a fence that it was told of does", last_error());
	ret = ret ?: used_by_another(&lab, handle, fd);
	ktap_result(4, !ret, "another client stores in it", last_error());
	ret = ret ?: exclusive(&lab);
	ktap_result(5, !ret, "what is exclusively a VM's cannot be shared", last_error());
	return ret ? 1 : 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Maps into a VM that is on the GPU, one after the other, while the emulated GPU's MMU does not end a
 * command: that map must fail. What the kernel had made for it, it must give back; and if it was one of
 * the VM's queue, the VM is lost, and takes no other.
 */

#include <errno.h>
#include <string.h>

#include "gpu-vm.h"
#include "ktap.h"
#include "sched-lab.h"

#define STUCK_VA	0x50000000ull
#define STUCK_FAILURES	2u
#define STUCK_TRIES	50u

static int map(struct lab *lab, unsigned int number, uint32_t signals)
{
	struct lab_vm *vm = &lab->vm[0];
	struct drm_panthor_sync_op signal = {
		.flags = DRM_PANTHOR_SYNC_OP_SIGNAL,
		.handle = signals,
	};
	struct drm_panthor_vm_bind_op op = {
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
		.bo_handle = vm->streams.handle,
		.va = STUCK_VA + (uint64_t)number * GPU_PAGE,
		.size = GPU_PAGE,
	};
	struct drm_panthor_vm_bind request = {
		.vm_id = vm->vm,
		.flags = signals ? DRM_PANTHOR_VM_BIND_ASYNC : 0,
		.ops = DRM_PANTHOR_OBJ_ARRAY(1, &op),
	};

	if (signals)
		op.syncs = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(1, &signal);
	return GPU_IOCTL(&lab->gpu, PANTHOR_VM_BIND, &request);
}

/* A job that lasts keeps the first VM on the GPU. */
static int on_gpu(struct lab *lab, unsigned int vms, unsigned int *group)
{
	return lab_create(lab, vms) ?:
	       lab_group(lab, 0, PANTHOR_GROUP_PRIORITY_MEDIUM, group) ?:
	       lab_hold(lab, *group, 0) ?:
	       lab_wait_count(lab, *group, 0);
}

/* At most @count maps, until STUCK_FAILURES have failed. */
int mode_stuck(unsigned int count, unsigned int seed)
{
	unsigned int i, failed = 0;
	static struct lab lab;
	unsigned int group;
	int ret;

	(void)seed;
	ktap_start(1);
	ret = on_gpu(&lab, 1, &group);
	for (i = 0; !ret && i < count && failed < STUCK_FAILURES; i++) {
		int error = map(&lab, i, 0);

		if (error)
			failed++;
		if (error && error != -ETIMEDOUT)
			ret = fail(error, "VM_BIND %u", i);
	}
	if (!ret && !failed)
		ret = fail(0, "all %u maps went well", i);
	if (lab.group_count)
		*lab_gate(&lab, group) = 1;
	out("# info maps=%u\n# info failed=%u\n", i, failed);
	ktap_result(1, !ret, "a map that cannot be done fails", last_error());
	return ret ? 1 : 0;
}

static int is_usable(struct lab *lab, unsigned int vm, bool *usable)
{
	struct drm_panthor_vm_get_state get = { .vm_id = lab->vm[vm].vm };
	int ret = GPU_IOCTL(&lab->gpu, PANTHOR_VM_GET_STATE, &get);

	*usable = get.state == DRM_PANTHOR_VM_STATE_USABLE;
	return ret;
}

/* At most @count maps by the VM's queue, until one has failed: how many went well. */
static int queue_until_one_fails(struct lab *lab, unsigned int count, unsigned int *went_well)
{
	uint32_t syncobj;
	int status = 1;
	int ret = gpu_syncobj_create(&lab->gpu, &syncobj);

	for (*went_well = 0; !ret && *went_well < count; ++*went_well) {
		bool usable = false;

		ret = is_usable(lab, 0, &usable);
		if (!ret && !usable)
			ret = fail(0, "the VM is said to be lost before a map has failed");
		ret = ret ?: map(lab, *went_well, syncobj);
		ret = ret ?: gpu_fence_status(&lab->gpu, syncobj, GPU_TIMEOUT_MS, &status);
		if (status < 0)
			break;
	}
	return ret ?: status < 0 ? 0 : fail(0, "all %u maps went well", count);
}

/* Kernels from 7.x on lock the addresses before they look at the VM, which the MMU does not do until the GPU is reset. */
static int refuses(struct lab *lab, unsigned int number, uint32_t signals, const char *what)
{
	unsigned int tries = 1;
	int ret = map(lab, number, signals);

	while (ret == -ETIMEDOUT && tries++ < STUCK_TRIES)	/* of 100 ms each */
		ret = map(lab, number, signals);
	return ret == -EINVAL ? 0 : fail(ret, "%s: %d", what, ret);
}

static int takes_no_map(struct lab *lab, unsigned int number)
{
	uint32_t syncobj;
	int ret = gpu_syncobj_create(&lab->gpu, &syncobj);

	ret = ret ?: refuses(lab, number, syncobj, "a map by the queue of a VM that is lost");
	return ret ?: refuses(lab, number, 0, "a map of a VM that is lost");
}

static int says_who_is_lost(struct lab *lab)
{
	bool lost = true, other = false;
	int ret = is_usable(lab, 0, &lost) ?: is_usable(lab, 1, &other);

	if (!ret && (lost || !other))
		ret = fail(0, "the VM with the failure is %susable, another one is %susable",
			   lost ? "" : "not ", other ? "" : "not ");
	return ret;
}

int mode_lost(unsigned int count, unsigned int seed)
{
	static struct lab lab;
	unsigned int group, number = 0;
	int ret, failed;

	(void)seed;
	ktap_start(3);
	ret = on_gpu(&lab, 2, &group) ?: queue_until_one_fails(&lab, count, &number);
	failed = ret ? 1 : 0;
	ktap_result(1, !ret, "a map that cannot be done fails", last_error());
	ret = says_who_is_lost(&lab);
	failed |= ret ? 1 : 0;
	ktap_result(2, !ret, "its VM is said to be lost, and no other", last_error());
	ret = takes_no_map(&lab, number);
	failed |= ret ? 1 : 0;
	ktap_result(3, !ret, "it takes no other map", last_error());
	if (lab.group_count)
		*lab_gate(&lab, group) = 1;
	return failed;
}

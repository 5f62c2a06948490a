// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Maps into a VM that is on the GPU, one after the other, while the emulated GPU's MMU does not end a
 * command: that map must fail. What the kernel had made for it, it must give back.
 */

#include <errno.h>
#include <string.h>

#include "gpu-vm.h"
#include "ktap.h"
#include "sched-lab.h"

#define STUCK_VA	0x50000000ull
#define STUCK_FAILURES	2u

static int map(struct lab *lab, unsigned int number)
{
	struct lab_vm *vm = &lab->vm[0];
	struct drm_panthor_vm_bind_op op = {
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
		.bo_handle = vm->streams.handle,
		.va = STUCK_VA + (uint64_t)number * GPU_PAGE,
		.size = GPU_PAGE,
	};
	struct drm_panthor_vm_bind request = {
		.vm_id = vm->vm,
		.ops = DRM_PANTHOR_OBJ_ARRAY(1, &op),
	};

	return GPU_IOCTL(&lab->gpu, PANTHOR_VM_BIND, &request);
}

/* At most @count maps, until STUCK_FAILURES have failed. A job that lasts keeps the VM on the GPU. */
int mode_stuck(unsigned int count, unsigned int seed)
{
	unsigned int i, failed = 0;
	static struct lab lab;
	unsigned int group;
	int ret;

	(void)seed;
	ktap_start(1);
	ret = lab_create(&lab, 1);
	ret = ret ?: lab_group(&lab, 0, PANTHOR_GROUP_PRIORITY_MEDIUM, &group);
	ret = ret ?: lab_hold(&lab, group, 0);
	ret = ret ?: lab_wait_count(&lab, group, 0);
	for (i = 0; !ret && i < count && failed < STUCK_FAILURES; i++) {
		int error = map(&lab, i);

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

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a stream waits for may lie anywhere: in a part of a buffer that is mapped, and at one place after
 * another. While others have all slots, the driver looks there in the firmware's stead, in memory of the
 * CPU's, and only if it finds the right place the group gets a slot again.
 */

#include "gpu-sched.h"

#include "ktap.h"

#define PART_VA		0x40000000ull	/* of the second page of a buffer, alone */
#define HIGH		5u		/* what is waited for at the second place: the first one never has it */

enum { REG_SYNC = 20, REG_DATA = 22 };
enum { WAITER, SECOND, TELLER, HOLDERS };	/* groups */
enum { WORD = 14, DONE = 15, SECOND_WORD = 16, SECOND_DONE = 17 };	/* results */

/**
 * struct place - A word that a stream waits for
 * @va: for the GPU
 * @word: for the CPU
 * @above: the wait ends when it is greater than this
 */
struct place {
	uint64_t va;
	volatile uint32_t *word;
	uint32_t above;
};

/* A word of the second page of a buffer, of which only that is mapped. The first page has zeros. */
static int map_part(struct lab *lab, struct place *place)
{
	struct gpu_bo bo;
	struct drm_panthor_vm_bind_op op = {
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC |
			 DRM_PANTHOR_VM_BIND_OP_MAP_UNCACHED,
		.bo_offset = GPU_PAGE,
		.va = PART_VA,
		.size = GPU_PAGE,
	};
	struct drm_panthor_vm_bind bind = {
		.vm_id = lab->vm[0].vm,
		.ops = DRM_PANTHOR_OBJ_ARRAY(1, &op),
	};
	int ret = gpu_bo_make(&lab->gpu, lab->vm[0].vm, 2 * GPU_PAGE, &bo);

	if (ret)
		return ret;
	op.bo_handle = bo.handle;
	*place = (struct place){ PART_VA, (volatile uint32_t *)bo.map + GPU_PAGE / sizeof(uint32_t), 0 };
	return GPU_IOCTL(&lab->gpu, PANTHOR_VM_BIND, &bind);
}

/* Group @g, which then stores in result @done. */
static int wait_at(struct lab *lab, unsigned int g, const struct place *place, unsigned int done, uint32_t syncobj)
{
	struct lab_submit how = { .signals = syncobj };
	uint64_t va;
	struct cs cs = lab_stream(lab, g, &va);

	*place->word = 0;
	*lab_result(lab, 0, done) = 0;
	cs_move48(&cs, REG_SYNC, place->va);
	cs_move48(&cs, REG_DATA, place->above);
	cs_sync_wait64_gt(&cs, REG_SYNC, REG_DATA);
	lab_write_store(lab, g, done, 0x91ace000 + place->above, &cs);
	return lab_submit(lab, g, va, &cs, &how);
}

/* What @g waits for at @place is there. */
static int end_wait(struct lab *lab, unsigned int g, const struct place *place, unsigned int done,
		    const uint32_t *syncobj)
{
	int ret;

	*place->word = place->above + 1;
	/* the driver looks there when a job has ended */
	ret = sched_others_pass(lab, TELLER, 1, syncobj[TELLER]);
	return ret ?: sched_comes_back(lab, syncobj[g], done, 0x91ace000 + place->above);
}

/* @syncobj: of each group. All slots are taken from the one that waits before what it waits for is written. */
static int wait_without_slot(struct lab *lab, const struct place *place, const uint32_t *syncobj)
{
	unsigned int g;
	int ret = wait_at(lab, WAITER, place, DONE, syncobj[WAITER]);

	for (g = HOLDERS; !ret && g < lab->group_count; g++) {
		*lab_counter(lab, g) = 0;
		ret = lab_hold(lab, g, syncobj[g]);
	}
	ret = ret ?: lab_wait_all(lab, HOLDERS);
	ret = ret ?: sched_others_pass(lab, TELLER, 3, syncobj[TELLER]);
	ret = ret ?: lab_expect(lab, syncobj[WAITER], 0, "a job that waits");
	return ret ?: end_wait(lab, WAITER, place, DONE, syncobj);
}

int sched_places(void)
{
	struct place part, other, second;
	uint32_t syncobj[LAB_GROUPS];
	struct lab lab;
	int ret;

	ktap_start(3);
	ret = lab_crowd(&lab, HOLDERS + 2, PRIORITY_MEDIUM, syncobj);
	ret = ret ?: map_part(&lab, &part);
	ret = ret ?: lab_open_all(&lab, HOLDERS, syncobj, wait_without_slot(&lab, &part, syncobj));
	ktap_result(1, !ret, "in a part of a buffer", last_error());
	if (!ret) {
		other = (struct place){ lab_result_va(&lab, 0, WORD), lab_result(&lab, 0, WORD), HIGH };
		second = (struct place){ lab_result_va(&lab, 0, SECOND_WORD), lab_result(&lab, 0, SECOND_WORD), 0 };
		ret = wait_at(&lab, SECOND, &second, SECOND_DONE, syncobj[SECOND]);
		ret = ret ?: wait_without_slot(&lab, &other, syncobj);
	}
	ktap_result(2, !ret, "and then at another place", last_error());
	/* the driver had the buffer mapped for both, and must still look into it for this one */
	if (!ret)
		ret = lab_expect(&lab, syncobj[SECOND], 0, "the job that waits, too") ?:
		      end_wait(&lab, SECOND, &second, SECOND_DONE, syncobj);
	ret = lab_open_all(&lab, HOLDERS, syncobj, ret);
	ktap_result(3, !ret, "so does a second one at a third place", last_error());
	return ret ? 1 : 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * More jobs than a ring buffer has room for, submitted while the first one lasts: those that do not
 * fit wait in the kernel, and each is run once.
 */

#include "gpu-sched.h"

#include "ktap.h"

#define RING	4096u	/* the least; one job takes at least 128 bytes of it */
#define JOBS	40u
#define ALL	(JOBS * (JOBS + 1) / 2)	/* each adds another number, so that none can stand for another */

enum { REG_ADDR = 20, REG_SUM = 22, REG_FLUSH = 24 };
enum { SUM = 12 };	/* result */

static int small_ring(struct lab *lab, unsigned int *g)
{
	struct drm_panthor_queue_create queues[LAB_QUEUES];
	struct drm_panthor_group_create create;
	int ret;

	gpu_group_ask(&lab->gpu, lab->vm[0].vm, queues, LAB_QUEUES, &create);
	queues[0].ringbuf_size = RING;
	ret = GPU_IOCTL(&lab->gpu, PANTHOR_GROUP_CREATE, &create);
	if (ret)
		return ret;
	*g = lab->group_count++;
	lab->group[*g] = (struct lab_group){ .handle = create.group_handle };
	return 0;
}

static int add(struct lab *lab, unsigned int g, unsigned int number, uint32_t signals)
{
	struct lab_submit how = { .signals = signals };
	uint64_t va;
	struct cs cs = lab_stream(lab, g, &va);

	cs_move48(&cs, REG_ADDR, lab_result_va(lab, 0, SUM));
	cs_load32(&cs, REG_SUM, REG_ADDR);
	cs_wait(&cs, CS_SB_ALL);
	cs_add_imm32(&cs, REG_SUM, REG_SUM, number);
	cs_store32(&cs, REG_ADDR, REG_SUM);
	cs_wait(&cs, CS_SB_ALL);
	cs_move32(&cs, REG_FLUSH, 0);
	cs_flush(&cs, REG_FLUSH);
	cs_wait(&cs, CS_SB_ALL);
	return lab_submit(lab, g, va, &cs, &how);
}

int sched_ring(void)
{
	uint32_t held, last, other;
	unsigned int g = 0, beside = 0, i;
	struct lab lab;
	int ret;

	ktap_start(1);
	ret = lab_create(&lab, 1);
	ret = ret ?: small_ring(&lab, &g);
	ret = ret ?: gpu_syncobj_create(&lab.gpu, &held);
	ret = ret ?: gpu_syncobj_create(&lab.gpu, &last);
	ret = ret ?: gpu_syncobj_create(&lab.gpu, &other);
	ret = ret ?: lab_group(&lab, 0, PRIORITY_MEDIUM, &beside);
	ret = ret ?: lab_hold(&lab, g, held);
	ret = ret ?: lab_wait_count(&lab, g, 0);
	for (i = 0; !ret && i < JOBS; i++)
		ret = add(&lab, g, i + 1, i == JOBS - 1 ? last : 0);
	ret = ret ?: sched_others_pass(&lab, beside, JOBS, other);	/* then all is in the ring that will be */
	ret = ret ?: lab_expect(&lab, last, 0, "the last of many jobs");
	if (!ret && *lab_result(&lab, 0, SUM))
		ret = fail(0, "jobs ran beside the one before them");
	*lab_gate(&lab, g) = 1;
	ret = ret ?: lab_expect(&lab, held, 1, "the job that lasted");
	ret = ret ?: lab_expect(&lab, last, 1, "the last of many jobs");
	if (!ret && *lab_result(&lab, 0, SUM) != ALL)
		ret = fail(0, "jobs that add up to %u ran, not each once: %u", *lab_result(&lab, 0, SUM), ALL);
	ktap_result(1, !ret, "more jobs than the ring has room for", last_error());
	return ret ? 1 : 0;
}

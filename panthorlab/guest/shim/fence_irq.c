// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ask for the status of a job's fence in a hard interrupt, as any user of a fence may.
 *
 * The lock of a fence must be safe for interrupts (dma_fence_init(): "the irqsafe spinlock for
 * locking this fence"), whether or not this machine ever takes it in one. Lockdep sees a lock that
 * is not once it was taken in an interrupt and, anywhere, with interrupts on. The driver's own
 * fence is the parent of the scheduler's, which user space can get as a sync file.
 */

#include <drm/gpu_scheduler.h>
#include <linux/debugfs.h>
#include <linux/dma-fence.h>
#include <linux/irq_work.h>
#include <linux/sync_file.h>

#include "fence_irq.h"

struct question {
	struct irq_work work;
	struct dma_fence *fence;
};

static struct dentry *dir;

static void ask(struct irq_work *work)
{
	dma_fence_get_status(container_of(work, struct question, work)->fence);
}

static int fence_irq_set(void *data, u64 fd)
{
	struct question question = { .work = IRQ_WORK_INIT_HARD(ask) };
	struct dma_fence *finished = sync_file_get_fence(fd);
	struct drm_sched_fence *fence;
	int ret = 0;

	if (!finished)
		return -EBADF;

	fence = to_drm_sched_fence(finished);
	question.fence = fence ? READ_ONCE(fence->parent) : NULL;
	if (question.fence) {
		irq_work_queue(&question.work);
		irq_work_sync(&question.work);
	} else {
		ret = -EINVAL;
	}
	dma_fence_put(finished);
	return ret;
}
DEFINE_DEBUGFS_ATTRIBUTE(fence_irq_fops, NULL, fence_irq_set, "%llu\n");

void fence_irq_init(void)
{
	dir = debugfs_create_dir("panthor_pci_shim", NULL);
	debugfs_create_file_unsafe("fence_irq", 0200, dir, NULL, &fence_irq_fops);
}

void fence_irq_exit(void)
{
	debugfs_remove(dir);
}

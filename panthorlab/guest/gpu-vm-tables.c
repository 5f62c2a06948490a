// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The first mapping of a VM, for which there are no page tables yet, lies on both sides of a place
 * where tables of a level end: it needs the most tables that two pages can need.
 */

#include <stdio.h>

#include "client.h"
#include "cs.h"
#include "gpu-vm.h"
#include "ktap.h"

#define CODE_VA		0x30000000ull	/* away from all that is tried */
#define TOKEN		0x7ab1e000u

enum { REG_VA = 0, REG_VALUE = 2, REG_FLUSH = 4 };

static void write_store(struct cs *cs, uint64_t va, uint32_t value)
{
	cs_move48(cs, REG_VA, va);
	cs_move32(cs, REG_VALUE, value);
	cs_store32(cs, REG_VA, REG_VALUE);
	cs_wait(cs, CS_SB_ALL);
}

/* The GPU stores on both sides of @end, in the pages that are mapped there. */
static int store(struct gpu *gpu, uint32_t vm, uint64_t end, struct gpu_bo *pages)
{
	volatile uint32_t *second = (volatile uint32_t *)pages->map + GPU_PAGE / sizeof(uint32_t);
	struct gpu_job job = { .va = CODE_VA };
	uint32_t group, first;
	struct gpu_bo code;
	struct cs cs;
	int ret = gpu_bo_create(gpu, vm, CODE_VA, GPU_PAGE, DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC, &code);

	ret = ret ?: gpu_syncobj_create(gpu, &job.syncobj);
	ret = ret ?: gpu_group_create(gpu, vm, 1, &group);
	if (ret)
		return ret;
	cs = (struct cs){ .words = code.map, .capacity = GPU_PAGE / 8 };
	write_store(&cs, end - GPU_PAGE, TOKEN);
	write_store(&cs, end, TOKEN + 1);
	cs_move32(&cs, REG_FLUSH, 0);
	cs_flush(&cs, REG_FLUSH);
	cs_wait(&cs, CS_SB_ALL);
	job.size = cs_size(&cs);
	ret = gpu_submit(gpu, group, &job, 1);
	ret = ret ?: gpu_job_right(gpu, job.syncobj, second, TOKEN + 1);
	first = *(volatile uint32_t *)pages->map;
	if (!ret && first != TOKEN)
		ret = fail(0, "memory below is 0x%x, expected 0x%x", first, TOKEN);
	return ret;
}

static int across(uint64_t end)
{
	struct gpu gpu = { .fd = -1 };
	struct gpu_bo pages;
	uint32_t vm;
	int ret = gpu_open(&gpu);

	ret = ret ?: gpu_vm_create(&gpu, &vm);
	ret = ret ?: gpu_bo_create(&gpu, vm, end - GPU_PAGE, 2 * GPU_PAGE, DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
				   &pages);
	ret = ret ?: store(&gpu, vm, end, &pages);
	gpu_close(&gpu);
	return ret;
}

int mode_tables(unsigned int count, unsigned int seed)
{
	static const struct {
		uint64_t end;
		const char *name;
	} levels[] = {
		{ 1ull << 21, "2 MiB" }, { 1ull << 30, "1 GiB" }, { 1ull << 39, "512 GiB" },
	};
	unsigned int i, failed = 0, n = sizeof(levels) / sizeof(levels[0]);

	(void)count, (void)seed;
	ktap_start(n);
	for (i = 0; i < n; i++) {
		int ret = across(levels[i].end);

		ktap_result(i + 1, !ret, levels[i].name, last_error());
		failed += ret != 0;
	}
	return failed ? 1 : 0;
}

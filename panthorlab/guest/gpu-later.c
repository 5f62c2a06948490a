// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What drivers later than 1.0 can be asked for, and what becomes of it. A driver that has it not is told so, and
 * nothing is tried: "ok 1 MODE # SKIP why".
 *
 *   --mode timestamp        1.1: the GPU's clock beside the CPU's
 *   --mode timestamp-flags  1.8: only what was asked for, clocks of the CPU, cycles, how long it took
 *   --mode label            1.4: names of buffers, as debugfs tells them
 *   --mode mmio-offset      1.5: where a file has the page of LATEST_FLUSH_ID
 *   --mode bo-info          1.7: what a buffer was made with
 *   --mode bo-sync          1.7: caches of the CPU
 *   --mode coherency        1.7: with the CPU's caches
 *   --mode mmu-info         1.9: page sizes
 *   --mode sparse           1.9: addresses behind which there is no buffer
 *   --mode sparse-holes     1.9: where such addresses end, a store must fault
 *   --mode prime            buffers as files: of the same GPU, of the CPU, and when their memory goes
 *   --mode usage            how much of the GPU a file has used, as fdinfo tells it, if the driver can be asked to look
 *   --mode usage-long       that goes up, however much it is; 7.3.4 fails
 *   --mode memory           how much memory a file has, as fdinfo tells it
 *   --mode mappings         parts of a buffer for the CPU, and one that it may not map; 6.12.117 and 7.3.4 fail
 */

#include "gpu-later.h"

#include <stdio.h>

#include "ktap.h"
#include "options.h"

static const struct {
	const char *name;
	int (*run)(void);
} modes[] = {
	{ "timestamp", later_timestamp },
	{ "timestamp-flags", later_timestamp_flags },
	{ "label", later_label },
	{ "mmio-offset", later_mmio_offset },
	{ "bo-info", later_bo_info },
	{ "bo-sync", later_bo_sync },
	{ "coherency", later_coherency },
	{ "mmu-info", later_mmu_info },
	{ "sparse", later_sparse },
	{ "sparse-holes", later_sparse_holes },
	{ "prime", later_prime },
	{ "usage", later_usage },
	{ "usage-long", later_usage_long },
	{ "memory", later_memory },
	{ "mappings", later_mappings },
};

static int create(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu;
	void *map = NULL;
	int ret = scene_create(&later->scene, 1);

	later->bo = (struct gpu_bo){ .va = LATER_VA, .size = LATER_BO_SIZE };
	ret = ret ?: later_bo(gpu, later->bo.size, 0, &later->bo.handle);
	ret = ret ?: later_map(gpu, later->scene.vm, later->bo.handle, later->bo.va, later->bo.size);
	ret = ret ?: later_mmap(gpu, later->bo.handle, later->bo.size, &map);
	later->bo.map = map;
	later->words = map;
	return ret;
}

int later_modes_run(const char *name, unsigned int minor, const char *what, const struct later_check *checks,
		    unsigned int count)
{
	static struct later later;
	int ret = create(&later);
	unsigned int i;

	if (!ret && later.scene.gpu.version[0] == 1 && later.scene.gpu.version[1] < (int)minor) {
		ktap_start(1);
		out("ok 1 %s # SKIP driver 1.%d: %s is of 1.%u\n", name, later.scene.gpu.version[1], what, minor);
		out_flush();
		return 0;
	}
	ktap_start(count);
	for (i = 0; i < count; i++)
		ktap_check(ret ?: checks[i].holds(&later), "%s", checks[i].name);
	return ktap_status();
}

static void usage(FILE *stream)
{
	size_t i;

	fputs("usage: gpu-later --mode ", stream);
	for (i = 0; i < LATER_COUNT(modes); i++)
		fprintf(stream, "%s%s", i ? "|" : "", modes[i].name);
	fputs("\n", stream);
}

int main(int argc, char **argv)
{
	const char *mode = "";
	const struct program_option options[] = {
		{ "mode", .word = &mode },
		{ 0 }
	};

	read_options(argc, argv, options, usage);
	return CHOOSE_MODE(modes, mode, usage)->run();
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* Print what cs.h makes of known instruction sequences, one word a line. */

#include <stdio.h>

#include "cs.h"

static void print(const char *name, const struct cs *cs)
{
	unsigned int i;

	printf("%s", name);
	for (i = 0; i < cs->count; i++)
		printf(" %016llx", (unsigned long long)cs->words[i]);
	printf("\n");
}

int main(void)
{
	uint64_t words[32];
	struct cs cs = { .words = words, .capacity = 32 };

	/* The store test of igt-gpu-tools, panthor_group.c */
	cs_move48(&cs, 0x44, 0x1001000);
	cs_move32(&cs, 0x46, 0xdeadbeef);
	cs_store32(&cs, 0x44, 0x46);
	cs_wait(&cs, CS_SB_ALL);
	cs_move32(&cs, 0x46, 0);
	cs_flush(&cs, 0x46);
	cs_wait(&cs, CS_SB_ALL);
	print("store", &cs);

	cs.count = 0;
	cs_move48(&cs, 0x48, 0x800000003000);
	cs_heap_set(&cs, 0x48);
	print("heap-bind", &cs);

	cs.count = 0;
	cs_heap_operation(&cs, CS_VERTEX_TILER_STARTED);
	cs_heap_operation(&cs, CS_VERTEX_TILER_COMPLETED);
	cs_heap_operation(&cs, CS_FRAGMENT_COMPLETED);
	print("heap-operations", &cs);

	cs.count = 0;
	cs_branch(&cs, CS_ALWAYS, 0, 0);
	print("spin", &cs);

	cs.count = 0;
	cs_move32(&cs, 4, 1000);
	cs_add_imm32(&cs, 4, 4, -1);
	cs_branch(&cs, CS_GREATER, 4, 1);
	print("count-down", &cs);

	cs.count = 0;
	cs_sync_wait64_gt(&cs, 0x44, 0x46);
	cs_sync_add64(&cs, 0x5c, 0x5e);
	print("sync", &cs);

	cs.count = 0;
	cs_scoreboards(&cs, CS_SB_TILER, CS_SB_STORE);
	cs_exception_handler(&cs, 0x04, 0x06);
	cs_load(&cs, 0x10, 4, 0x28, 40);
	cs_finish_fragment(&cs, 0x10, 0x12);
	cs_store(&cs, 0x10, 4, 0x28, -8);
	print("incremental-rendering", &cs);

	cs.count = 0;
	cs_req_resource(&cs, CS_RESOURCE_TILER | CS_RESOURCE_IDVS);
	cs_req_resource(&cs, 0);
	cs_finish_tiling(&cs);
	print("tiler", &cs);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A Vulkan client that computes, on whatever driver the loader finds.
 *
 *	vk-compute [--rounds N] [--computed]
 *
 * Each round is a submission: dispatches with barriers between them, an
 * indirect one whose size lies in memory, an event that the GPU sets and waits
 * for, one that the CPU sets. It waits for the round before it and for the CPU
 * on a timeline; four of them are always under way. With --computed the numbers
 * must be right, too: a GPU that computes nothing is right without.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vk-compute.h"

#define DISPATCHES 3	  /* of a round, each adds to all numbers */

void must(VkResult result, const char *what)
{
	if (result == VK_SUCCESS)
		return;
	fprintf(stderr, "%s: %d\n", what, result);
	exit(1);
}

static int check(const struct rig *rig, uint32_t rounds)
{
	for (uint32_t i = 0; i < SHARES * GROUP; i++) {
		const uint32_t wanted = (i + 1) * DISPATCHES * rounds;

		if (rig->values[i] == wanted)
			continue;
		fprintf(stderr, "number %u is %u instead of %u\n", i, rig->values[i], wanted);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint32_t rounds = 16;
	int computed = 0;
	struct rig rig = { 0 };

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--computed")) {
			computed = 1;
		} else if (!strcmp(argv[i], "--rounds") && i + 1 < argc) {
			rounds = strtoul(argv[++i], NULL, 0);
		} else {
			fprintf(stderr, "usage: vk-compute [--rounds N] [--computed]\n");
			return 2;
		}
	}
	open_device(&rig);
	make_buffers(&rig);
	make_pipeline(&rig);
	make_sync(&rig);
	run_rounds(&rig, rounds);
	must(vkDeviceWaitIdle(rig.device), "vkDeviceWaitIdle");
	if (computed && check(&rig, rounds))
		return 1;
	printf("rounds %u\n", rounds);
	return 0;
}

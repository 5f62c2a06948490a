// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Maps, remaps and unmaps of every alignment, against a table of what has to be mapped where. The
 * GPU itself says whether it is: it stores through the addresses, the CPU looks into the buffers.
 *
 *   --mode small    parts of 4 KiB mappings, at each page
 *   --mode huge     parts of mappings of 4 MiB, around each 2 MiB
 *   --mode huge-pages  the same with buffers of huge pages, if the kernel has any
 *   --mode random   --count operations drawn from --seed, several in one call, sync and async
 *   --mode tables   the first mapping of a VM, across the ends of page tables of each level
 *   --mode holes    where nothing is mapped any more, a store must fault
 *   --mode spaces   more VMs than address spaces, --count rounds; all stores land in the right one
 *   --mode taken    one takes over another's address space during a mapping call, in --count rounds
 *   --mode kernel-range  the kernel's own addresses of a VM can be neither mapped nor unmapped
 *   --mode protection    what is read-only can be read and not written
 *   --mode zero     --count fresh buffers are zero for the CPU and the GPU
 *   --mode stuck    maps of a VM on the GPU, --count at most, until the MMU gets stuck: that one must fail
 *   --mode lost     the same by the VM's queue: the VM is lost with the one that fails, and says so
 */

#include "gpu-vm.h"

#include <stdint.h>
#include <stdio.h>

#include "options.h"

static const struct {
	const char *name;
	int (*run)(unsigned int count, unsigned int seed);
} modes[] = {
	{ "small", mode_small },
	{ "huge", mode_huge },
	{ "huge-pages", mode_huge_pages },
	{ "random", mode_random },
	{ "tables", mode_tables },
	{ "holes", mode_holes },
	{ "spaces", mode_spaces },
	{ "taken", mode_taken },
	{ "kernel-range", mode_kernel_range },
	{ "protection", mode_protection },
	{ "zero", mode_zero },
	{ "stuck", mode_stuck },
	{ "lost", mode_lost },
};

static void usage(FILE *stream)
{
	fputs("usage: gpu-vm --mode small|huge|huge-pages|random|tables|holes|spaces|taken|kernel-range|protection|"
	      "zero|stuck|lost [--count N] [--seed N]\n", stream);
}

int main(int argc, char **argv)
{
	unsigned int count = 200, seed = 1;
	const char *mode = "";
	const struct program_option options[] = {
		{ "mode", .word = &mode },
		{ "count", .number = &count, .least = 1, .most = UINT32_MAX },
		{ "seed", .number = &seed, .most = UINT32_MAX },
		{ 0 }
	};

	read_options(argc, argv, options, usage);
	return CHOOSE_MODE(modes, mode, usage)->run(count, seed);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * TCG plugin: how often each instruction of chosen address ranges runs.
 *
 * Blocks outside the ranges are not touched, and run as fast as without the plugin.
 *
 *	-plugin file=coverage.so,counts=FILE	see counts.c
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "counts.h"
#include "tcg_plugin.h"

EXPORT int qemu_plugin_version = API_VERSION;

static struct counts counts;

/* Several vCPUs may run the same instruction at once. */
static void count(UNUSED unsigned int cpu, void *counter)
{
	__atomic_fetch_add((uint64_t *)counter, 1, __ATOMIC_RELAXED);
}

static void translated(CALLBACK(struct qemu_plugin_tb *tb))
{
	size_t insns = qemu_plugin_tb_n_insns(tb);

	/* each by itself, not the block as a whole: an instruction may fault, and those behind it do not run */
	for (size_t i = 0; i < insns; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		size_t word = counts_word(&counts, qemu_plugin_insn_vaddr(insn));

		if (word)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, count, CB_NO_REGS, &counts.words[word]);
	}
}

EXPORT int qemu_plugin_install(plugin_id id, UNUSED const void *info, int argc, char **argv)
{
	static const char option[] = "counts=";

	if (argc != 1 || strncmp(argv[0], option, sizeof(option) - 1)) {
		fprintf(stderr, "coverage: expected counts=FILE\n");
		return 1;
	}
	if (!counts_open(&counts, "coverage", argv[0] + sizeof(option) - 1))
		return 1;
	REGISTER(vcpu_tb_trans, id, translated);
	return 0;
}

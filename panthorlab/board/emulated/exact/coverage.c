// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How often each instruction of the driver runs: added up inline, in a scoreboard over whose memory the file of counts
 * is laid.
 *
 * Each instruction by itself, not the block as a whole: an instruction may fault, and those behind it do not run.
 */
#include "../counts.h"
#include "exact.h"

#define PAGE 4096

static struct counts counts;
static struct qemu_plugin_scoreboard *board;	/* NULL: nothing is to be counted */
static size_t offset;

bool coverage_open(const char *path)
{
	if (!counts_open(&counts, "exact", path))
		return false;
	board = qemu_plugin_scoreboard_new((counts.size + 2 * PAGE - 1) / PAGE * PAGE);
	return true;
}

void coverage_share(void)
{
	if (board)
		offset = overlay(board, counts.fd, counts.size);
}

void coverage_translated(struct qemu_plugin_tb *tb)
{
	size_t insns = board ? qemu_plugin_tb_n_insns(tb) : 0;

	for (size_t i = 0; i < insns; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		size_t word = counts_word(&counts, qemu_plugin_insn_vaddr(insn));
		qemu_plugin_u64 entry = { board, offset + word * sizeof(uint64_t) };

		if (word)
			qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, OP_ADD, entry, 1);
	}
}

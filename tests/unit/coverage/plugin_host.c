// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program that loads the coverage plugin as QEMU does and lets it see blocks of instructions run.
 *
 *	plugin_host PLUGIN ARGUMENT [START:COUNT | kill]...
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcg_plugin.h"

struct qemu_plugin_insn {
	uint64_t address;
	exec_cb cb;
	void *data;
};
struct qemu_plugin_tb {
	struct qemu_plugin_insn insns[16];
	size_t count;
};

static trans_cb translated;
static const plugin_id id_of_plugin = 42;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb)
{
	return tb->count;
}

struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t number)
{
	return (struct qemu_plugin_insn *)&tb->insns[number];
}

uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn)
{
	return insn->address;
}

void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_cb cb, UNUSED enum cb_flags flags,
					    void *data)
{
	insn->cb = cb;
	insn->data = data;
}

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, trans_cb cb DATA_ARG)
{
	if (id != id_of_plugin)
		abort();
	translated = cb;
}

static void run(uint64_t start, size_t count)
{
	struct qemu_plugin_tb tb = { .count = count };

	for (size_t i = 0; i < count; i++)
		tb.insns[i].address = start + 4 * i;
	CALL(translated, id_of_plugin, &tb);
	for (size_t i = 0; i < count; i++)
		if (tb.insns[i].cb)
			tb.insns[i].cb(0, tb.insns[i].data);
}

int main(int argc, char **argv)
{
	void *plugin = argc < 3 ? NULL : dlopen(argv[1], RTLD_NOW);
	int (*install)(plugin_id, const void *, int, char **);
	int *version;

	if (!plugin) {
		fprintf(stderr, "%s\n", dlerror());
		return 2;
	}
	version = dlsym(plugin, "qemu_plugin_version");
	*(void **)&install = dlsym(plugin, "qemu_plugin_install");
	if (!version || *version != API_VERSION || !install)
		return 2;
	if (install(id_of_plugin, NULL, 1, argv + 2))
		return 1;
	for (int i = 3; i < argc; i++) {
		char *rest;
		uint64_t start = strtoull(argv[i], &rest, 16);

		if (!strcmp(argv[i], "kill"))
			raise(SIGKILL);
		run(start, strtoul(rest + 1, NULL, 10));
	}
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program that loads the exact plugin as QEMU does and lets it see blocks of instructions run.
 *
 *	exact_host PLUGIN ARGUMENT,ARGUMENT… [CPUS] [START:COUNT | cpu]...
 *
 * CPUS: of the machine, `N-cpus` (default: 1). `cpu`: a further CPU is there. At the end of a turn it prints `turn`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcg_plugin.h"

#define CPUS 16

struct qemu_plugin_scoreboard {
	char *data;
	size_t element;
};
struct operation {
	int kind;	/* 0: add, 1: call if, 2: call */
	qemu_plugin_u64 entry;
	uint64_t number;
	exec_cb cb;
	void *data;
};
struct qemu_plugin_tb {
	uint64_t address;
	size_t count;
	struct operation operations[8];
	size_t used;
};

static trans_cb translated;
static init_cb initialized;
static unsigned int cpus;
static struct qemu_info info = { .is_machine = true, .cpus = 1 };
static const plugin_id id_of_plugin = 42;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb)
{
	return tb->count;
}

uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb)
{
	return tb->address;
}

struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element)
{
	struct qemu_plugin_scoreboard *score = malloc(sizeof(*score));

	*score = (struct qemu_plugin_scoreboard){ (char *)calloc(CPUS, element) + 16, element };
	return score;
}

void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *score, unsigned int cpu)
{
	if (cpu >= cpus)
		abort();	/* as QEMU does */
	return score->data + cpu * score->element;
}

static struct operation *operation(struct qemu_plugin_tb *tb)
{
	return &tb->operations[tb->used++];
}

void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, exec_cb cb, UNUSED enum cb_flags flags,
					  void *data)
{
	*operation(tb) = (struct operation){ .kind = 2, .cb = cb, .data = data };
}

void qemu_plugin_register_vcpu_tb_exec_cond_cb(struct qemu_plugin_tb *tb, exec_cb cb,
					       UNUSED enum cb_flags flags, enum cond cond, qemu_plugin_u64 entry,
					       uint64_t number, void *data)
{
	if (cond != COND_GE || info.cpus > 1)
		abort();
	*operation(tb) = (struct operation){ 1, entry, number, cb, data };
}

void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb, enum op op, qemu_plugin_u64 entry,
						       uint64_t number)
{
	if (op != OP_ADD || info.cpus > 1)
		abort();	/* QEMU breaks other code then, and dies later */
	*operation(tb) = (struct operation){ .kind = 0, .entry = entry, .number = number };
}

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, trans_cb cb DATA_ARG)
{
	if (id != id_of_plugin)
		abort();
	translated = cb;
}

void qemu_plugin_register_vcpu_init_cb(plugin_id id, init_cb cb DATA_ARG)
{
	if (id != id_of_plugin)
		abort();
	initialized = cb;
}

const void *qemu_plugin_request_time_control(void)
{
	return &info;
}

void qemu_plugin_update_ns(const void *time_control, int64_t time)
{
	if (time_control != &info || time)
		abort();
	puts("turn");
}

static void add_cpu(void)
{
	unsigned int cpu = cpus++;

	if (initialized)
		CALL(initialized, id_of_plugin, cpu);
}

static void run(uint64_t start, size_t count)
{
	struct qemu_plugin_tb tb = { .address = start, .count = count };

	CALL(translated, id_of_plugin, &tb);
	for (size_t i = 0; i < tb.used; i++) {
		struct operation *op = &tb.operations[i];
		uint64_t *entry = op->kind < 2 ? (uint64_t *)(op->entry.score->data + op->entry.offset) : NULL;

		if (!op->kind)
			*entry += op->number;
		else if (op->kind == 2 || *entry >= op->number)
			op->cb(0, op->data);
	}
}

int main(int argc, char **argv)
{
	void *plugin = argc < 3 ? NULL : dlopen(argv[1], RTLD_NOW);
	int (*install)(plugin_id, const void *, int, char **);
	char *words[8];
	int *version, count = 0;

	if (!plugin) {
		fprintf(stderr, "%s\n", dlerror());
		return 2;
	}
	version = dlsym(plugin, "qemu_plugin_version");
	*(void **)&install = dlsym(plugin, "qemu_plugin_install");
	if (!version || *version != API_VERSION || !install)
		return 2;
	for (char *word = strtok(argv[2], ","); word && count < 8; word = strtok(NULL, ","))
		words[count++] = word;
	argc -= 3;
	argv += 3;
	if (argc && strstr(*argv, "-cpus")) {
		info.cpus = atoi(*argv++);
		argc--;
	}
	if (install(id_of_plugin, &info, count, words))
		return 1;
	for (int i = 0; i < info.cpus; i++)
		add_cpu();
	for (int i = 0; i < argc; i++) {
		char *rest;
		uint64_t start = strtoull(argv[i], &rest, 16);

		if (!strcmp(argv[i], "cpu"))
			add_cpu();
		else
			run(start, strtoul(rest + 1, NULL, 10));
	}
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program that loads the exact plugin as QEMU does and lets it see blocks of instructions run.
 *
 *	exact_host PLUGIN ARGUMENT,ARGUMENT… [START:COUNT | cpu]...
 *
 * `cpu`: a further CPU is there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CPUS 16
#define GE 7	/* QEMU_PLUGIN_COND_GE */

typedef uint64_t plugin_id;
typedef void (*udata_cb)(unsigned int cpu, void *data);
struct qemu_plugin_scoreboard {
	char *data;
	size_t element;
};
typedef struct {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
} qemu_plugin_u64;
struct operation {
	int kind;	/* 0: add, 1: call if, 2: call */
	qemu_plugin_u64 entry;
	uint64_t number;
	udata_cb cb;
	void *data;
};
struct qemu_plugin_tb {
	uint64_t address;
	size_t count;
	struct operation operations[8];
	size_t used;
};

#if API_VERSION >= 7
typedef void (*trans_cb)(struct qemu_plugin_tb *tb, void *data);
typedef void (*vcpu_cb)(unsigned int cpu, void *data);
#else
typedef void (*trans_cb)(plugin_id id, struct qemu_plugin_tb *tb);
typedef void (*vcpu_cb)(plugin_id id, unsigned int cpu);
#endif
static trans_cb translated;
static vcpu_cb initialized;
static unsigned int cpus;
static const plugin_id own_id = 42;

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

void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, udata_cb cb, int flags, void *data)
{
	(void)flags;
	*operation(tb) = (struct operation){ .kind = 2, .cb = cb, .data = data };
}

void qemu_plugin_register_vcpu_tb_exec_cond_cb(struct qemu_plugin_tb *tb, udata_cb cb, int flags, int cond,
					       qemu_plugin_u64 entry, uint64_t number, void *data)
{
	(void)flags;
	if (cond != GE)
		abort();
	*operation(tb) = (struct operation){ 1, entry, number, cb, data };
}

void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb, int op, qemu_plugin_u64 entry,
						       uint64_t number)
{
	if (op)
		abort();
	*operation(tb) = (struct operation){ .kind = 0, .entry = entry, .number = number };
}

#if API_VERSION >= 7
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, trans_cb cb, void *data)
{
	(void)data;
#else
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, trans_cb cb)
{
#endif
	if (id != own_id)
		abort();
	translated = cb;
}

#if API_VERSION >= 7
void qemu_plugin_register_vcpu_init_cb(plugin_id id, vcpu_cb cb, void *data)
{
	(void)data;
#else
void qemu_plugin_register_vcpu_init_cb(plugin_id id, vcpu_cb cb)
{
#endif
	if (id != own_id)
		abort();
	initialized = cb;
}

static void add_cpu(void)
{
	unsigned int cpu = cpus++;

#if API_VERSION >= 7
	initialized(cpu, NULL);
#else
	initialized(own_id, cpu);
#endif
}

static void run(uint64_t start, size_t count)
{
	struct qemu_plugin_tb tb = { .address = start, .count = count };

#if API_VERSION >= 7
	translated(&tb, NULL);
#else
	translated(own_id, &tb);
#endif
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
	if (install(own_id, NULL, count, words))
		return 1;
	add_cpu();
	for (int i = 3; i < argc; i++) {
		char *rest;
		uint64_t start = strtoull(argv[i], &rest, 16);

		if (!strcmp(argv[i], "cpu"))
			add_cpu();
		else
			run(start, strtoul(rest + 1, NULL, 10));
	}
	return 0;
}

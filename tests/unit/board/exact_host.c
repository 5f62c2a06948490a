// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program that loads the exact plugin as QEMU does and lets it see blocks of instructions run.
 *
 *	exact_host PLUGIN ARGUMENT,ARGUMENT… [CPUS] [START:COUNT[:RAN] | cpu | sp:VALUE | kill]...
 *
 * CPUS: of the machine, `N-cpus` (default: 1). START, VALUE: hexadecimal. RAN: an exception ends the block after so many of
 * its instructions. `cpu`: a further CPU is there. `sp`: what the stack pointer is from now on. `kill`: the process ends by
 * SIGKILL. At the end of a turn it prints `turn`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcg_plugin.h"

#define CPUS 16
#define INSNS 32

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
struct qemu_plugin_insn {
	uint64_t address;
	struct operation operations[4];
	size_t used;
};
struct qemu_plugin_tb {
	struct qemu_plugin_insn insns[INSNS];
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
	return tb->insns[0].address;
}

struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t number)
{
	return (struct qemu_plugin_insn *)&tb->insns[number];
}

uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn)
{
	return insn->address;
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

void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_cb cb, UNUSED enum cb_flags flags,
					    void *data)
{
	insn->operations[insn->used++] = (struct operation){ .kind = 2, .cb = cb, .data = data };
}

void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *insn, enum op op,
							 qemu_plugin_u64 entry, uint64_t number)
{
	if (op != OP_ADD)
		abort();
	insn->operations[insn->used++] = (struct operation){ .kind = 0, .entry = entry, .number = number };
}

/* Descriptors are larger than a plugin knows, as in newer QEMUs; the register is not the first one. */
struct larger_descriptor {
	struct register_descriptor known;
	const char *feature;
	int readonly;
};
static uint64_t stack_pointer;

struct g_array *qemu_plugin_get_registers(void)
{
	static struct larger_descriptor descriptors[] = {
		{ .known = { (void *)1, "x0" } }, { .known = { (void *)2, "sp" } }, { .known = { (void *)3, "pc" } }
	};
	static struct g_array array = { (char *)descriptors, 3 };

	return &array;
}

unsigned int g_array_get_element_size(UNUSED struct g_array *array)
{
	return sizeof(struct larger_descriptor);
}

struct g_bytes *g_byte_array_new(void)
{
	static uint8_t data[64];
	static struct g_bytes array = { data, 0 };

	return &array;
}

struct g_bytes *g_byte_array_set_size(struct g_bytes *array, unsigned int length)
{
	array->len = length;
	return array;
}

/* As QEMU does, appends. */
int qemu_plugin_read_register(struct qemu_plugin_register *handle, struct g_bytes *buffer)
{
	if (handle != (void *)2)
		abort();
	memcpy(buffer->data + buffer->len, &stack_pointer, sizeof(stack_pointer));
	buffer->len += sizeof(stack_pointer);
	return 1;
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

static void carry_out(const struct operation *operations, size_t count)
{
	for (const struct operation *op = operations; op < operations + count; op++) {
		uint64_t *entry = op->kind < 2 ? (uint64_t *)(op->entry.score->data + op->entry.offset) : NULL;

		if (!op->kind)
			*entry += op->number;
		else if (op->kind == 2 || *entry >= op->number)
			op->cb(0, op->data);
	}
}

static void run(uint64_t start, size_t count, size_t ran)
{
	struct qemu_plugin_tb tb = { .count = count };

	for (size_t i = 0; i < count; i++)
		tb.insns[i].address = start + 4 * i;
	CALL(translated, id_of_plugin, &tb);
	carry_out(tb.operations, tb.used);
	for (size_t i = 0; i < ran; i++)
		carry_out(tb.insns[i].operations, tb.insns[i].used);
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
		unsigned long count, ran;
		uint64_t start;

		if (!strcmp(argv[i], "cpu"))
			add_cpu();
		else if (!strcmp(argv[i], "kill"))
			raise(SIGKILL);
		else if (sscanf(argv[i], "sp:%lx", &stack_pointer) == 1)
			continue;
		else if (sscanf(argv[i], "%lx:%lu:%lu", &start, &count, &ran) == 3)
			run(start, count, ran);
		else if (sscanf(argv[i], "%lx:%lu", &start, &count) == 2)
			run(start, count, count);
		else
			return 2;
	}
	return 0;
}

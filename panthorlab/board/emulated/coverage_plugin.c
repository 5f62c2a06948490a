// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * TCG plugin: how often each instruction of chosen address ranges runs.
 *
 * Counts go into a file mapped shared, so they are there for whoever reads it, at any time and whatever ends QEMU.
 * Blocks outside the ranges are not touched, and run as fast as without the plugin.
 *
 *	-plugin file=coverage.so,counts=FILE
 *
 * FILE, made beforehand, in the host's byte order: u64 magic, u64 number of ranges, per range u64 start and u64 end, and
 * then a u64 count per 4-byte instruction of each range.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tcg_plugin.h"

#define MAGIC 0x31637668746e6170ull	/* "panthvc1" */
#define INSN_SIZE 4

EXPORT int qemu_plugin_version = API_VERSION;

struct range {
	uint64_t start, end;
};

static const struct range *ranges;
static uint64_t *counts;
static size_t range_count;

static uint64_t *counter_of(uint64_t address)
{
	size_t before = 0;

	for (size_t i = 0; i < range_count; i++) {
		if (address >= ranges[i].start && address < ranges[i].end)
			return &counts[before + (address - ranges[i].start) / INSN_SIZE];
		before += (ranges[i].end - ranges[i].start) / INSN_SIZE;
	}
	return NULL;
}

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
		uint64_t *counter = counter_of(qemu_plugin_insn_vaddr(insn));

		if (counter)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, count, CB_NO_REGS, counter);
	}
}

static int fail(const char *what)
{
	perror(what);
	return 1;
}

/* Map FILE and check that it is as large as its ranges say. */
static int open_counts(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint64_t *words, insns = 0;
	struct stat st;
	size_t have;

	if (fd < 0 || fstat(fd, &st))
		return fail(path);
	have = (size_t)st.st_size / sizeof(*words);
	words = have < 2 ? MAP_FAILED : mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (words == MAP_FAILED)
		return fail(path);
	ranges = (const struct range *)(words + 2);
	range_count = words[1];
	if (words[0] == MAGIC && range_count <= (have - 2) / 2) {
		for (size_t i = 0; i < range_count; i++)
			insns += (ranges[i].end - ranges[i].start) / INSN_SIZE;
		if (insns == have - 2 - 2 * range_count) {
			counts = words + 2 + 2 * range_count;
			return 0;
		}
	}
	fprintf(stderr, "coverage: %s is no file of counts\n", path);
	return 1;
}

EXPORT int qemu_plugin_install(plugin_id id, UNUSED const void *info, int argc, char **argv)
{
	static const char option[] = "counts=";

	if (argc != 1 || strncmp(argv[0], option, sizeof(option) - 1)) {
		fprintf(stderr, "coverage: expected counts=FILE\n");
		return 1;
	}
	if (open_counts(argv[0] + sizeof(option) - 1))
		return 1;
	REGISTER(vcpu_tb_trans, id, translated);
	return 0;
}

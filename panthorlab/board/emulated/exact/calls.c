// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * When chosen places are passed, where functions are entered and left: written to a file, as is each time at which the CPU
 * is held.
 *
 * The places are a file of u64 addresses in ascending order, all in the host's byte order. What happens is written as
 * `struct event`, at once: whatever ends QEMU, nothing is lost. See panthorlab/board/calls.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exact.h"

#define BEHIND_BITS 16			/* a block has at most 512 instructions */

#define HELD 1				/* the CPU is held before a block */

struct event {
	uint64_t count;			/* instructions before the place; held: up to the end of the block */
	uint64_t address;		/* of the place; held: of the block, with HELD */
	uint64_t stack;			/* stack pointer; held: instructions of the block */
};

static const uint64_t *places;
static size_t place_count;
static int calls_fd = -1;		/* -1: nothing is to be written */
static struct qemu_plugin_register *stack_pointer;
static struct g_bytes *buffer;

bool calls_open(const char *from, const char *to)
{
	struct stat st;
	int fd = open(from, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) || st.st_size < (off_t)sizeof(*places)) {
		perror(from);
		return false;
	}
	place_count = (size_t)st.st_size / sizeof(*places);
	places = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	calls_fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (places == MAP_FAILED || calls_fd < 0) {
		perror(to);
		return false;
	}
	return true;
}

/* The CPU is there, and has registers. */
void calls_share(void)
{
	struct g_array *registers;
	size_t size;

	if (calls_fd < 0)
		return;
	registers = qemu_plugin_get_registers();
	size = g_array_get_element_size(registers);
	for (size_t i = 0; i < registers->len; i++) {
		const struct register_descriptor *descriptor = (const void *)(registers->data + i * size);

		if (!strcmp(descriptor->name, "sp"))
			stack_pointer = descriptor->handle;
	}
	buffer = g_byte_array_new();
	if (!stack_pointer) {
		errno = ENOENT;
		fail("the stack pointer");
	}
}

static void write_event(uint64_t count, uint64_t address, uint64_t stack)
{
	struct event event = { count, address, stack };

	if (write(calls_fd, &event, sizeof(event)) != sizeof(event))
		fail("writing calls");
}

static void passed(UNUSED unsigned int cpu, void *data)
{
	size_t number = (uintptr_t)data >> BEHIND_BITS, behind = (uintptr_t)data & ((1 << BEHIND_BITS) - 1);
	uint64_t stack;

	g_byte_array_set_size(buffer, 0);
	qemu_plugin_read_register(stack_pointer, buffer);
	if (buffer->len != sizeof(stack)) {
		errno = EPROTO;
		fail("the stack pointer");
	}
	memcpy(&stack, buffer->data, sizeof(stack));
	write_event(page->count - behind, places[number], stack);
}

static int compare(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

	return (a > b) - (a < b);
}

void calls_translated(struct qemu_plugin_tb *tb)
{
	size_t insns = calls_fd < 0 ? 0 : qemu_plugin_tb_n_insns(tb);

	for (size_t i = 0; i < insns; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t address = qemu_plugin_insn_vaddr(insn);
		const uint64_t *found = bsearch(&address, places, place_count, sizeof(address), compare);

		if (found)
			qemu_plugin_register_vcpu_insn_exec_cb(
				insn, passed, CB_R_REGS,
				(void *)((uintptr_t)(found - places) << BEHIND_BITS | (insns - i)));
	}
}

void calls_held(uint64_t address, uint64_t insns)
{
	if (calls_fd >= 0)
		write_event(page->count, address | HELD, insns);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * When chosen places are passed, where functions are entered and left, and when blocks of chosen code begin: written to a
 * file, as is each time at which the CPU is held.
 *
 * The places are a file of u64 addresses in ascending order, the code is one of pairs of them, begin and end, all in the
 * host's byte order. What happens is written as `struct event`, at once: whatever ends QEMU, nothing is lost. See
 * panthorlab/board/calls.py.
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
#define BEGINS 2			/* a block begins */

struct event {
	uint64_t count;			/* instructions before the place or block; held: up to the end of the block */
	uint64_t address;		/* of the place; of the block, with HELD or BEGINS */
	uint64_t stack;			/* stack pointer; instructions of the block */
};

struct addresses {
	const uint64_t *at;
	size_t count;			/* 0: none are chosen */
};

static struct addresses places, code;
static bool writing;			/* begins of blocks, as long as one is watched */
static int calls_fd = -1;		/* -1: nothing is to be written */
static struct qemu_plugin_register *stack_pointer;
static struct g_bytes *buffer;

static bool map(struct addresses *addresses, const char *path)
{
	struct stat st;
	int fd;

	if (!path)
		return true;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || st.st_size < (off_t)sizeof(*addresses->at)) {
		perror(path);
		return false;
	}
	addresses->count = (size_t)st.st_size / sizeof(*addresses->at);
	addresses->at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (addresses->at == MAP_FAILED)
		perror(path);
	return addresses->at != MAP_FAILED;
}

bool calls_open(const char *from, const char *blocks, const char *to, bool begins)
{
	writing = begins;
	if (!map(&places, from) || !map(&code, blocks))
		return false;
	calls_fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (calls_fd < 0)
		perror(to);
	return calls_fd >= 0;
}

/* Only a CPU that runs has registers, and its handles are those of all. */
static void find_stack_pointer(void)
{
	struct g_array *registers = qemu_plugin_get_registers();
	size_t size = g_array_get_element_size(registers);

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

	if (!stack_pointer)
		find_stack_pointer();
	g_byte_array_set_size(buffer, 0);
	qemu_plugin_read_register(stack_pointer, buffer);
	if (buffer->len != sizeof(stack)) {
		errno = EPROTO;
		fail("the stack pointer");
	}
	memcpy(&stack, buffer->data, sizeof(stack));
	write_event(page->count - behind, places.at[number], stack);
}

static int compare(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

	return (a > b) - (a < b);
}

static bool chosen(uint64_t address)
{
	for (size_t i = 0; i + 1 < code.count; i += 2)
		if (address >= code.at[i] && address < code.at[i + 1])
			return true;
	return false;
}

static void begins(unsigned int cpu, void *block)
{
	if (!page->watch)
		return;
	if (writing)
		write_event(page->count - block_insns(block), block_address(block) | BEGINS, block_insns(block));
	if (page->watch == block_address(block) && !--page->begins) {
		page->watch = 0;
		hold(cpu, block);
	}
}

void calls_translated(struct qemu_plugin_tb *tb, void *block)
{
	size_t insns = calls_fd < 0 ? 0 : qemu_plugin_tb_n_insns(tb);

	if (insns && chosen(block_address(block)))
		qemu_plugin_register_vcpu_tb_exec_cb(tb, begins, CB_NO_REGS, block);
	for (size_t i = 0; places.count && i < insns; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t address = qemu_plugin_insn_vaddr(insn);
		const uint64_t *found = bsearch(&address, places.at, places.count, sizeof(address), compare);

		if (found)
			qemu_plugin_register_vcpu_insn_exec_cb(
				insn, passed, CB_R_REGS,
				(void *)((uintptr_t)(found - places.at) << BEHIND_BITS | (insns - i)));
	}
}

void calls_held(void *block)
{
	if (calls_fd >= 0)
		write_event(page->count, block_address(block) | HELD, block_insns(block));
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * TCG plugin: counts the instructions that the guest executes, and holds its CPU when a count is reached.
 *
 * With -icount one instruction is a fixed time, so a count is a time. Who decides when the CPU is held (the emulated
 * GPU, panthorlab/gpu/exact) shares a page with this plugin: the counter, and how many instructions are left. While
 * the CPU waits for the GPU, be it here or at a register access, nothing moves, and the other side may set both.
 *
 *	-plugin file=exact.so,page=FD,sync=FD	both inherited; see panthorlab/gpu/exact/wire.py
 *		,hash=on			also hash all blocks
 *		,counts=FILE			also count instructions of the driver; see counts.c
 *		,calls=FILE			also write down where the CPU is held; see calls.c
 *		,places=FILE			with calls=: also calls
 *		,code=FILE			with calls=: the CPU can be held where a block of this code begins
 *		,begins=on			with code=: also all begins of such blocks while one is watched
 *	-plugin file=exact.so,check=on		ends QEMU with status 0: it can use this plugin
 *
 * Operations inline in the translated code, which alone are cheap enough, work on nothing but a scoreboard, in memory of
 * QEMU's own. So one page in the middle of the scoreboard's memory is replaced by the shared one: its contents and its
 * address are the same as before.
 *
 * Several CPUs run in turns, in one thread, so one count is enough: whoever is held, all are. Inline operations cannot
 * be used then: in a block that the second CPU has translated first, QEMU (10.0 to 11.1) multiplies the constant that is
 * the CPU's index in place, and so whatever else in the block is 1. For the same reason callbacks get the index of
 * the CPU that has translated the block, not of the one that runs it. QEMU ends a turn when one of its own timers is due,
 * when a device interrupts, or when a CPU has work to do; the last is how the other side ends one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exact.h"

#define PAGE 4096
#define MAGIC 0x3173746361786570ull	/* "pexacts1" */
#define DUE (1ull << 62)		/* `left` counts up to this: comparisons are with a constant */
#define GONE 99				/* QEMU's exit status when the other side has gone */

EXPORT int qemu_plugin_version = API_VERSION;

struct page *page;

static struct qemu_plugin_scoreboard *board;
static qemu_plugin_u64 count_entry, left_entry;
static int page_fd = -1, sync_fd = -1;
static bool hashing, begins;
static const void *time_control;

void fail(const char *what)
{
	fprintf(stderr, "exact: %s: %s\n", what, strerror(errno));
	_exit(GONE);
}

/* Have the other side do what is due; it says in the page when the next time is. */
void hold(UNUSED unsigned int cpu, void *block)
{
	uint64_t count = page->count, answer;
	ssize_t n;

	calls_held(block);
	if (send(sync_fd, &count, sizeof(count), MSG_NOSIGNAL) != sizeof(count))
		fail("the GPU model has gone");
	do {
		n = recv(sync_fd, &answer, sizeof(answer), 0);
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(answer) || answer != count) {
		errno = n < 0 ? errno : EPIPE;
		fail("the GPU model has gone");
	}
	if (page->end_turn) {
		page->end_turn = 0;
		/* Work for this CPU, and none that does anything: time 0 is over. */
		qemu_plugin_update_ns(time_control, 0);
	}
}

/* What is done inline if there is one CPU alone. */
static void count_block(unsigned int cpu, void *block)
{
	uint64_t insns = block_insns(block);

	page->count += insns;
	page->left += insns;
	if (page->left >= DUE)
		hold(cpu, block);
}

/* FNV-1a, by blocks. */
static void mix(UNUSED unsigned int cpu, void *block)
{
	page->hash = (page->hash ^ (uintptr_t)block) * 1099511628211ull;
}

static void translated(CALLBACK(struct qemu_plugin_tb *tb))
{
	uint64_t insns = qemu_plugin_tb_n_insns(tb);

	void *block = packed(qemu_plugin_tb_vaddr(tb), insns);

	if (time_control) {
		qemu_plugin_register_vcpu_tb_exec_cb(tb, count_block, CB_NO_REGS, block);
	} else {
		qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, OP_ADD, count_entry, insns);
		qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, OP_ADD, left_entry, insns);
		qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, hold, CB_NO_REGS, COND_GE, left_entry, DUE, block);
	}
	if (hashing)
		qemu_plugin_register_vcpu_tb_exec_cb(tb, mix, CB_NO_REGS,
						     (void *)(uintptr_t)(qemu_plugin_tb_vaddr(tb) ^ insns << 56));
	coverage_translated(tb);
	calls_translated(tb, block);
}

size_t overlay(struct qemu_plugin_scoreboard *score, int fd, size_t size)
{
	char *element = qemu_plugin_scoreboard_find(score, 0);
	size_t to_page = -(uintptr_t)element & (PAGE - 1);

	if (mmap(element + to_page, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		fail("mapping a shared file");
	return to_page;
}

static void use_page(void *where)
{
	page = where;
	if (page->magic != MAGIC) {
		errno = EPROTO;
		fail("the shared page");
	}
}

/* The only CPU is there and has not run yet. */
static void share(CALLBACK(unsigned int cpu))
{
	size_t offset;

	if (cpu) {
		errno = ENOTSUP;
		fail("a CPU that came later");
	}
	offset = overlay(board, page_fd, PAGE);
	use_page((char *)qemu_plugin_scoreboard_find(board, 0) + offset);
	count_entry = (qemu_plugin_u64){ board, offset + offsetof(struct page, count) };
	left_entry = (qemu_plugin_u64){ board, offset + offsetof(struct page, left) };
	coverage_share();
}

static void take_turns(int cpus)
{
	void *where = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);

	if (where == MAP_FAILED)
		fail("mapping the shared page");
	time_control = qemu_plugin_request_time_control();
	if (!time_control) {
		errno = EBUSY;
		fail("ending turns of CPUs");
	}
	use_page(where);
	page->cpus = (uint64_t)cpus;
}

static bool number(const char *argument, const char *name, int *value)
{
	size_t length = strlen(name);
	char *end;

	if (strncmp(argument, name, length))
		return false;
	*value = (int)strtol(argument + length, &end, 10);
	return end != argument + length && !*end;
}

static const char *text(const char *argument, const char *name)
{
	size_t length = strlen(name);

	return strncmp(argument, name, length) ? NULL : argument + length;
}

EXPORT int qemu_plugin_install(plugin_id id, const void *qemu, int argc, char **argv)
{
	const struct qemu_info *info = qemu;
	const char *value, *counts = NULL, *places = NULL, *code = NULL, *calls = NULL;

	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "check=on")) {
			puts("exact: usable");
			fflush(stdout);
			_exit(0);
		}
		if (!strcmp(argv[i], "hash=on")) {
			hashing = true;
		} else if (!strcmp(argv[i], "begins=on")) {
			begins = true;
		} else if ((value = text(argv[i], "counts="))) {
			counts = value;
		} else if ((value = text(argv[i], "places="))) {
			places = value;
		} else if ((value = text(argv[i], "code="))) {
			code = value;
		} else if ((value = text(argv[i], "calls="))) {
			calls = value;
		} else if (!number(argv[i], "page=", &page_fd) && !number(argv[i], "sync=", &sync_fd)) {
			fprintf(stderr, "exact: unknown option %s\n", argv[i]);
			return 1;
		}
	}
	if (page_fd < 0 || sync_fd < 0) {
		fprintf(stderr, "exact: expected page=FD,sync=FD\n");
		return 1;
	}
	if (((places || code) && !calls) || (begins && !code)) {
		fprintf(stderr, "exact: places= and code= want calls=, and begins= wants code=\n");
		return 1;
	}
	if ((counts && !coverage_open(counts)) || (calls && !calls_open(places, code, calls, begins)))
		return 1;
	if (info->cpus > 1) {
		take_turns(info->cpus);
	} else {
		board = qemu_plugin_scoreboard_new(2 * PAGE);
		REGISTER(vcpu_init, id, share);
	}
	REGISTER(vcpu_tb_trans, id, translated);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* The command streams that a script can submit: three pages at FUZZ_VA in each VM, the same in all. */

#include <string.h>

#include "cs.h"
#include "gpu-fuzz.h"

#define AT_RESULT	8192u	/* the last page: data */
#define AT_SYNC		(AT_RESULT + 64)	/* what nobody ever adds to */
#define AT_CONTEXT	(AT_RESULT + 128)	/* address of the newest heap's context */
#define AT_SCRATCH	(AT_RESULT + 192)	/* a context that no kernel gave out */
#define AT_TILER	(AT_RESULT + 256)
#define AT_DESCRIPTOR	(AT_RESULT + 1024)
#define TILER_HEAP_POINTER	24u	/* as in heap-scene.c */
#define TILER_COMPLETED		40u
#define DESCRIPTOR_SIZE		4u
#define DESCRIPTOR_BASE		8u
#define NOWHERE		0xdead0000ull

enum {
	REG_ADDR = 0, REG_VALUE = 2, REG_FLUSH = 3, REG_HEAP = 4, REG_HANDLER = 6, REG_LENGTH = 8,
	REG_TILINGS = 9, REG_FIRST = 16, REG_LAST = 18, REG_TILER = 40,
};

static void store_to(struct cs *cs, uint64_t va)
{
	cs_move48(cs, REG_ADDR, va);
	cs_move32(cs, REG_VALUE, 0xf0220000);
	cs_store32(cs, REG_ADDR, REG_VALUE);
	cs_wait(cs, CS_SB_ALL);
	cs_move32(cs, REG_FLUSH, 0);
	cs_flush(cs, REG_FLUSH);
	cs_wait(cs, CS_SB_ALL);
}

static void write_store(struct cs *cs)
{
	store_to(cs, FUZZ_VA + AT_RESULT);
}

/* Some milliseconds. */
static void write_long(struct cs *cs)
{
	unsigned int loop;

	cs_move32(cs, REG_TILINGS, 3000);
	loop = cs->count;
	cs_add_imm32(cs, REG_TILINGS, REG_TILINGS, -1);
	cs_branch(cs, CS_GREATER, REG_TILINGS, loop);
	write_store(cs);
}

static void write_loop(struct cs *cs)
{
	cs_branch(cs, CS_ALWAYS, 0, 0);
}

static void write_wait(struct cs *cs)
{
	cs_move48(cs, REG_ADDR, FUZZ_VA + AT_SYNC);
	cs_move48(cs, REG_VALUE, 0);
	cs_sync_wait64_gt(cs, REG_ADDR, REG_VALUE);
}

static void write_bad_instr(struct cs *cs)
{
	cs_undefined(cs);
}

static void write_bad_store(struct cs *cs)
{
	store_to(cs, NOWHERE);
}

static void write_bad_call(struct cs *cs)
{
	cs_move48(cs, REG_ADDR, NOWHERE);
	cs_move32(cs, REG_LENGTH, 64);
	cs_emit(cs, CS_CALL | CS_CALL_ADDR(REG_ADDR) | CS_CALL_LENGTH(REG_LENGTH));
}

static void load_heap(struct cs *cs)
{
	cs_move48(cs, REG_ADDR, FUZZ_VA + AT_CONTEXT);
	cs_load(cs, REG_HEAP, 2, REG_ADDR, 0);
	cs_wait(cs, CS_SB_ALL);
	cs_heap_set(cs, REG_HEAP);
}

/* The newest heap of the VM is bound; if there was none, a context of nobody. */
static void write_heap(struct cs *cs)
{
	load_heap(cs);
	write_store(cs);
}

/* A render pass as in heap-scene.c, of @tilings that each take what the emulated tiler is told to take. */
static void render(struct cs *cs, unsigned int tilings)
{
	unsigned int loop;

	cs_scoreboards(cs, CS_SB_TILER, CS_SB_STORE);
	load_heap(cs);
	cs_move48(cs, REG_TILER, FUZZ_VA + AT_TILER);
	cs_move32(cs, REG_LENGTH, 0);
	cs_exception_handler(cs, REG_HANDLER, REG_LENGTH);
	cs_req_resource(cs, CS_RESOURCE_TILER | CS_RESOURCE_IDVS);
	cs_heap_operation(cs, CS_VERTEX_TILER_STARTED);
	cs_move32(cs, REG_TILINGS, tilings);
	loop = cs->count;
	cs_run_tiling(cs);
	cs_wait(cs, CS_SB_ALL);
	cs_add_imm32(cs, REG_TILINGS, REG_TILINGS, -1);
	cs_branch(cs, CS_GREATER, REG_TILINGS, loop);
	cs_finish_tiling(cs);
	cs_wait(cs, CS_SB_ALL);
	cs_req_resource(cs, 0);
	cs_heap_operation(cs, CS_VERTEX_TILER_COMPLETED);
	cs_load(cs, REG_FIRST, 4, REG_TILER, TILER_COMPLETED);
	cs_wait(cs, 1 << CS_SB_STORE);
	cs_finish_fragment(cs, REG_FIRST, REG_LAST);
	cs_heap_operation(cs, CS_FRAGMENT_COMPLETED);
	write_store(cs);
}

static void write_tile(struct cs *cs)
{
	render(cs, 1);
}

static void write_tiles(struct cs *cs)
{
	render(cs, 64);
}

static const struct {
	const char *name;
	void (*write)(struct cs *cs);
} streams[] = {
	{ "store", write_store }, { "long", write_long }, { "loop", write_loop },
	{ "wait", write_wait }, { "heap", write_heap }, { "tile", write_tile },
	{ "tiles", write_tiles },
	/* These must fail. */
	{ "bad-instr", write_bad_instr },
	{ "bad-store", write_bad_store }, { "bad-call", write_bad_call },
};
#define STREAMS (sizeof(streams) / sizeof(streams[0]))

/* Number of the stream @name, or -1. */
int fuzz_stream(const char *name)
{
	unsigned int i;

	for (i = 0; i < STREAMS; i++)
		if (!strcmp(streams[i].name, name))
			return i;
	return -1;
}

static uint32_t write_stream(volatile uint64_t *words, unsigned int index)
{
	struct cs cs = { .words = words, .capacity = FUZZ_STREAM / 8 };

	streams[index].write(&cs);
	return cs_size(&cs);
}

uint32_t fuzz_stream_size(unsigned int index)
{
	uint64_t words[FUZZ_STREAM / 8];

	return write_stream(words, index);
}

/* Each is at its number * FUZZ_STREAM. */
void fuzz_write_streams(volatile void *page)
{
	unsigned int i;

	for (i = 0; i < STREAMS; i++)
		write_stream((volatile uint64_t *)page + i * FUZZ_STREAM / 8, i);
	fuzz_set_heap(page, 0, 0, 0);
}

/* The heap that the streams `heap`, `tile` and `tiles` bind. */
void fuzz_set_heap(volatile void *page, uint64_t context, uint64_t chunk, uint32_t chunk_size)
{
	volatile uint8_t *data = page;

	*(volatile uint64_t *)(data + AT_CONTEXT) = context ?: FUZZ_VA + AT_SCRATCH;
	*(volatile uint64_t *)(data + AT_TILER + TILER_HEAP_POINTER) = FUZZ_VA + AT_DESCRIPTOR;
	*(volatile uint32_t *)(data + AT_DESCRIPTOR + DESCRIPTOR_SIZE) = chunk_size;
	*(volatile uint64_t *)(data + AT_DESCRIPTOR + DESCRIPTOR_BASE) = chunk;
}

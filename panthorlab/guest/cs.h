/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command stream instructions of Mali CSF v10, as far as the workloads need them.
 *
 * An instruction is a little-endian u64 with the opcode in bits 63:56 (see generation.h). A stream has
 * CS_REGISTERS 32-bit registers; 64-bit operands are even-aligned pairs named by their first register.
 * The kernel keeps r92..r95 for itself.
 */
#ifndef PANTHORLAB_GUEST_CS_H
#define PANTHORLAB_GUEST_CS_H

#include <stddef.h>
#include <stdint.h>

#include "generation.h"

enum cs_condition {
	CS_LESS_EQUAL = 0,
	CS_GREATER = 1,
	CS_EQUAL = 2,
	CS_NOT_EQUAL = 3,
	CS_LESS = 4,
	CS_GREATER_EQUAL = 5,
	CS_ALWAYS = 6,
};

enum cs_heap_op {
	CS_VERTEX_TILER_STARTED = 0,
	CS_VERTEX_TILER_COMPLETED = 1,
	CS_FRAGMENT_COMPLETED = 3,
};

/* REQ_RESOURCE bits */
#define CS_RESOURCE_COMPUTE	0x1
#define CS_RESOURCE_TILER	0x4
#define CS_RESOURCE_IDVS	0x8

/* Scoreboards this program signals: loads and stores use the default entry, 0. */
#define CS_SB_STORE		0
#define CS_SB_FLUSH		1
#define CS_SB_TILER		2	/* by cs_scoreboards() only */
#define CS_SB_ALL		0xff

/**
 * struct cs - A command stream being written
 * @words: where it goes, GPU visible
 * @count: instructions written
 * @capacity: instructions that fit
 */
struct cs {
	volatile uint64_t *words;
	unsigned int count;
	unsigned int capacity;
};

static inline uint32_t cs_size(const struct cs *cs)
{
	return cs->count * sizeof(uint64_t);
}

static inline void cs_emit(struct cs *cs, uint64_t word)
{
	if (cs->count == cs->capacity)
		__builtin_trap();
	cs->words[cs->count++] = word;
}

static inline void cs_move48(struct cs *cs, unsigned int reg, uint64_t value)
{
	cs_emit(cs, CS_MOVE | CS_MOVE_DST(reg) | CS_MOVE_IMM(value));
}

static inline void cs_move32(struct cs *cs, unsigned int reg, uint32_t value)
{
	cs_emit(cs, CS_MOVE32 | CS_MOVE32_DST(reg) | CS_MOVE32_IMM(value));
}

/* Wait until the scoreboard entries of @mask are zero. */
static inline void cs_wait(struct cs *cs, unsigned int mask)
{
	cs_emit(cs, CS_WAIT | CS_WAIT_WAIT(mask));
}

/* From here on, endpoint work signals entry @endpoint, and loads and stores @other. */
static inline void cs_scoreboards(struct cs *cs, unsigned int endpoint, unsigned int other)
{
	cs_emit(cs, CS_SET_SB_ENTRY | CS_SET_SB_ENTRY_OTHER(other) | CS_SET_SB_ENTRY_ENDPOINT(endpoint));
}

static inline void cs_run_compute(struct cs *cs)
{
	cs_emit(cs, CS_RUN_COMPUTE);
}

static inline void cs_run_tiling(struct cs *cs)
{
	cs_emit(cs, CS_RUN_TILING);
}

static inline void cs_finish_tiling(struct cs *cs)
{
	cs_emit(cs, CS_FINISH_TILING);
}

static inline void cs_add_imm32(struct cs *cs, unsigned int dst, unsigned int src, int32_t value)
{
	cs_emit(cs, CS_ADD_IMM32 | CS_ADD_IMM32_DST(dst) | CS_ADD_IMM32_SRC(src) | CS_ADD_IMM32_IMM(value));
}

/* mem32[pair @addr] = @reg; asynchronous, signals CS_SB_STORE. */
static inline void cs_store32(struct cs *cs, unsigned int addr, unsigned int reg)
{
	cs_emit(cs, CS_STORE_MULTIPLE | CS_STORE_MULTIPLE_BASE(reg) | CS_STORE_MULTIPLE_ADDR(addr) |
		CS_STORE_MULTIPLE_MASK(1));
}

/* @count registers from @base on = mem32s from pair @addr + @offset on; asynchronous, signals CS_SB_STORE. */
static inline void cs_load(struct cs *cs, unsigned int base, unsigned int count, unsigned int addr,
			   int16_t offset)
{
	cs_emit(cs, CS_LOAD_MULTIPLE | CS_LOAD_MULTIPLE_BASE(base) | CS_LOAD_MULTIPLE_ADDR(addr) |
		CS_LOAD_MULTIPLE_MASK((1ull << count) - 1) | CS_LOAD_MULTIPLE_OFFSET(offset));
}

/* The other way round. */
static inline void cs_store(struct cs *cs, unsigned int base, unsigned int count, unsigned int addr,
			    int16_t offset)
{
	cs_emit(cs, CS_STORE_MULTIPLE | CS_STORE_MULTIPLE_BASE(base) | CS_STORE_MULTIPLE_ADDR(addr) |
		CS_STORE_MULTIPLE_MASK((1ull << count) - 1) | CS_STORE_MULTIPLE_OFFSET(offset));
}

/* @reg = mem32[pair @addr]; asynchronous, signals CS_SB_STORE. */
static inline void cs_load32(struct cs *cs, unsigned int reg, unsigned int addr)
{
	cs_emit(cs, CS_LOAD_MULTIPLE | CS_LOAD_MULTIPLE_BASE(reg) | CS_LOAD_MULTIPLE_ADDR(addr) |
		CS_LOAD_MULTIPLE_MASK(1));
}

/* Branch to instruction @target of this stream if @reg compares with zero as @condition says. */
static inline void cs_branch(struct cs *cs, enum cs_condition condition, unsigned int reg,
			     unsigned int target)
{
	int16_t offset = (int)target - (int)(cs->count + 1);

	cs_emit(cs, CS_BRANCH | CS_BRANCH_VALUE(reg) | CS_BRANCH_COND(condition) | CS_BRANCH_OFFSET(offset));
}

/* Called when the heap is out of memory: @length bytes at pair @addr; 0 bytes: none any more. */
static inline void cs_exception_handler(struct cs *cs, unsigned int addr, unsigned int length)
{
	cs_emit(cs, CS_SET_EXCEPTION_HANDLER | CS_SET_EXCEPTION_HANDLER_ADDR(addr) |
		CS_SET_EXCEPTION_HANDLER_LENGTH(length) | CS_SET_EXCEPTION_HANDLER_TYPE(2));
}

/* The chunks from pair @first to pair @last, chained, are free again. */
static inline void cs_finish_fragment(struct cs *cs, unsigned int first, unsigned int last)
{
	cs_emit(cs, CS_FINISH_FRAGMENT | CS_FINISH_FRAGMENT_FIRST(first) | CS_FINISH_FRAGMENT_LAST(last));
}

static inline void cs_req_resource(struct cs *cs, unsigned int resources)
{
	cs_emit(cs, CS_REQ_RESOURCE | resources);
}

/* Clean and invalidate all caches; @reg holds a flush id, 0 for "always". */
static inline void cs_flush(struct cs *cs, unsigned int reg)
{
	cs_emit(cs, CS_FLUSH_CACHE2 | CS_FLUSH_CACHE2_SIGNAL(CS_SB_FLUSH) | CS_FLUSH_CACHE2_FLUSH_ID(reg) |
		CS_FLUSH_CACHE2_L2(3) | CS_FLUSH_CACHE2_LSC(3) | CS_FLUSH_CACHE2_OTHER(2));
}

/* Registers of cs_tell(): the last ones that are not the kernel's. */
enum { CS_TELL_ADDR = 84, CS_TELL_VALUE = 86, CS_TELL_FLUSH = 87 };

/* Store @value where the CPU sees it. */
static inline void cs_tell(struct cs *cs, uint64_t va, uint32_t value)
{
	cs_move48(cs, CS_TELL_ADDR, va);
	cs_move32(cs, CS_TELL_VALUE, value);
	cs_store32(cs, CS_TELL_ADDR, CS_TELL_VALUE);
	cs_wait(cs, CS_SB_ALL);
	cs_move32(cs, CS_TELL_FLUSH, 0);
	cs_flush(cs, CS_TELL_FLUSH);
	cs_wait(cs, CS_SB_ALL);
}

/* Bind the tiler heap context whose address is in pair @reg. */
static inline void cs_heap_set(struct cs *cs, unsigned int reg)
{
	cs_emit(cs, CS_HEAP_SET | CS_HEAP_SET_ADDR(reg));
}

static inline void cs_heap_operation(struct cs *cs, enum cs_heap_op op)
{
	cs_emit(cs, CS_HEAP_OPERATION | CS_HEAP_OPERATION_OPERATION(op));
}

/* mem64[pair @addr] += pair @data; tells the kernel, as its scope is the system. */
static inline void cs_sync_add64(struct cs *cs, unsigned int addr, unsigned int data)
{
	cs_emit(cs, CS_SYNC_ADD64 | CS_SYNC_ADD64_ADDR(addr) | CS_SYNC_ADD64_DATA(data));
}

/* As cs_sync_add64(), when the scoreboard entries of @mask are zero; the stream goes on. Signals entry @signal. */
static inline void cs_sync_add64_later(struct cs *cs, unsigned int addr, unsigned int data,
				       unsigned int mask, unsigned int signal)
{
	cs_emit(cs, CS_SYNC_ADD64 | CS_SYNC_ADD64_ADDR(addr) | CS_SYNC_ADD64_DATA(data) |
		CS_SYNC_ADD64_WAIT(mask) | CS_SYNC_ADD64_SIGNAL(signal));
}

/* Block until mem64[pair @addr] > pair @data. */
static inline void cs_sync_wait64_gt(struct cs *cs, unsigned int addr, unsigned int data)
{
	cs_emit(cs, CS_SYNC_WAIT64 | CS_SYNC_WAIT64_ADDR(addr) | CS_SYNC_WAIT64_DATA(data) |
		CS_SYNC_WAIT64_COND(CS_GREATER));
}

/* An opcode no architecture up to v10 defines. */
static inline void cs_undefined(struct cs *cs)
{
	cs_emit(cs, CS_OP(0xff));
}

#endif

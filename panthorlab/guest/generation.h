/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mali-G610, for programs on the board. Made by `panthorlab gpu header --model g610`;
 * a change belongs into panthorlab/gpu/generations.
 */
#ifndef PANTHORLAB_GUEST_GENERATION_H
#define PANTHORLAB_GUEST_GENERATION_H

#include <stdint.h>

#define GPU_HEAP_CONTEXT_STRIDE	64u

#define CS_REGISTERS	96u
#define CS_SCOREBOARDS	8u

#define CS_OP(op)	((uint64_t)(op) << 56)
#define CS_FIELD(value, high, low) \
	(((uint64_t)(value) & (~0ull >> (63 - (high) + (low)))) << (low))

#define CS_NOP	CS_OP(0x00)
#define CS_NOP_IGNORED(value)	CS_FIELD(value, 55, 0)

#define CS_MOVE	CS_OP(0x01)
#define CS_MOVE_IMM(value)	CS_FIELD(value, 47, 0)
#define CS_MOVE_DST(value)	CS_FIELD(value, 55, 48)

#define CS_MOVE32	CS_OP(0x02)
#define CS_MOVE32_IMM(value)	CS_FIELD(value, 31, 0)
#define CS_MOVE32_DST(value)	CS_FIELD(value, 55, 48)

#define CS_WAIT	CS_OP(0x03)
#define CS_WAIT_WAIT(value)	CS_FIELD(value, 31, 16)
#define CS_WAIT_PROGRESS(value)	CS_FIELD(value, 32, 32)

#define CS_RUN_COMPUTE	CS_OP(0x04)
#define CS_RUN_COMPUTE_TASK_INCREMENT(value)	CS_FIELD(value, 13, 0)
#define CS_RUN_COMPUTE_AXIS(value)	CS_FIELD(value, 15, 14)
#define CS_RUN_COMPUTE_PROGRESS(value)	CS_FIELD(value, 32, 32)
#define CS_RUN_COMPUTE_SRT(value)	CS_FIELD(value, 41, 40)
#define CS_RUN_COMPUTE_SPD(value)	CS_FIELD(value, 43, 42)
#define CS_RUN_COMPUTE_TSD(value)	CS_FIELD(value, 45, 44)
#define CS_RUN_COMPUTE_FAU(value)	CS_FIELD(value, 47, 46)

#define CS_RUN_TILING	CS_OP(0x05)
#define CS_RUN_TILING_FLAGS(value)	CS_FIELD(value, 31, 0)
#define CS_RUN_TILING_PROGRESS(value)	CS_FIELD(value, 32, 32)
#define CS_RUN_TILING_SRT(value)	CS_FIELD(value, 41, 40)
#define CS_RUN_TILING_SPD(value)	CS_FIELD(value, 43, 42)
#define CS_RUN_TILING_TSD(value)	CS_FIELD(value, 45, 44)
#define CS_RUN_TILING_FAU(value)	CS_FIELD(value, 47, 46)

#define CS_RUN_IDVS	CS_OP(0x06)
#define CS_RUN_IDVS_FLAGS(value)	CS_FIELD(value, 31, 0)
#define CS_RUN_IDVS_PROGRESS(value)	CS_FIELD(value, 32, 32)
#define CS_RUN_IDVS_MALLOC(value)	CS_FIELD(value, 33, 33)
#define CS_RUN_IDVS_DRAW_ID_ENABLE(value)	CS_FIELD(value, 34, 34)
#define CS_RUN_IDVS_VARYING_SRT(value)	CS_FIELD(value, 35, 35)
#define CS_RUN_IDVS_VARYING_FAU(value)	CS_FIELD(value, 36, 36)
#define CS_RUN_IDVS_VARYING_TSD(value)	CS_FIELD(value, 37, 37)
#define CS_RUN_IDVS_FRAGMENT_SRT(value)	CS_FIELD(value, 38, 38)
#define CS_RUN_IDVS_FRAGMENT_TSD(value)	CS_FIELD(value, 39, 39)
#define CS_RUN_IDVS_DRAW_ID(value)	CS_FIELD(value, 47, 40)

#define CS_RUN_FRAGMENT	CS_OP(0x07)
#define CS_RUN_FRAGMENT_TEM(value)	CS_FIELD(value, 0, 0)
#define CS_RUN_FRAGMENT_TILE_ORDER(value)	CS_FIELD(value, 7, 4)
#define CS_RUN_FRAGMENT_PROGRESS(value)	CS_FIELD(value, 32, 32)

#define CS_RUN_FULLSCREEN	CS_OP(0x08)
#define CS_RUN_FULLSCREEN_FLAGS(value)	CS_FIELD(value, 31, 0)
#define CS_RUN_FULLSCREEN_PROGRESS(value)	CS_FIELD(value, 32, 32)
#define CS_RUN_FULLSCREEN_DCD(value)	CS_FIELD(value, 47, 40)

#define CS_FINISH_TILING	CS_OP(0x09)
#define CS_FINISH_TILING_PROGRESS(value)	CS_FIELD(value, 32, 32)

#define CS_FINISH_FRAGMENT	CS_OP(0x0b)
#define CS_FINISH_FRAGMENT_FRAG_END(value)	CS_FIELD(value, 0, 0)
#define CS_FINISH_FRAGMENT_WAIT(value)	CS_FIELD(value, 31, 16)
#define CS_FINISH_FRAGMENT_LAST(value)	CS_FIELD(value, 39, 32)
#define CS_FINISH_FRAGMENT_FIRST(value)	CS_FIELD(value, 47, 40)
#define CS_FINISH_FRAGMENT_SIGNAL(value)	CS_FIELD(value, 51, 48)

#define CS_ADD_IMM32	CS_OP(0x10)
#define CS_ADD_IMM32_IMM(value)	CS_FIELD(value, 31, 0)
#define CS_ADD_IMM32_SRC(value)	CS_FIELD(value, 47, 40)
#define CS_ADD_IMM32_DST(value)	CS_FIELD(value, 55, 48)

#define CS_ADD_IMM64	CS_OP(0x11)
#define CS_ADD_IMM64_IMM(value)	CS_FIELD(value, 31, 0)
#define CS_ADD_IMM64_SRC(value)	CS_FIELD(value, 47, 40)
#define CS_ADD_IMM64_DST(value)	CS_FIELD(value, 55, 48)

#define CS_UMIN32	CS_OP(0x12)
#define CS_UMIN32_SRC1(value)	CS_FIELD(value, 39, 32)
#define CS_UMIN32_SRC2(value)	CS_FIELD(value, 47, 40)
#define CS_UMIN32_DST(value)	CS_FIELD(value, 55, 48)

#define CS_LOAD_MULTIPLE	CS_OP(0x14)
#define CS_LOAD_MULTIPLE_OFFSET(value)	CS_FIELD(value, 15, 0)
#define CS_LOAD_MULTIPLE_MASK(value)	CS_FIELD(value, 31, 16)
#define CS_LOAD_MULTIPLE_ADDR(value)	CS_FIELD(value, 47, 40)
#define CS_LOAD_MULTIPLE_BASE(value)	CS_FIELD(value, 55, 48)

#define CS_STORE_MULTIPLE	CS_OP(0x15)
#define CS_STORE_MULTIPLE_OFFSET(value)	CS_FIELD(value, 15, 0)
#define CS_STORE_MULTIPLE_MASK(value)	CS_FIELD(value, 31, 16)
#define CS_STORE_MULTIPLE_ADDR(value)	CS_FIELD(value, 47, 40)
#define CS_STORE_MULTIPLE_BASE(value)	CS_FIELD(value, 55, 48)

#define CS_BRANCH	CS_OP(0x16)
#define CS_BRANCH_OFFSET(value)	CS_FIELD(value, 15, 0)
#define CS_BRANCH_COND(value)	CS_FIELD(value, 30, 28)
#define CS_BRANCH_VALUE(value)	CS_FIELD(value, 47, 40)

#define CS_SET_SB_ENTRY	CS_OP(0x17)
#define CS_SET_SB_ENTRY_ENDPOINT(value)	CS_FIELD(value, 3, 0)
#define CS_SET_SB_ENTRY_OTHER(value)	CS_FIELD(value, 7, 4)

#define CS_PROGRESS_WAIT	CS_OP(0x18)
#define CS_PROGRESS_WAIT_QUEUE(value)	CS_FIELD(value, 4, 0)
#define CS_PROGRESS_WAIT_SRC(value)	CS_FIELD(value, 47, 40)

#define CS_SET_EXCEPTION_HANDLER	CS_OP(0x19)
#define CS_SET_EXCEPTION_HANDLER_TYPE(value)	CS_FIELD(value, 7, 0)
#define CS_SET_EXCEPTION_HANDLER_LENGTH(value)	CS_FIELD(value, 39, 32)
#define CS_SET_EXCEPTION_HANDLER_ADDR(value)	CS_FIELD(value, 47, 40)

#define CS_CALL	CS_OP(0x20)
#define CS_CALL_LENGTH(value)	CS_FIELD(value, 39, 32)
#define CS_CALL_ADDR(value)	CS_FIELD(value, 47, 40)

#define CS_JUMP	CS_OP(0x21)
#define CS_JUMP_LENGTH(value)	CS_FIELD(value, 39, 32)
#define CS_JUMP_ADDR(value)	CS_FIELD(value, 47, 40)

#define CS_REQ_RESOURCE	CS_OP(0x22)
#define CS_REQ_RESOURCE_COMPUTE(value)	CS_FIELD(value, 0, 0)
#define CS_REQ_RESOURCE_FRAGMENT(value)	CS_FIELD(value, 1, 1)
#define CS_REQ_RESOURCE_TILER(value)	CS_FIELD(value, 2, 2)
#define CS_REQ_RESOURCE_IDVS(value)	CS_FIELD(value, 3, 3)

#define CS_FLUSH_CACHE2	CS_OP(0x24)
#define CS_FLUSH_CACHE2_L2(value)	CS_FIELD(value, 3, 0)
#define CS_FLUSH_CACHE2_LSC(value)	CS_FIELD(value, 7, 4)
#define CS_FLUSH_CACHE2_OTHER(value)	CS_FIELD(value, 11, 8)
#define CS_FLUSH_CACHE2_WAIT(value)	CS_FIELD(value, 31, 16)
#define CS_FLUSH_CACHE2_FLUSH_ID(value)	CS_FIELD(value, 47, 40)
#define CS_FLUSH_CACHE2_SIGNAL(value)	CS_FIELD(value, 51, 48)

#define CS_SYNC_ADD32	CS_OP(0x25)
#define CS_SYNC_ADD32_PROPAGATE(value)	CS_FIELD(value, 0, 0)
#define CS_SYNC_ADD32_SCOPE(value)	CS_FIELD(value, 2, 1)
#define CS_SYNC_ADD32_WAIT(value)	CS_FIELD(value, 31, 16)
#define CS_SYNC_ADD32_DATA(value)	CS_FIELD(value, 39, 32)
#define CS_SYNC_ADD32_ADDR(value)	CS_FIELD(value, 47, 40)
#define CS_SYNC_ADD32_SIGNAL(value)	CS_FIELD(value, 51, 48)

#define CS_SYNC_SET32	CS_OP(0x26)
#define CS_SYNC_SET32_PROPAGATE(value)	CS_FIELD(value, 0, 0)
#define CS_SYNC_SET32_SCOPE(value)	CS_FIELD(value, 2, 1)
#define CS_SYNC_SET32_WAIT(value)	CS_FIELD(value, 31, 16)
#define CS_SYNC_SET32_DATA(value)	CS_FIELD(value, 39, 32)
#define CS_SYNC_SET32_ADDR(value)	CS_FIELD(value, 47, 40)
#define CS_SYNC_SET32_SIGNAL(value)	CS_FIELD(value, 51, 48)

#define CS_SYNC_WAIT32	CS_OP(0x27)
#define CS_SYNC_WAIT32_REJECT(value)	CS_FIELD(value, 0, 0)
#define CS_SYNC_WAIT32_COND(value)	CS_FIELD(value, 31, 28)
#define CS_SYNC_WAIT32_DATA(value)	CS_FIELD(value, 39, 32)
#define CS_SYNC_WAIT32_ADDR(value)	CS_FIELD(value, 47, 40)

#define CS_STORE_STATE	CS_OP(0x28)
#define CS_STORE_STATE_OFFSET(value)	CS_FIELD(value, 15, 0)
#define CS_STORE_STATE_WAIT(value)	CS_FIELD(value, 31, 16)
#define CS_STORE_STATE_STATE(value)	CS_FIELD(value, 33, 32)
#define CS_STORE_STATE_ADDR(value)	CS_FIELD(value, 47, 40)
#define CS_STORE_STATE_SIGNAL(value)	CS_FIELD(value, 51, 48)

#define CS_PROT_REGION	CS_OP(0x29)
#define CS_PROT_REGION_SIZE(value)	CS_FIELD(value, 15, 0)

#define CS_PROGRESS_STORE	CS_OP(0x2a)
#define CS_PROGRESS_STORE_SRC(value)	CS_FIELD(value, 47, 40)

#define CS_PROGRESS_LOAD	CS_OP(0x2b)
#define CS_PROGRESS_LOAD_DST(value)	CS_FIELD(value, 55, 48)

#define CS_RUN_COMPUTE_INDIRECT	CS_OP(0x2c)
#define CS_RUN_COMPUTE_INDIRECT_WORKGROUPS_PER_TASK(value)	CS_FIELD(value, 15, 0)
#define CS_RUN_COMPUTE_INDIRECT_PROGRESS(value)	CS_FIELD(value, 32, 32)
#define CS_RUN_COMPUTE_INDIRECT_SRT(value)	CS_FIELD(value, 41, 40)
#define CS_RUN_COMPUTE_INDIRECT_SPD(value)	CS_FIELD(value, 43, 42)
#define CS_RUN_COMPUTE_INDIRECT_TSD(value)	CS_FIELD(value, 45, 44)
#define CS_RUN_COMPUTE_INDIRECT_FAU(value)	CS_FIELD(value, 47, 46)

#define CS_ERROR_BARRIER	CS_OP(0x2f)

#define CS_HEAP_SET	CS_OP(0x30)
#define CS_HEAP_SET_ADDR(value)	CS_FIELD(value, 47, 40)

#define CS_HEAP_OPERATION	CS_OP(0x31)
#define CS_HEAP_OPERATION_WAIT(value)	CS_FIELD(value, 31, 16)
#define CS_HEAP_OPERATION_OPERATION(value)	CS_FIELD(value, 33, 32)
#define CS_HEAP_OPERATION_SIGNAL(value)	CS_FIELD(value, 51, 48)

#define CS_TRACE_POINT	CS_OP(0x32)
#define CS_TRACE_POINT_WAIT(value)	CS_FIELD(value, 31, 16)
#define CS_TRACE_POINT_BASE(value)	CS_FIELD(value, 39, 32)
#define CS_TRACE_POINT_COUNT(value)	CS_FIELD(value, 47, 40)
#define CS_TRACE_POINT_SIGNAL(value)	CS_FIELD(value, 51, 48)

#define CS_SYNC_ADD64	CS_OP(0x33)
#define CS_SYNC_ADD64_PROPAGATE(value)	CS_FIELD(value, 0, 0)
#define CS_SYNC_ADD64_SCOPE(value)	CS_FIELD(value, 2, 1)
#define CS_SYNC_ADD64_WAIT(value)	CS_FIELD(value, 31, 16)
#define CS_SYNC_ADD64_DATA(value)	CS_FIELD(value, 39, 32)
#define CS_SYNC_ADD64_ADDR(value)	CS_FIELD(value, 47, 40)
#define CS_SYNC_ADD64_SIGNAL(value)	CS_FIELD(value, 51, 48)

#define CS_SYNC_SET64	CS_OP(0x34)
#define CS_SYNC_SET64_PROPAGATE(value)	CS_FIELD(value, 0, 0)
#define CS_SYNC_SET64_SCOPE(value)	CS_FIELD(value, 2, 1)
#define CS_SYNC_SET64_WAIT(value)	CS_FIELD(value, 31, 16)
#define CS_SYNC_SET64_DATA(value)	CS_FIELD(value, 39, 32)
#define CS_SYNC_SET64_ADDR(value)	CS_FIELD(value, 47, 40)
#define CS_SYNC_SET64_SIGNAL(value)	CS_FIELD(value, 51, 48)

#define CS_SYNC_WAIT64	CS_OP(0x35)
#define CS_SYNC_WAIT64_REJECT(value)	CS_FIELD(value, 0, 0)
#define CS_SYNC_WAIT64_COND(value)	CS_FIELD(value, 31, 28)
#define CS_SYNC_WAIT64_DATA(value)	CS_FIELD(value, 39, 32)
#define CS_SYNC_WAIT64_ADDR(value)	CS_FIELD(value, 47, 40)

#endif

# SPDX-License-Identifier: GPL-2.0-or-later
"""The register map of the Mali-G610 (arch 10.8.6) as data. Offsets are from the start of BAR0; registers are 32 bits.

Sources: panthor_regs.h (Linux 6.12, 7.3); values from public logs of RK3588 boards and from Mesa's no-op shim,
which has those of one; `?` where nobody has published one. docs/fidelity.md has them all.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What a register does."""

    CONSTANT = "constant"  # reads the reset value; writes are refused
    STORAGE = "storage"  # reads what was written; nothing else happens
    READ = "read"  # computed
    WRITE = "write"  # acts; reads 0
    BOTH = "both"  # computed and acts


class Register(NamedTuple):
    offset: int
    name: str
    kind: Kind
    reset: int
    note: str


C, S, R, W, B = Kind.CONSTANT, Kind.STORAGE, Kind.READ, Kind.WRITE, Kind.BOTH

GPU_ID = 0xA8670005  # arch 10.8.6, product 7, version 0.0.5
SHADER_PRESENT = 0x50005  # MC4: cores 0, 2, 16, 18
TILER_PRESENT = 0x1
L2_PRESENT = 0x1


def firmware_file(gpu_id: int = GPU_ID) -> str:
    """The firmware that drivers ask for, below /lib/firmware, of a GPU with this identity: it is named by the
    architecture's major and minor number (panthor_fw_load() in panthor_fw.c)."""
    return f"arm/mali/arch{gpu_id >> 28 & 0xF}.{gpu_id >> 24 & 0xF}/mali_csffw.bin"


CONTROL: tuple[Register, ...] = (
    Register(0x000, "GPU_ID", C, GPU_ID, "arch 10.8.6, product 7, r0p0 status 5"),
    Register(0x004, "L2_FEATURES", C, 0x07120306, "[7:0] log2 of the 64-byte line: heap context stride"),
    Register(0x008, "CORE_FEATURES", C, 0, "?"),
    Register(0x00C, "TILER_FEATURES", C, 0x809, ""),
    Register(0x010, "MEM_FEATURES", C, 0x301, ""),
    Register(0x014, "MMU_FEATURES", C, 0x2830, "[7:0] 48 VA bits, [15:8] 40 PA bits"),
    Register(0x018, "AS_PRESENT", C, 0xFF, ""),
    Register(0x01C, "CSF_ID", C, 0x040A0412, ""),
    Register(0x020, "GPU_INT_RAWSTAT", R, 0, ""),
    Register(0x024, "GPU_INT_CLEAR", W, 0, ""),
    Register(0x028, "GPU_INT_MASK", B, 0, ""),
    Register(0x02C, "GPU_INT_STAT", R, 0, ""),
    Register(0x030, "GPU_CMD", W, 0, ""),
    Register(0x034, "GPU_STATUS", C, 0, ""),
    Register(0x03C, "GPU_FAULT_STATUS", R, 0, "[7:0] exception type; only GPU_BUS_FAULT is ever raised"),
    Register(0x040, "GPU_FAULT_ADDR_LO", R, 0, ""),
    Register(0x044, "GPU_FAULT_ADDR_HI", R, 0, ""),
    Register(0x060, "GPU_FEATURES_LO", C, 0, "arch 11 and later"),
    Register(0x064, "GPU_FEATURES_HI", C, 0, ""),
    Register(0x088, "TIMESTAMP_OFFSET_LO", C, 0, ""),
    Register(0x08C, "TIMESTAMP_OFFSET_HI", C, 0, ""),
    Register(0x090, "CYCLE_COUNT_LO", R, 0, "GPU core clock"),
    Register(0x094, "CYCLE_COUNT_HI", R, 0, ""),
    Register(0x098, "TIMESTAMP_LO", R, 0, "system counter"),
    Register(0x09C, "TIMESTAMP_HI", R, 0, ""),
    Register(0x0A0, "THREAD_MAX_THREADS", C, 2048, ""),
    Register(0x0A4, "THREAD_MAX_WORKGROUP_SIZE", C, 1024, ""),
    Register(0x0A8, "THREAD_MAX_BARRIER_SIZE", C, 1024, ""),
    Register(0x0AC, "THREAD_FEATURES", C, 0x04010000, ""),
    Register(0x0B0, "TEXTURE_FEATURES_0", C, 0xC1FFFF9E, ""),
    Register(0x0B4, "TEXTURE_FEATURES_1", C, 0, "?"),
    Register(0x0B8, "TEXTURE_FEATURES_2", C, 0, "?"),
    Register(0x0BC, "TEXTURE_FEATURES_3", C, 0, "?"),
    Register(0x100, "SHADER_PRESENT_LO", C, SHADER_PRESENT, ""),
    Register(0x104, "SHADER_PRESENT_HI", C, 0, ""),
    Register(0x110, "TILER_PRESENT_LO", C, TILER_PRESENT, ""),
    Register(0x114, "TILER_PRESENT_HI", C, 0, ""),
    Register(0x120, "L2_PRESENT_LO", C, L2_PRESENT, ""),
    Register(0x124, "L2_PRESENT_HI", C, 0, ""),
    Register(0x140, "SHADER_READY_LO", R, 0, ""),
    Register(0x144, "SHADER_READY_HI", C, 0, ""),
    Register(0x150, "TILER_READY_LO", R, 0, ""),
    Register(0x154, "TILER_READY_HI", C, 0, ""),
    Register(0x160, "L2_READY_LO", R, 0, ""),
    Register(0x164, "L2_READY_HI", C, 0, ""),
    Register(0x180, "SHADER_PWRON_LO", W, 0, ""),
    Register(0x184, "SHADER_PWRON_HI", S, 0, "no such core"),
    Register(0x190, "TILER_PWRON_LO", W, 0, ""),
    Register(0x194, "TILER_PWRON_HI", S, 0, "no such core"),
    Register(0x1A0, "L2_PWRON_LO", W, 0, ""),
    Register(0x1A4, "L2_PWRON_HI", S, 0, "no such core"),
    Register(0x1C0, "SHADER_PWROFF_LO", W, 0, ""),
    Register(0x1C4, "SHADER_PWROFF_HI", S, 0, "no such core"),
    Register(0x1D0, "TILER_PWROFF_LO", W, 0, ""),
    Register(0x1D4, "TILER_PWROFF_HI", S, 0, "no such core"),
    Register(0x1E0, "L2_PWROFF_LO", W, 0, ""),
    Register(0x1E4, "L2_PWROFF_HI", S, 0, "no such core"),
    Register(0x200, "SHADER_PWRTRANS_LO", C, 0, "power changes at once"),
    Register(0x204, "SHADER_PWRTRANS_HI", C, 0, ""),
    Register(0x210, "TILER_PWRTRANS_LO", C, 0, ""),
    Register(0x214, "TILER_PWRTRANS_HI", C, 0, ""),
    Register(0x220, "L2_PWRTRANS_LO", C, 0, ""),
    Register(0x224, "L2_PWRTRANS_HI", C, 0, ""),
    Register(0x280, "REVID", C, 0, "?"),
    Register(0x300, "COHERENCY_FEATURES", C, 0, "RK3588: not coherent"),
    Register(0x304, "COHERENCY_PROTOCOL", S, 0, "7.x writes it before every L2 power-on"),
    Register(0x700, "MCU_CONTROL", B, 0, ""),
    Register(0x704, "MCU_STATUS", R, 0, ""),
    Register(0x1000, "JOB_INT_RAWSTAT", R, 0, "[31] global interface, [30:0] CSG slots"),
    Register(0x1004, "JOB_INT_CLEAR", W, 0, ""),
    Register(0x1008, "JOB_INT_MASK", B, 0, ""),
    Register(0x100C, "JOB_INT_STAT", R, 0, ""),
    Register(0x2000, "MMU_INT_RAWSTAT", R, 0, "[15:0] faults; [31:16], command completed, is never raised"),
    Register(0x2004, "MMU_INT_CLEAR", W, 0, ""),
    Register(0x2008, "MMU_INT_MASK", B, 0, ""),
    Register(0x200C, "MMU_INT_STAT", R, 0, ""),
    Register(0x10000, "LATEST_FLUSH", R, 1, "24 bits; user space maps this page"),
)

AS_BASE, AS_STRIDE = 0x2400, 0x40

AS_BLOCK: tuple[Register, ...] = (
    Register(0x00, "TRANSTAB_LO", B, 0, "latched by UPDATE"),
    Register(0x04, "TRANSTAB_HI", B, 0, ""),
    Register(0x08, "MEMATTR_LO", B, 0, "no effect: the model has no caches"),
    Register(0x0C, "MEMATTR_HI", B, 0, ""),
    Register(0x10, "LOCKADDR_LO", B, 0, ""),
    Register(0x14, "LOCKADDR_HI", B, 0, ""),
    Register(0x18, "COMMAND", W, 0, ""),
    Register(0x1C, "FAULTSTATUS", R, 0, ""),
    Register(0x20, "FAULTADDRESS_LO", R, 0, ""),
    Register(0x24, "FAULTADDRESS_HI", R, 0, ""),
    Register(0x28, "STATUS", R, 0, "[0] a command is being carried out: only on request, they complete at once"),
    Register(0x30, "TRANSCFG_LO", B, 0, "latched by UPDATE"),
    Register(0x34, "TRANSCFG_HI", B, 0, ""),
    Register(0x38, "FAULTEXTRA_LO", C, 0, ""),
    Register(0x3C, "FAULTEXTRA_HI", C, 0, ""),
)

DOORBELL_BASE, DOORBELL_STRIDE, DOORBELLS = 0x80000, 0x10000, 9  # 0 global, n+1 user queues of CSG slot n


class GpuIrq:
    """Bits of GPU_INT_*."""

    FAULT = 1 << 0
    PROTM_FAULT = 1 << 1
    RESET_COMPLETED = 1 << 8
    POWER_CHANGED = 1 << 9
    POWER_CHANGED_ALL = 1 << 10
    CLEAN_CACHES_COMPLETED = 1 << 17
    MCU_STATUS_CHANGED = 1 << 19


JOB_GLOBAL = 1 << 31
GPU_BUS_FAULT = 0x80  # exception type: no memory at a physical address


class GpuCommand:
    """GPU_CMD: [7:0] type, the rest its payload."""

    NOP = 0
    RESET = 1  # payload 1 soft, 2 hard
    FLUSH = 4  # payload [3:0] L2, [7:4] LSC, [11:8] other; 1 clean, 2 invalidate
    PAYLOAD_SOFT, PAYLOAD_HARD = 1, 2
    FLUSH_INVALIDATE = 0x233  # what makes LATEST_FLUSH count


class McuStatus:
    """MCU_STATUS."""

    DISABLED, ENABLED, HALTED, FATAL = range(4)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Mali-G610: architecture 10.8.6, as in the RK3588.

Sources: panthor_regs.h (Linux 6.12, 7.3); values from public logs of RK3588 boards and from Mesa's no-op shim, which
has those of one board; `?`: no value is published. Fields: Tyr's regs.rs (7.3), kbase. docs/fidelity.md has
them all.
"""

from __future__ import annotations

from types import MappingProxyType

from panthorlab.gpu.cs.ports import Requester
from panthorlab.gpu.cs.v10 import V10
from panthorlab.gpu.generation import PA_BITS, VA_BITS, AddressSpaces, Doorbells, Generation
from panthorlab.gpu.layout import Layout
from panthorlab.gpu.power import CorePower
from panthorlab.gpu.registers import (
    COMMAND_PAYLOAD,
    COMMAND_TYPE,
    LOCK_SIZE,
    TRANSCFG_INA_BITS,
    TRANSCFG_MODE,
    Register,
    RegisterKind,
    bits,
)

C, S, R, W, B = RegisterKind.CONSTANT, RegisterKind.STORAGE, RegisterKind.READ, RegisterKind.WRITE, RegisterKind.BOTH

GPU_ID = 0xA8670005  # arch 10.8.6, product 7, version 0.0.5
SHADER_PRESENT = 0x50005  # MC4: cores 0, 2, 16, 18
TILER_PRESENT = 0x1
L2_PRESENT = 0x1

_GPU_INT_CLEAR = bits(
    "fault 0, protm_fault 1, reset_completed 8, power_changed 9, power_changed_all 10, "
    "prfcnt_sample_completed 16, clean_caches_completed 17, mcu_status 19"
)
_GPU_INT = (*_GPU_INT_CLEAR, *bits("doorbell_mirror 18"))
_JOB_INT = bits("csg 30:0, glb 31")
_MMU_INT = bits("page_fault 15:0, command_completed 31:16")

CONTROL: tuple[Register, ...] = (
    Register(
        0x000,
        "GPU_ID",
        C,
        GPU_ID,
        "arch 10.8.6, product 7, r0p0 status 5",
        bits(
            "version_status 3:0, version_minor 11:4, version_major 15:12, product 19:16, "
            "arch_rev 23:20, arch_minor 27:24, arch_major 31:28"
        ),
    ),
    Register(
        0x004,
        "L2_FEATURES",
        C,
        0x07120306,
        "[7:0] log2 of the 64-byte line: heap context stride",
        bits("line_size 7:0, associativity 15:8, cache_size 23:16, bus_width 31:24"),
    ),
    Register(0x008, "CORE_FEATURES", C, 0, "?", bits("core_variant 7:0")),
    Register(0x00C, "TILER_FEATURES", C, 0x809, "", bits("bin_size 5:0, max_levels 11:8")),
    Register(
        0x010, "MEM_FEATURES", C, 0x301, "", bits("coherent_core_group 0, coherent_super_group 1, l2_slices 11:8")
    ),
    Register(0x014, "MMU_FEATURES", C, 0x2830, "[7:0] 48 VA bits, [15:8] 40 PA bits", (VA_BITS, PA_BITS)),
    Register(0x018, "AS_PRESENT", C, 0xFF),
    Register(
        0x01C,
        "CSF_ID",
        C,
        0x040A0412,
        "",
        bits("mcu_rev 3:0, mcu_minor 9:4, mcu_major 15:10, cshw_rev 19:16, cshw_minor 25:20, cshw_major 31:26"),
    ),
    Register(0x020, "GPU_INT_RAWSTAT", R, 0, "", _GPU_INT),
    Register(0x024, "GPU_INT_CLEAR", W, 0, "", _GPU_INT_CLEAR),
    Register(0x028, "GPU_INT_MASK", B, 0, "", _GPU_INT),
    Register(0x02C, "GPU_INT_STAT", R, 0, "", _GPU_INT),
    Register(0x030, "GPU_CMD", W, 0, "", (COMMAND_TYPE, COMMAND_PAYLOAD)),
    Register(
        0x034,
        "GPU_STATUS",
        C,
        0,
        "",
        bits("gpu_active 0, pwr_active 1, page_fault 4, protected_mode 7, gpu_dbg_enabled 8"),
    ),
    Register(
        0x03C,
        "GPU_FAULT_STATUS",
        R,
        0,
        "[7:0] exception type; only GPU_BUS_FAULT is ever raised",
        bits("exception_type 7:0, access_type 9:8, address_valid 10, jasid_valid 11, jasid 15:12, source_id 31:16"),
    ),
    Register(0x040, "GPU_FAULT_ADDR_LO", R, 0),
    Register(0x044, "GPU_FAULT_ADDR_HI", R, 0),
    Register(0x060, "GPU_FEATURES_LO", C, 0, "arch 11 and later"),
    Register(0x064, "GPU_FEATURES_HI", C, 0),
    Register(0x088, "TIMESTAMP_OFFSET_LO", C, 0),
    Register(0x08C, "TIMESTAMP_OFFSET_HI", C, 0),
    Register(0x090, "CYCLE_COUNT_LO", R, 0, "GPU core clock"),
    Register(0x094, "CYCLE_COUNT_HI", R, 0),
    Register(0x098, "TIMESTAMP_LO", R, 0, "system counter"),
    Register(0x09C, "TIMESTAMP_HI", R, 0),
    Register(0x0A0, "THREAD_MAX_THREADS", C, 2048),
    Register(0x0A4, "THREAD_MAX_WORKGROUP_SIZE", C, 1024),
    Register(0x0A8, "THREAD_MAX_BARRIER_SIZE", C, 1024),
    Register(
        0x0AC,
        "THREAD_FEATURES",
        C,
        0x04010000,
        "",
        bits("max_registers 21:0, implementation_technology 23:22, max_task_queue 31:24"),
    ),
    Register(0x0B0, "TEXTURE_FEATURES_0", C, 0xC1FFFF9E),
    Register(0x0B4, "TEXTURE_FEATURES_1", C, 0, "?"),
    Register(0x0B8, "TEXTURE_FEATURES_2", C, 0, "?"),
    Register(0x0BC, "TEXTURE_FEATURES_3", C, 0, "?"),
    Register(0x100, "SHADER_PRESENT_LO", C, SHADER_PRESENT),
    Register(0x104, "SHADER_PRESENT_HI", C, 0),
    Register(0x110, "TILER_PRESENT_LO", C, TILER_PRESENT),
    Register(0x114, "TILER_PRESENT_HI", C, 0),
    Register(0x120, "L2_PRESENT_LO", C, L2_PRESENT),
    Register(0x124, "L2_PRESENT_HI", C, 0),
    Register(0x140, "SHADER_READY_LO", R, 0),
    Register(0x144, "SHADER_READY_HI", C, 0),
    Register(0x150, "TILER_READY_LO", R, 0),
    Register(0x154, "TILER_READY_HI", C, 0),
    Register(0x160, "L2_READY_LO", R, 0),
    Register(0x164, "L2_READY_HI", C, 0),
    Register(0x180, "SHADER_PWRON_LO", W, 0),
    Register(0x184, "SHADER_PWRON_HI", S, 0, "no such core"),
    Register(0x190, "TILER_PWRON_LO", W, 0),
    Register(0x194, "TILER_PWRON_HI", S, 0, "no such core"),
    Register(0x1A0, "L2_PWRON_LO", W, 0),
    Register(0x1A4, "L2_PWRON_HI", S, 0, "no such core"),
    Register(0x1C0, "SHADER_PWROFF_LO", W, 0),
    Register(0x1C4, "SHADER_PWROFF_HI", S, 0, "no such core"),
    Register(0x1D0, "TILER_PWROFF_LO", W, 0),
    Register(0x1D4, "TILER_PWROFF_HI", S, 0, "no such core"),
    Register(0x1E0, "L2_PWROFF_LO", W, 0),
    Register(0x1E4, "L2_PWROFF_HI", S, 0, "no such core"),
    Register(0x200, "SHADER_PWRTRANS_LO", C, 0, "power changes at once"),
    Register(0x204, "SHADER_PWRTRANS_HI", C, 0),
    Register(0x210, "TILER_PWRTRANS_LO", C, 0),
    Register(0x214, "TILER_PWRTRANS_HI", C, 0),
    Register(0x220, "L2_PWRTRANS_LO", C, 0),
    Register(0x224, "L2_PWRTRANS_HI", C, 0),
    Register(0x280, "REVID", C, 0, "?"),
    Register(0x300, "COHERENCY_FEATURES", R, 0, "RK3588: not coherent", bits("ace_lite 0, ace 1")),
    Register(0x304, "COHERENCY_PROTOCOL", B, 0, "6.15 and later write it before every L2 power-on"),
    Register(0x700, "MCU_CONTROL", B, 0, "", bits("req 1:0")),
    Register(0x704, "MCU_STATUS", R, 0, "", bits("value 1:0")),
    Register(0x1000, "JOB_INT_RAWSTAT", R, 0, "[31] global interface, [30:0] CSG slots", _JOB_INT),
    Register(0x1004, "JOB_INT_CLEAR", W, 0, "", _JOB_INT),
    Register(0x1008, "JOB_INT_MASK", B, 0, "", _JOB_INT),
    Register(0x100C, "JOB_INT_STAT", R, 0, "", _JOB_INT),
    Register(0x2000, "MMU_INT_RAWSTAT", R, 0, "[15:0] faults; [31:16], command completed, is never raised", _MMU_INT),
    Register(0x2004, "MMU_INT_CLEAR", W, 0, "", _MMU_INT),
    Register(0x2008, "MMU_INT_MASK", B, 0, "", _MMU_INT),
    Register(0x200C, "MMU_INT_STAT", R, 0, "", _MMU_INT),
    Register(0x10000, "LATEST_FLUSH", R, 1, "24 bits; user space maps this page", bits("flush_id 23:0")),
)

AS_BLOCK: tuple[Register, ...] = (
    Register(0x00, "TRANSTAB_LO", B, 0, "latched by UPDATE"),
    Register(0x04, "TRANSTAB_HI", B, 0),
    Register(
        0x08,
        "MEMATTR_LO",
        B,
        0,
        "no effect: the model has no caches",
        bits("attribute0 7:0, attribute1 15:8, attribute2 23:16, attribute3 31:24"),
    ),
    Register(0x0C, "MEMATTR_HI", B, 0, "", bits("attribute4 7:0, attribute5 15:8, attribute6 23:16, attribute7 31:24")),
    Register(0x10, "LOCKADDR_LO", B, 0, "", (LOCK_SIZE, *bits("base 31:12"))),
    Register(0x14, "LOCKADDR_HI", B, 0),
    Register(0x18, "COMMAND", W, 0, "", (COMMAND_TYPE,)),
    Register(0x1C, "FAULTSTATUS", R, 0, "", bits("exception_type 7:0, access_type 9:8, source_id 31:16")),
    Register(0x20, "FAULTADDRESS_LO", R, 0),
    Register(0x24, "FAULTADDRESS_HI", R, 0),
    Register(
        0x28,
        "STATUS",
        R,
        0,
        "[0] a command is being carried out: only on request, they complete at once",
        bits("active_ext 0, active_int 1"),
    ),
    Register(
        0x30,
        "TRANSCFG_LO",
        B,
        0,
        "latched by UPDATE",
        (
            TRANSCFG_MODE,
            TRANSCFG_INA_BITS,
            *bits("outa_bits 18:14, sl_concat_en 22, ptw_memattr 25:24, ptw_sh 29:28, r_allocate 30"),
        ),
    ),
    Register(
        0x34, "TRANSCFG_HI", B, 0, "", bits("disable_hier_ap 1, disable_af_fault 2, wxn 3, xreadable 4, ptw_pbha 31:28")
    ),
    Register(0x38, "FAULTEXTRA_LO", C, 0),
    Register(0x3C, "FAULTEXTRA_HI", C, 0),
)

# [15:9] core (62 CSF, 51 tiler, 0 shader core), [8] uTLB, [7:4] requester
SOURCE_IDS = MappingProxyType(
    {
        Requester.PREFETCH: 0x7C00,
        Requester.LSU: 0x7DC0,
        Requester.MCU: 0x7CD0,
        Requester.TILER: 0x6600,
        Requester.SHADER: 0x0100,
    }
)

G610 = Generation(
    name="g610",
    title="Mali-G610",
    registers=CONTROL,
    spaces=AddressSpaces(
        base=0x2400, stride=0x40, count=8, registers=AS_BLOCK, pa_bits=40, min_lock_bits=15, source_ids=SOURCE_IDS
    ),
    doorbells=Doorbells(base=0x80000, stride=0x10000),
    cores=MappingProxyType({"SHADER": SHADER_PRESENT, "TILER": TILER_PRESENT, "L2": L2_PRESENT}),
    layout=Layout(
        groups=8,
        streams=8,
        version=0x01010000,  # 1.1.0. Below 4.0, since 7.x uses endpoint_req2 from 4.0 on
        instr_features=0x71,
        cs_features=0x0007085F,
        protm_suspend_size=0x1000,
        heap_context_stride=64,
    ),
    instructions=V10,
    power=CorePower,
)

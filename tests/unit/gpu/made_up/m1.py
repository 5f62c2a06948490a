# SPDX-License-Identifier: GPL-2.0-or-later
"""A GPU that does not exist: other registers and places, other numbers of slots, streams, cores and address spaces,
another instruction set, firmware layout and way to switch cores. This file is all there is of it.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from panthorlab.gpu.cs.opcodes import InstructionSet
from panthorlab.gpu.cs.ports import Requester
from panthorlab.gpu.generation import AddressSpaces, Doorbells, Generation
from panthorlab.gpu.generations.g610 import G610
from panthorlab.gpu.layout import Layout
from panthorlab.gpu.power import CorePower, Domains
from panthorlab.gpu.registers import Register, RegisterKind, bits

SPACES, CORES = 5, MappingProxyType({"SHADER": 0x3F, "TILER": 0x3, "L2": 0x3})
VALUES = {
    "GPU_ID": 0xD4130012,
    "MMU_FEATURES": 0x2C30,
    "AS_PRESENT": (1 << SPACES) - 1,
    **{f"{core}_PRESENT_LO": present for core, present in CORES.items()},
}
MOVED = {0x1: 0x1400, 0x2: 0x1800, 0x10: 0x20000}  # pages: JOB_INT_*, MMU_INT_*, LATEST_FLUSH


def _place(offset: int) -> int:
    """GPU control is packed one register further, the rest moved by pages."""
    page, at = divmod(offset, 0x1000)
    return MOVED[page] + at if page else (offset + 4 if offset else 0)


class Together(CorePower):
    """One register more, for all kinds of cores at once: 1 on, 0 off."""

    def __init__(self, domains: Domains) -> None:
        super().__init__(domains)
        self._kinds = tuple(domains.present)
        self.writes["PWR_TOGETHER"] = self._together

    def _together(self, value: int) -> None:
        for core in self._kinds:
            self.writes[f"{core}_PWR{'ON' if value else 'OFF'}_LO"](0xFFFFFFFF)


GENERATION = Generation(
    name="m1",
    title="made up",
    registers=(
        *(
            register._replace(offset=_place(register.offset), reset=VALUES.get(register.name, register.reset))
            for register in G610.registers
        ),
        Register(0x3000, "PWR_TOGETHER", RegisterKind.WRITE, 0, "", bits("on 0")),
        Register(0x3004, "SCRATCH", RegisterKind.STORAGE, 0x11, "", bits("low 7:0, high 31:24")),
    ),
    spaces=AddressSpaces(
        base=0x4000,
        stride=0x100,
        count=SPACES,
        registers=tuple(register._replace(offset=register.offset + 0x20) for register in G610.spaces.registers),
        pa_bits=44,
        min_lock_bits=12,
        source_ids=MappingProxyType({requester: 0x8000 | 0x11 * requester for requester in Requester}),
    ),
    doorbells=Doorbells(base=0x100000, stride=0x1000),
    cores=CORES,
    layout=Layout(
        groups=11,
        streams=5,
        version=0x01020000,
        instr_features=0x91,
        cs_features=127 | 12 << 8 | 7 << 16,
        protm_suspend_size=0x2000,
        heap_context_stride=128,
        shared=0x0600_0000,
        shared_size=0x40000,
        life_word=0x30000,
        group_control=0x800,
        group_stride=0x200,
        stream_control=0x60,
        stream_stride=0x10,
        global_blocks=(0x3000, 0x2000),
        group_blocks=(0x18000, 0x8000),
        group_block_stride=0xE00,
        stream_blocks=(0x180, 0x200),
        stream_block_strides=(0xC0, 0x180),
    ),
    instructions=InstructionSet(
        "m1",
        registers=128,
        scoreboards=12,
        call_depth=6,
        table=tuple(replace(spec, opcode=spec.opcode + 0x40 if spec.opcode else 0) for spec in G610.instructions.table),
    ),
    power=Together,
)

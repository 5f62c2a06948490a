# SPDX-License-Identifier: GPL-2.0-or-later
"""Types that describe a command stream instruction set as data: instructions, fields and the whole set.

An instruction is a little-endian 64-bit word with the opcode in bits 63:56. Decoder, encoder and disassembler
(`codec`) and the execution units are driven by an `InstructionSet`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property


class FieldKind(Enum):
    """The meaning of a field's bits, which also decides the legal values."""

    UNSIGNED = "u"
    SIGNED = "s"
    REG = "r"  # a 32-bit register
    PAIR = "d"  # an even-aligned pair of registers holding 64 bits
    SLOTS = "mask"  # a set of scoreboard slots
    SLOT = "sb"  # one scoreboard slot


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    high: int
    low: int
    kind: FieldKind = FieldKind.UNSIGNED
    allowed: frozenset[int] | None = None  # None: whatever the kind allows

    @property
    def width(self) -> int:
        return self.high - self.low + 1

    @property
    def mask(self) -> int:
        return ((1 << self.width) - 1) << self.low


@dataclass(frozen=True, slots=True)
class Spec:
    """One instruction: its opcode, name and fields."""

    opcode: int
    mnemonic: str
    fields: tuple[Field, ...] = ()

    @property
    def reserved(self) -> int:
        """Bits that no field covers. How the hardware reacts to them is unknown."""
        covered = 0
        for field in self.fields:
            covered |= field.mask
        return ((1 << 56) - 1) & ~covered


@dataclass(frozen=True)
class InstructionSet:
    """The instruction set of one GPU generation. `registers`: number of 32-bit registers of each stream; `scoreboards`:
    number of its scoreboard slots; `call_depth`: number of its frames, including that of the ring buffer."""

    name: str
    registers: int
    scoreboards: int
    call_depth: int
    table: tuple[Spec, ...]

    def __post_init__(self) -> None:
        if len(self.by_opcode) < len(self.table) or len(self.by_mnemonic) < len(self.table):
            raise ValueError(f"{self.name}: an opcode or a mnemonic comes twice")

    @cached_property
    def by_opcode(self) -> Mapping[int, Spec]:
        return {spec.opcode: spec for spec in self.table}

    @cached_property
    def by_mnemonic(self) -> Mapping[str, Spec]:
        return {spec.mnemonic: spec for spec in self.table}

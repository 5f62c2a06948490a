# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions that only change registers. Each function binds the operands of one word into a closure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from panthorlab.gpu.cs.codec import Instruction
from panthorlab.gpu.cs.machine import M32, Simple


def nop(regs: list[int]) -> None:
    """NOP, also used in place of a skipped instruction."""


# --- registers


def _nop(_: Instruction) -> Simple:
    return nop


def _move(i: Instruction) -> Simple:
    dst, low, high = i["dst"], i["imm"] & M32, i["imm"] >> 32
    next_ = dst + 1

    def move(regs: list[int]) -> None:
        regs[dst] = low
        regs[next_] = high

    return move


def _move32(i: Instruction) -> Simple:
    dst, imm = i["dst"], i["imm"]

    def move32(regs: list[int]) -> None:
        regs[dst] = imm

    return move32


def _add32(i: Instruction) -> Simple:
    dst, src, imm = i["dst"], i["src"], i["imm"]

    def add32(regs: list[int]) -> None:
        regs[dst] = (regs[src] + imm) & M32

    return add32


def _add64(i: Instruction) -> Simple:
    dst, src, imm = i["dst"], i["src"], i["imm"]

    def add64(regs: list[int]) -> None:
        value = (regs[src] | regs[src + 1] << 32) + imm
        regs[dst] = value & M32
        regs[dst + 1] = value >> 32 & M32

    return add64


def _umin32(i: Instruction) -> Simple:
    dst, src1, src2 = i["dst"], i["src1"], i["src2"]

    def umin32(regs: list[int]) -> None:
        a, b = regs[src1], regs[src2]
        regs[dst] = a if a < b else b

    return umin32


SIMPLE: Mapping[str, Callable[[Instruction], Simple]] = {
    "NOP": _nop,
    "MOVE": _move,
    "MOVE32": _move32,
    "ADD_IMM32": _add32,
    "ADD_IMM64": _add64,
    "UMIN32": _umin32,
}

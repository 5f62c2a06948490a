# SPDX-License-Identifier: GPL-2.0-or-later
"""Control flow and wait instructions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from panthorlab.gpu.cs.codec import Instruction
from panthorlab.gpu.cs.machine import CS_BUS_FAULT, CS_INSTR_INVALID, M64, CsFatalError, StreamMachine, Tail
from panthorlab.gpu.cs.state import BlockedReason

_SIGN = 0x80000000

_CONDITIONS: tuple[Callable[[int], bool], ...] = (
    lambda v: v == 0 or v >= _SIGN,
    lambda v: 0 < v < _SIGN,
    lambda v: v == 0,
    lambda v: v != 0,
    lambda v: v >= _SIGN,
    lambda v: v < _SIGN,
    lambda _: True,
)


def _branch(i: Instruction) -> Tail:
    register, distance, holds = i["value"], 8 + 8 * i["offset"], _CONDITIONS[i["cond"]]

    def branch(machine: StreamMachine, pc: int) -> int:
        if not holds(machine.regs[register]):
            return pc + 8
        target = pc + distance
        if machine.start <= target <= machine.end:
            return target
        raise CsFatalError(CS_INSTR_INVALID, pc)

    return branch


def _wait(i: Instruction) -> Tail:
    mask, progress = i["wait"], bool(i["progress"])

    def wait(machine: StreamMachine, pc: int) -> int:
        if machine.busy & mask:
            raise machine.hold(BlockedReason.SCOREBOARD, mask | 8 << 16)
        if progress:
            machine.advance_progress(progress)
        return pc + 8

    return wait


def _buffer(i: Instruction) -> Callable[[StreamMachine, int], tuple[int, int]]:
    """Reads address and bytes of the buffer that `i` names."""
    low, high, size = i["addr"], i["addr"] + 1, i["length"]

    def buffer(machine: StreamMachine, pc: int) -> tuple[int, int]:
        regs = machine.regs
        address, length = regs[low] | regs[high] << 32, regs[size]
        if (address | length) & 7:
            raise CsFatalError(CS_INSTR_INVALID, pc)
        if address + length > M64:
            raise CsFatalError(CS_BUS_FAULT, address)
        return address, length

    return buffer


def _call(i: Instruction) -> Tail:
    buffer = _buffer(i)

    def call(machine: StreamMachine, pc: int) -> int:
        address, length = buffer(machine, pc)
        return machine.call(address, length, pc + 8) if length else pc + 8

    return call


def _jump(i: Instruction) -> Tail:
    buffer = _buffer(i)

    def jump(machine: StreamMachine, pc: int) -> int:
        address, length = buffer(machine, pc)
        if not machine.frames:
            raise CsFatalError(CS_INSTR_INVALID, pc)
        machine.enter(address, address + length)
        return address

    return jump


def _set_sb_entry(i: Instruction) -> Tail:
    def set_sb_entry(machine: StreamMachine, pc: int) -> int:
        machine.endpoint_slot, machine.other_slot = i["endpoint"], i["other"]
        return pc + 8

    return set_sb_entry


def _set_exception_handler(i: Instruction) -> Tail:
    buffer = _buffer(i)

    def set_exception_handler(machine: StreamMachine, pc: int) -> int:
        machine.handler = buffer(machine, pc)
        return machine.go_on(pc + 8)

    return set_exception_handler


def _error_barrier(_: Instruction) -> Tail:
    def error_barrier(machine: StreamMachine, pc: int) -> int:
        machine.error = 0
        if machine.skipping:
            machine.skipping = False
            machine.forget_code()
        return machine.go_on(pc + 8)

    return error_barrier


FLOW: Mapping[str, Callable[[Instruction], Tail]] = {
    "WAIT": _wait,
    "BRANCH": _branch,
    "CALL": _call,
    "JUMP": _jump,
    "SET_SB_ENTRY": _set_sb_entry,
    "SET_EXCEPTION_HANDLER": _set_exception_handler,
    "ERROR_BARRIER": _error_barrier,
}

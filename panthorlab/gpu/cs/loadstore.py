# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads, stores and the progress counters.

For a program, loads and stores are asynchronous (it must WAIT for its "other" scoreboard slot). Here they complete at
once. In memory the words lie one after the other, also those of registers that do not: a mask with gaps leaves out
registers, not memory (inferred: docs/fidelity.md).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from panthorlab.gpu.cs.codec import Instruction
from panthorlab.gpu.cs.machine import M32, M64, StreamMachine, Tail
from panthorlab.gpu.cs.ports import Requester
from panthorlab.gpu.cs.state import BlockedReason

LSU = Requester.LSU


def runs_of(mask: int) -> list[tuple[int, int]]:
    """The runs of set bits in `mask`: (first bit, length)."""
    runs: list[tuple[int, int]] = []
    for n in range(16):
        if mask >> n & 1:
            if runs and sum(runs[-1]) == n:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1)
            else:
                runs.append((n, 1))
    return runs


def _load_multiple(i: Instruction) -> Tail:
    address, offset, base = i["addr"], i["offset"], i["base"]
    runs, words = runs_of(i["mask"]), i["mask"].bit_count()

    def load_multiple(machine: StreamMachine, pc: int) -> int:
        if not words:
            return pc + 8
        data = machine.memory.read((machine.pair(address) + offset) & M64, 4 * words, LSU)
        values, at = struct.unpack(f"<{words}I", data), 0
        for first, count in runs:
            machine.regs[base + first : base + first + count] = values[at : at + count]
            at += count
        return pc + 8

    return load_multiple


def _store_multiple(i: Instruction) -> Tail:
    address, offset, base = i["addr"], i["offset"], i["base"]
    runs, words = runs_of(i["mask"]), i["mask"].bit_count()

    def store_multiple(machine: StreamMachine, pc: int) -> int:
        values = [value for first, count in runs for value in machine.regs[base + first : base + first + count]]
        if values:
            machine.store((machine.pair(address) + offset) & M64, struct.pack(f"<{words}I", *values))
        return pc + 8

    return store_multiple


def _progress_store(i: Instruction) -> Tail:
    def progress_store(machine: StreamMachine, pc: int) -> int:
        machine.progress = machine.pair(i["src"])
        machine.effects += 1
        machine.firmware.wake_group()
        return pc + 8

    return progress_store


def _progress_load(i: Instruction) -> Tail:
    def progress_load(machine: StreamMachine, pc: int) -> int:
        dst = i["dst"]
        machine.regs[dst : dst + 2] = machine.progress & M32, machine.progress >> 32
        return pc + 8

    return progress_load


def _progress_wait(i: Instruction) -> Tail:
    def progress_wait(machine: StreamMachine, pc: int) -> int:
        if machine.firmware.progress(i["queue"]) < machine.pair(i["src"]):
            raise machine.hold(BlockedReason.PROGRESS, 1 << 28)
        return pc + 8

    return progress_wait


LOAD_STORE: Mapping[str, Callable[[Instruction], Tail]] = {
    "LOAD_MULTIPLE": _load_multiple,
    "STORE_MULTIPLE": _store_multiple,
    "PROGRESS_STORE": _progress_store,
    "PROGRESS_LOAD": _progress_load,
    "PROGRESS_WAIT": _progress_wait,
}

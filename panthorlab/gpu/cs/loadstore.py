# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads, stores and the progress counters.

For a program, loads and stores are asynchronous (it must WAIT for its "other" scoreboard slot). Here they complete at
once.
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
    runs = runs_of(i["mask"])

    def load_multiple(machine: StreamMachine, pc: int) -> int:
        va = machine.pair(address) + offset
        loaded = [(first, machine.memory.read((va + 4 * first) & M64, 4 * count, LSU)) for first, count in runs]
        for first, data in loaded:  # after all reads: the address register may be a destination
            values = struct.unpack(f"<{len(data) // 4}I", data)
            machine.regs[base + first : base + first + len(values)] = values
        return pc + 8

    return load_multiple


def _store_multiple(i: Instruction) -> Tail:
    address, offset, base = i["addr"], i["offset"], i["base"]
    runs = runs_of(i["mask"])

    def store_multiple(machine: StreamMachine, pc: int) -> int:
        va = machine.pair(address) + offset
        for first, count in runs:
            values = machine.regs[base + first : base + first + count]
            machine.store((va + 4 * first) & M64, struct.pack(f"<{count}I", *values))
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

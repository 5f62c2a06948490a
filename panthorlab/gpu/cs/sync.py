# SPDX-License-Identifier: GPL-2.0-or-later
"""Sync objects, cache flushes and stored state: effects visible to other streams, the kernel and user space.

All but SYNC_WAIT can be deferred: executed when the slots of a wait mask are zero, with the operands read at issue.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from panthorlab.gpu.cs.codec import Instruction
from panthorlab.gpu.cs.machine import CS_INHERIT_FAULT, M64, CsFaultError, Effect, Operands, StreamMachine, Tail
from panthorlab.gpu.cs.ports import Requester
from panthorlab.gpu.cs.state import BlockedReason

LSU = Requester.LSU


def _sync_wait(i: Instruction) -> Tail:
    addr, data, above, inherits = i["addr"], i["data"], bool(i["cond"]), not i["reject"]
    wide = i.spec.mnemonic.endswith("64")
    fields = struct.Struct("<QI" if wide else "<II")  # value, status
    size, unpack = fields.size, fields.unpack
    wait = 1 << 31 | wide << 30 | i["cond"] << 24

    def sync_wait(machine: StreamMachine, pc: int) -> int:
        regs = machine.regs
        va = regs[addr] | regs[addr + 1] << 32
        reference = regs[data] | regs[data + 1] << 32 if wide else regs[data]
        value, status = unpack(machine.memory.read(va, size, LSU))
        if (value > reference) is above:
            if status and inherits:
                raise CsFaultError(CS_INHERIT_FAULT, va)
            return pc + 8
        raise machine.hold(BlockedReason.SYNC, wait, va, reference)

    return sync_wait


def _sync_operands(i: Instruction) -> Operands:
    addr, data, wide = i["addr"], i["data"], i.spec.mnemonic.endswith("64")

    def operands(regs: list[int]) -> tuple[int, int]:
        return regs[addr] | regs[addr + 1] << 32, regs[data] | (regs[data + 1] << 32 if wide else 0)

    return operands


def _sync_write(i: Instruction) -> Effect:
    size = 8 if i.spec.mnemonic.endswith("64") else 4
    mask = (1 << 8 * size) - 1
    add, propagate, system = i.spec.mnemonic.startswith("SYNC_ADD"), i["propagate"], i["scope"] == 0

    def sync_write(machine: StreamMachine, va: int, value: int) -> None:
        if add:
            value = (int.from_bytes(machine.memory.read(va, size, LSU), "little") + value) & mask
        data = value.to_bytes(size, "little")
        if propagate and machine.error:
            data += machine.params.sync_error.to_bytes(4, "little")
        machine.store(va, data)
        if system:
            machine.firmware.sync_update()
        else:
            machine.firmware.wake_group()

    return sync_write


def no_operands(_: Instruction) -> Operands:
    return lambda _: (0, 0)


def _flush_operands(i: Instruction) -> Operands:
    register = i["flush_id"]
    return lambda regs: (regs[register], 0)


def _flush(i: Instruction) -> Effect:
    full = i["l2"] == 3 and i["lsc"] == 3

    def flush(machine: StreamMachine, flush_id: int, _: int) -> None:
        machine.effects += 1
        if full and (not flush_id or machine.firmware.latest_flush == flush_id & 0xFFFFFF):
            machine.firmware.flush_caches()

    return flush


def _address_operands(i: Instruction) -> Operands:
    addr, offset = i["addr"], i["offset"]
    return lambda regs: ((regs[addr] | regs[addr + 1] << 32) + offset & M64, 0)


def _store_state(i: Instruction) -> Effect:
    state = i["state"]

    def store_state(machine: StreamMachine, va: int, _: int) -> None:
        if state == 0:
            value = machine.firmware.timestamp()
        elif state == 1:
            value = machine.firmware.cycle_count()
        else:  # disjoint count, which is constant here; error status
            value = machine.params.sync_error if state == 3 and machine.error else 0
        machine.store(va, (value & M64).to_bytes(8, "little"))

    return store_state


def _trace_point(_: Instruction) -> Effect:
    def trace_point(_machine: StreamMachine, _a: int, _b: int) -> None:
        """No effect: firmware tracing is off."""

    return trace_point


SYNC_WAIT: Mapping[str, Callable[[Instruction], Tail]] = {"SYNC_WAIT32": _sync_wait, "SYNC_WAIT64": _sync_wait}

SYNC: Mapping[str, tuple[Callable[[Instruction], Operands], Callable[[Instruction], Effect]]] = {
    "SYNC_ADD32": (_sync_operands, _sync_write),
    "SYNC_ADD64": (_sync_operands, _sync_write),
    "SYNC_SET32": (_sync_operands, _sync_write),
    "SYNC_SET64": (_sync_operands, _sync_write),
    "FLUSH_CACHE2": (_flush_operands, _flush),
    "STORE_STATE": (_address_operands, _store_state),
    "TRACE_POINT": (no_operands, _trace_point),
}

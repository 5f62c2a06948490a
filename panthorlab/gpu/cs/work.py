# SPDX-License-Identifier: GPL-2.0-or-later
"""Work for the endpoints (which takes time and heap chunks, and computes nothing) and the tiler heap."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from panthorlab.gpu.cs.codec import Instruction
from panthorlab.gpu.cs.machine import Effect, Operands, StreamMachine, Tail
from panthorlab.gpu.cs.sync import no_operands
from panthorlab.gpu.cs.tiler import release


def _run(i: Instruction) -> Tail:
    name, progress = i.spec.mnemonic, bool(i["progress"])

    def run(machine: StreamMachine, pc: int) -> int:
        params, chunks = machine.params, 0
        if name.startswith("RUN_COMPUTE"):
            endpoint, seconds = "compute", params.compute_seconds
        elif name == "RUN_FRAGMENT":
            endpoint, seconds = "fragment", params.fragment_seconds
        else:
            endpoint, seconds = "tiler", params.tiling_seconds
            if name != "RUN_FULLSCREEN":
                chunks = params.chunks_per_tiling + machine.firmware.misbehaves("tiler-chunk")
        machine.launch(seconds + machine.firmware.lateness(endpoint), chunks, progress)
        return pc + 8

    return run


def _finish_tiling(i: Instruction) -> Tail:
    def finish_tiling(machine: StreamMachine, pc: int) -> int:
        machine.launch(0.0, 0, bool(i["progress"]))
        return pc + 8

    return finish_tiling


def _req_resource(i: Instruction) -> Tail:
    bits = i.word & 0xF

    def req_resource(machine: StreamMachine, pc: int) -> int:
        machine.resources = bits
        return pc + 8

    return req_resource


def _prot_region(i: Instruction) -> Tail:
    def prot_region(machine: StreamMachine, pc: int) -> int:
        if i["size"]:
            machine.firmware.unmodelled("cs-protected-region", f"PROT_REGION of {i['size']} instructions at 0x{pc:x}")
        return pc + 8

    return prot_region


def _heap_set(i: Instruction) -> Tail:
    def heap_set(machine: StreamMachine, pc: int) -> int:
        machine.bind_heap(machine.pair(i["addr"]))
        return pc + 8

    return heap_set


def _heap_operation(i: Instruction) -> Effect:
    operation = i["operation"]

    def heap_operation(machine: StreamMachine, _a: int, _b: int) -> None:
        machine.effects += 1
        if machine.heap is None:
            machine.firmware.unmodelled("cs-no-heap", "HEAP_OPERATION without HEAP_SET")
        else:
            machine.heap.count(operation)
            machine.firmware.wake_group()

    return heap_operation


def _chunk_operands(i: Instruction) -> Operands:
    first, last = i["first"], i["last"]
    return lambda regs: (regs[first] | regs[first + 1] << 32, regs[last] | regs[last + 1] << 32)


def _finish_fragment(i: Instruction) -> Effect:
    ended = i["frag_end"]

    def finish_fragment(machine: StreamMachine, first: int, last: int) -> None:
        machine.effects += 1
        if machine.heap is None:
            machine.firmware.unmodelled("cs-no-heap", "FINISH_FRAGMENT without HEAP_SET")
            return
        if first and last:
            release(machine, machine.heap, first, last)
        if ended:
            machine.heap.count(3)
            machine.firmware.wake_group()

    return finish_fragment


WORK: Mapping[str, Callable[[Instruction], Tail]] = {
    "RUN_COMPUTE": _run,
    "RUN_COMPUTE_INDIRECT": _run,
    "RUN_TILING": _run,
    "RUN_IDVS": _run,
    "RUN_FRAGMENT": _run,
    "RUN_FULLSCREEN": _run,
    "FINISH_TILING": _finish_tiling,
    "REQ_RESOURCE": _req_resource,
    "PROT_REGION": _prot_region,
    "HEAP_SET": _heap_set,
}

HEAP: Mapping[str, tuple[Callable[[Instruction], Operands], Callable[[Instruction], Effect]]] = {
    "HEAP_OPERATION": (no_operands, _heap_operation),
    "FINISH_FRAGMENT": (_chunk_operands, _finish_fragment),
}

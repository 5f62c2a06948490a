# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetching code from memory and binding it into blocks of closures.

A block is a run of instructions that only change registers, followed by one that may do more. It depends only on its
instruction words, not on its address. Every slice reads the code from memory again. Within a slice the interpreter need
see only the stream's own stores: `StreamMachine.store` drops the fetched code when a store hits one of its pages.
"""

from __future__ import annotations

import struct

from panthorlab.gpu.cs.machine import CS_BUS_FAULT, Block, CsFatalError, Simple, StreamMachine, Tail
from panthorlab.gpu.cs.opcodes import InstructionSet
from panthorlab.gpu.cs.ports import BusError, MemoryFault, Requester
from panthorlab.gpu.cs.translate import CompiledLoop, translate
from panthorlab.gpu.cs.units import bind

_PAGE = 4096
_CACHED_WORDS = 1 << 16
_CACHED_LOOPS = 256


class Fetcher:
    """The fetch stage of one GPU's command streams, with caches of closures and loops that the streams share."""

    def __init__(self, isa: InstructionSet) -> None:
        self.isa = isa
        self._bound: dict[tuple[int, bool] | int, tuple[Simple | None, Tail | None]] = {}
        self._loops: dict[tuple[int, ...], CompiledLoop | None] = {}

    def block_at(self, machine: StreamMachine, pc: int) -> Block:
        """The block at `pc` in the current buffer. Each page is read from memory once per slice.

        Raises CsFatalError (CS_BUS_FAULT) if it cannot be fetched; MemoryStall.
        """
        bound = self._bound
        low, words = _window(machine, pc)
        simples: list[Simple] = []
        for word in words[(pc - low) >> 3 :]:
            key = (word, True) if machine.skipping else word
            entry = bound.get(key)
            if entry is None:
                if len(bound) >= _CACHED_WORDS:
                    bound.clear()
                entry = bound[key] = bind(self.isa, word, skipping=machine.skipping)
            simple, tail = entry
            if simple is None:
                block = (tuple(simples), len(simples), tail)
                break
            simples.append(simple)
        else:
            block = (tuple(simples), len(simples), None)
        machine.blocks[pc] = block
        return block

    def loop_at(self, machine: StreamMachine, head: int, end: int) -> CompiledLoop | None:
        """The translated loop from `head` to the branch at `end`, if it is within one fetched page."""
        window = machine.windows.get((head // _PAGE, machine.end))
        if machine.skipping or window is None or window[0] > head or head // _PAGE != end // _PAGE:
            return None
        low, words = window
        body = words[(head - low) >> 3 : (end - low >> 3) + 1]
        if body not in self._loops:
            if len(self._loops) >= _CACHED_LOOPS:
                self._loops.clear()
            self._loops[body] = translate(self.isa, body)
        return self._loops[body]


def _window(machine: StreamMachine, pc: int) -> tuple[int, tuple[int, ...]]:
    key = (pc // _PAGE, machine.end)
    window = machine.windows.get(key)
    if window is not None and window[0] <= pc:
        return window
    size = min(machine.end, (pc // _PAGE + 1) * _PAGE) - pc
    try:
        data = machine.memory.read(pc, size, Requester.PREFETCH)
    except (MemoryFault, BusError) as error:
        raise CsFatalError(CS_BUS_FAULT, error.va) from None
    window = machine.windows[key] = (pc, struct.unpack(f"<{size // 8}Q", data))
    machine.code_pages.add(pc // _PAGE)
    return window

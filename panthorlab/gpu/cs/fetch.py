# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetching code from memory and binding it into blocks of closures.

A block is a run of instructions that only change registers, followed by one that may do more. It depends only on its
instruction words, not on its address. Every slice reads the code from memory again, and finds its blocks by what it
has read. Within a slice the interpreter need see only the stream's own stores: `StreamMachine.store` drops the fetched
code when a store hits it.
"""

from __future__ import annotations

import struct

from panthorlab.gpu.cs.machine import CS_BUS_FAULT, Block, CodeWindow, CsFatalError, Simple, StreamMachine, Tail
from panthorlab.gpu.cs.opcodes import InstructionSet
from panthorlab.gpu.cs.ports import BusError, MemoryFault, Requester
from panthorlab.gpu.cs.translate import CompiledLoop, translate, translate_run
from panthorlab.gpu.cs.units import bind

PREFETCH = Requester.PREFETCH
_PAGE = 4096
_AHEAD = 64
"""Maximum number of words bound at once: as many as a first slice executes."""
_HOT = 64
"""Look-ups of a block after which it is translated: about then, interpreting it has cost as much."""
_CACHED_WORDS = 1 << 16
_CACHED_WINDOWS = 512
_CACHED_LOOPS = 256

Bound = tuple[Simple | None, Tail | None]
"""The closure of a word: one or the other."""


class _Decoder:
    """Binds words. `skipping`: as executed between a fault and ERROR_BARRIER."""

    def __init__(self, isa: InstructionSet, *, skipping: bool) -> None:
        self._isa, self._skipping = isa, skipping
        self._bound: dict[int, Bound] = {}
        self._windows: dict[bytes, CodeWindow] = {}

    def window(self, data: bytes) -> CodeWindow:
        """The window of these bytes."""
        window = self._windows.get(data)
        if window is None:
            if len(self._windows) >= _CACHED_WINDOWS:
                self._windows.clear()
            window = self._windows[data] = CodeWindow(struct.unpack(f"<{len(data) // 8}Q", data))
        return window

    def decode(self, window: CodeWindow, first: int) -> Block:
        """Make the block at `first` of `window`, and those that follow: most code runs straight on."""
        blocks, simples, at = window.blocks, list[Simple](), first
        for word in window.words[at >> 3 : (at >> 3) + _AHEAD]:
            simple, tail = self._bound.get(word) or self._bind(word)
            if simple is not None:
                simples.append(simple)
                continue
            blocks[at] = (tuple(simples), len(simples), tail)
            at += 8 * len(simples) + 8
            simples = []
            if at in blocks:
                break
        if simples:
            blocks[at] = (tuple(simples), len(simples), None)
        return blocks[first]

    def _bind(self, word: int) -> Bound:
        if len(self._bound) >= _CACHED_WORDS:
            self._bound.clear()
        bound = self._bound[word] = bind(self._isa, word, skipping=self._skipping)
        return bound


class Fetcher:
    """The fetch stage of one GPU's command streams, with caches of closures and loops that the streams share."""

    def __init__(self, isa: InstructionSet) -> None:
        self.isa = isa
        self._executes, self._skips = _Decoder(isa, skipping=False), _Decoder(isa, skipping=True)
        self._loops: dict[tuple[int, ...], CompiledLoop | None] = {}

    def look_up(self, machine: StreamMachine, pc: int) -> Block:
        """The block at `pc`; the machine goes on in the window that holds it. Each page of a buffer is read from memory
        once per slice.

        Raises CsFatalError (CS_BUS_FAULT) if it cannot be fetched; MemoryStall.
        """
        decoder = self._skips if machine.skipping else self._executes
        key = (pc // _PAGE, machine.end)
        found = machine.windows.get(key)
        if found is None or found[0] > pc:
            found = machine.windows[key] = pc, decoder.window(_read(machine, pc))
            machine.code_pages.add(pc // _PAGE)
        machine.low, window = found
        machine.blocks = blocks = window.blocks
        at = pc - machine.low
        block = blocks.get(at) or decoder.decode(window, at)
        window.entered[at] = times = window.entered.get(at, 0) + 1
        if times == _HOT and not machine.skipping:
            self._translate(window, at)
        return block

    def _translate(self, window: CodeWindow, at: int) -> None:
        run = translate_run(self.isa, window.words[at >> 3 :], window.blocks[at])
        if run is not None:
            window.blocks[at] = (), 0, run

    def loop_at(self, machine: StreamMachine, head: int, end: int) -> CompiledLoop | None:
        """The translated loop from `head` to the branch at `end`, if it is within one fetched page."""
        found = machine.windows.get((head // _PAGE, machine.end))
        if machine.skipping or found is None or found[0] > head or head // _PAGE != end // _PAGE:
            return None
        low, window = found
        body = window.words[(head - low) >> 3 : (end - low >> 3) + 1]
        if body not in self._loops:
            if len(self._loops) >= _CACHED_LOOPS:
                self._loops.clear()
            self._loops[body] = translate(self.isa, body)
        return self._loops[body]


def _read(machine: StreamMachine, pc: int) -> bytes:
    """The code from `pc` to the end of the page or of the buffer."""
    size, room = machine.end - pc, _PAGE - pc % _PAGE
    try:
        return machine.memory.read(pc, size if size < room else room, PREFETCH)
    except (MemoryFault, BusError) as error:
        raise CsFatalError(CS_BUS_FAULT, error.va) from None

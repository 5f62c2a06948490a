# SPDX-License-Identifier: GPL-2.0-or-later
"""From memory to blocks of closures.

A block is a run of instructions that only change registers, and the one after them that may do more. It is a pure
function of its words: nothing in it depends on where it lies. So a translator can later replace `block[0]` of a hot
block by one compiled function kept in a table keyed by the words (or their bytes); looking the words up there *is* the
revalidation, because fetching always reads memory again in a new slice. Within a slice a stream's own stores are the
only ones the interpreter need see, and `Machine.store` forgets the code when they hit a page that was fetched from.
"""

from __future__ import annotations

import struct

from panthorlab.gpu.cs.machine import CS_BUS_FAULT, Block, CsFatalError, Machine, Simple, Tail
from panthorlab.gpu.cs.ports import BusError, MemoryFault, Requester
from panthorlab.gpu.cs.units import bind

_PAGE = 4096
_CACHED_WORDS = 1 << 16

_bound: dict[tuple[int, bool] | int, tuple[Simple | None, Tail | None]] = {}


def block_at(machine: Machine, pc: int) -> Block:
    """The block that starts at `pc` of the current buffer, read from memory once per page and slice.

    Raises CsFatalError (CS_BUS_FAULT) when it cannot be fetched, MemoryStall.
    """
    low, words = _window(machine, pc)
    simples: list[Simple] = []
    for word in words[(pc - low) >> 3 :]:
        key = (word, True) if machine.skipping else word
        entry = _bound.get(key)
        if entry is None:
            if len(_bound) >= _CACHED_WORDS:
                _bound.clear()
            entry = _bound[key] = bind(word, skipping=machine.skipping)
        simple, tail = entry
        if simple is None:
            block = (tuple(simples), len(simples), tail)
            break
        simples.append(simple)
    else:
        block = (tuple(simples), len(simples), None)
    machine.blocks[pc] = block
    return block


def _window(machine: Machine, pc: int) -> tuple[int, tuple[int, ...]]:
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

# SPDX-License-Identifier: GPL-2.0-or-later
"""Executes instructions block by block until the budget is used up or the stream only spins."""

from __future__ import annotations

from panthorlab.gpu.cs.fetch import Fetcher
from panthorlab.gpu.cs.machine import StreamMachine
from panthorlab.gpu.cs.ring import Ring
from panthorlab.gpu.cs.state import StreamState

IDLE, RUNNING = StreamState.IDLE, StreamState.RUNNING
_SPIN_SAMPLE = 32  # backward branches between two checks for spinning


class Interpreter:
    """The interpreter of one command stream. Remembers the last loop head and registers to detect spinning."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._look_up, self._loop_at = fetcher.look_up, fetcher.loop_at
        self._seen: tuple[tuple[int, int, int, int], list[int]] | None = None

    def forget(self) -> None:
        """At the start of a slice: forget the state kept for spin detection."""
        self._seen = None

    def run(self, m: StreamMachine, ring: Ring) -> StreamState:
        """Execute at most `m.left` instructions. Passes on exceptions of the instructions and of fetching them."""
        regs, blocks, low, pc, left, backward = m.regs, m.blocks, m.low, m.pc, m.left, 0
        while left > 0:
            block = blocks.get(pc - low)
            if block is None:
                m.pc, m.left = pc, left
                if pc == m.end and not ring.leave_buffers(m):
                    return IDLE
                pc = m.pc
                block = self._look_up(m, pc)
                blocks, low = m.blocks, m.low
            simples, count, tail = block
            if count > left:
                for simple in simples[:left]:
                    simple(regs)
                pc += 8 * left
                left = 0
                break
            for simple in simples:
                simple(regs)
            pc += 8 * count
            left -= count
            if tail is None or not left:
                continue
            m.pc, m.left = pc, left
            following = tail(m, pc)
            left = m.left - 1  # translated code has executed more than one
            blocks, low = m.blocks, m.low
            if following <= pc:
                backward += 1
                if backward == 1 or following == pc or backward % _SPIN_SAMPLE == 0:
                    following, left, backward, spins = self._circle(m, following, pc, left, backward)
                    blocks, low = m.blocks, m.low
                    if spins:
                        m.pc, m.left = following, left
                        return StreamState.SPINNING
            pc = following
        m.pc, m.left = pc, 0
        return RUNNING

    def _circle(self, m: StreamMachine, head: int, end: int, left: int, backward: int) -> tuple[int, int, int, bool]:
        """At a branch from `end` back to `head`: run the translated loop, if there is one. Returns the PC, the rest of
        the budget, the branches backward so far, and whether the stream only spins."""
        count = (end - head >> 3) + 1
        loop = None
        while not self._spins(m, head):
            loop = loop or self._loop_at(m, head, end)
            if loop is None or not 1 < count <= left:
                return head, left, backward, False
            m.left = left
            rounds = _SPIN_SAMPLE - backward % _SPIN_SAMPLE
            pc, rest = loop(m, head, rounds)
            left, backward = m.left - 1, backward + rounds - rest
            if rest:
                return pc, left, backward, False
        return head, left, backward, True

    def _spins(self, m: StreamMachine, pc: int) -> bool:
        """Whether the previous check was at this PC with the same registers, without visible effects since."""
        place = (pc, m.end, len(m.frames), m.effects)
        if self._seen is not None and self._seen[0] == place and self._seen[1] == m.regs:
            return True
        self._seen = (place, m.regs.copy())
        return False

# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring buffer of a command stream: where positions in the stream lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

from panthorlab.gpu.cs.machine import CS_CONFIG_FAULT, CsFatalError, StreamMachine

_M64 = 0xFFFFFFFFFFFFFFFF


@dataclass(slots=True)
class Ring:
    """`base` (VA) and `size` in bytes; `insert`: stream position up to which it holds instructions; `shift`: position
    in the stream (as EXTRACT counts) minus VA, at ring level."""

    base: int = 0
    size: int = 0
    insert: int = 0
    shift: int = 0

    def extract(self, m: StreamMachine) -> int:
        """Stream position of the instruction being executed at ring level: that of the CALL while a callee runs."""
        return ((m.frames[0].at if m.frames else m.pc) + self.shift) & _M64

    def enter(self, m: StreamMachine, position: int) -> None:
        """Go on at ring level at `position`, up to INSERT or to where the ring wraps."""
        m.pc = self.base + (position & (self.size - 1) if self.size else 0)
        self.shift = position - m.pc
        available = (self.insert - position) & _M64
        m.enter(self.base, m.pc + min(available, self.base + self.size - m.pc))

    def leave_buffers(self, m: StreamMachine) -> bool:
        """Leave buffers that are at their end. False: so is the ring, there is nothing to do."""
        while m.pc == m.end:
            if m.frames:
                m.leave()
            if not m.frames:
                position = m.pc + self.shift
                self.enter(m, position)
                if position & _M64 == self.insert:
                    return False
        return True

    def check(self, m: StreamMachine) -> None:
        """Raises CsFatalError (CS_CONFIG_FAULT) for a ring that there cannot be, or that holds more than it can."""
        size, extract = self.size, self.extract(m)
        misplaced = size < 8 or size & (size - 1) or self.base & 7 or self.base + size > _M64
        if misplaced or (self.insert | extract) & 7 or (self.insert - extract) & _M64 > size:
            raise CsFatalError(CS_CONFIG_FAULT, self.insert)

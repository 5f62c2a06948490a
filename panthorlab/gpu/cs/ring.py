# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring buffer of a command stream: maps stream positions to addresses."""

from __future__ import annotations

from dataclasses import dataclass, field

from panthorlab.gpu.cs.machine import CS_CONFIG_FAULT, CsFatalError, StreamMachine

_M64 = 0xFFFFFFFFFFFFFFFF


@dataclass(slots=True)
class Ring:
    """`base`: VA. `size`: bytes. `insert`: stream position at which the instructions in the ring end. `shift`: stream
    position (as in EXTRACT) minus VA, at ring level. `seen`: INSERT when the ring level was entered."""

    base: int = 0
    size: int = 0
    insert: int = 0
    shift: int = 0
    seen: int = -1
    _misplaced: bool = field(init=False)

    def __post_init__(self) -> None:
        base, size = self.base, self.size
        self._misplaced = size < 8 or bool(size & (size - 1) or base & 7) or base + size > _M64

    def extract(self, m: StreamMachine) -> int:
        """Stream position of the instruction executed at ring level: that of the CALL while a called buffer runs."""
        return ((m.frames[0].at if m.frames else m.pc) + self.shift) & _M64

    def enter(self, m: StreamMachine, position: int) -> None:
        """Continue at ring level at stream position `position`, up to INSERT or the end of the ring buffer."""
        m.pc = self.base + (position & (self.size - 1) if self.size else 0)
        self.shift = position - m.pc
        self.seen = self.insert
        available, end = (self.insert - position) & _M64, self.base + self.size
        m.enter(self.base, m.pc + available if m.pc + available < end else end)

    def leave_buffers(self, m: StreamMachine) -> bool:
        """Leave all buffers whose end is reached. False: the ring is empty, too."""
        while m.pc == m.end:
            if m.frames:
                m.leave()
            if not m.frames and (m.pc == m.end or self.seen != self.insert):
                position = m.pc + self.shift
                self.enter(m, position)
                if position & _M64 == self.insert:
                    return False
        return True

    def check(self, m: StreamMachine) -> None:
        """Raises CsFatalError (CS_CONFIG_FAULT) if the ring's base, size or positions are invalid."""
        extract = self.extract(m)
        if self._misplaced or (self.insert | extract) & 7 or (self.insert - extract) & _M64 > self.size:
            raise CsFatalError(CS_CONFIG_FAULT, self.insert)

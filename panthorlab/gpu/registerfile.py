# SPDX-License-Identifier: GPL-2.0-or-later
"""Registers by offset: their read and write handlers, chosen by register kind, and the check of reserved bits."""

from __future__ import annotations

from functools import partial

from panthorlab.gpu.events import Reporter
from panthorlab.gpu.power import Read, Write
from panthorlab.gpu.registers import Register, RegisterKind


class RegisterFile:
    """`reads` and `writes` map offsets to handlers; for other offsets call `unknown_read` or `bad_write`."""

    def __init__(self, reporter: Reporter) -> None:
        self.reads: dict[int, Read] = {}
        self.writes: dict[int, Write] = {}
        self._reporter = reporter
        self._names: dict[int, str] = {}
        self._storage: dict[int, int] = {}

    def add(self, register: Register, offset: int, read: Read | None, write: Write | None) -> None:
        """Add a register at `offset` in BAR0. `read`, `write`: its handlers, where its kind is computed or acts."""
        self._names[offset] = register.name
        kind = register.kind
        if (read is not None) is not (kind in (RegisterKind.READ, RegisterKind.BOTH)):
            raise AssertionError(f"{register.name} is {kind.value}, its handler for reads says otherwise")
        if (write is not None) is not (kind in (RegisterKind.WRITE, RegisterKind.BOTH)):
            raise AssertionError(f"{register.name} is {kind.value}, its handler for writes says otherwise")
        if kind is RegisterKind.CONSTANT:
            read = partial(int, register.reset)
        elif kind is RegisterKind.STORAGE:
            self._storage[offset] = register.reset
            read, write = partial(self._storage.__getitem__, offset), partial(self._storage.__setitem__, offset)
        if read is not None:
            self.reads[offset] = read
        if write is not None:
            self.writes[offset] = partial(self._write_some, register, offset, write) if register.reserved else write

    def name(self, offset: int) -> str:
        """The name of the register, or its offset if there is no register."""
        return self._names.get(offset, hex(offset))

    def store(self, offset: int, value: int) -> None:
        """Set a STORAGE register."""
        self._storage[offset] = value

    def unknown_read(self, offset: int) -> int:
        """A read without a handler: returns 0. Reported only if there is no register at `offset`."""
        if offset not in self._names:
            self._reporter.unmodelled(f"read 0x{offset:x}", f"read of register 0x{offset:x}")
        return 0

    def bad_write(self, offset: int, value: int) -> None:
        """Report a write to a missing or read-only register."""
        name = self._names.get(offset, "unknown")
        self._reporter.unmodelled(f"write 0x{offset:x}", f"write of 0x{value:x} to register 0x{offset:x} ({name})")

    def _write_some(self, register: Register, offset: int, write: Write, value: int) -> None:
        """Write a register that has reserved bits: setting one is reported, and the write still takes effect."""
        if wrong := value & register.reserved:
            self._reporter.unmodelled(
                f"reserved bits of {register.name}",
                f"write of 0x{value:x} to register 0x{offset:x} ({register.name}): bits 0x{wrong:x} are reserved",
            )
        write(value)

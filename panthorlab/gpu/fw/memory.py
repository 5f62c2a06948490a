# SPDX-License-Identifier: GPL-2.0-or-later
"""The MCU's own view of memory: address space 0, where the firmware interface and the queues' ring pointers live.

Translations are cached, as in a TLB, until address space 0 drops its own.
"""

from __future__ import annotations

from panthorlab.gpu.cs.ports import Access, BusError, MemoryFault, Requester
from panthorlab.gpu.mmu.unit import AddressSpace

MEMORY_ERRORS = (MemoryFault, BusError)


class McuMemoryError(Exception):
    """The MCU accessed unmapped memory: it is dead from now on, as a real MCU would be. `memory`: of which MCU."""

    def __init__(self, memory: McuMemory, why: str) -> None:
        super().__init__(why)
        self.memory = memory


class McuMemory:
    """Aligned loads and stores, each a single access. Raises McuMemoryError (the MMU has latched the fault).

    Accesses do not wait for LOCKs: the driver locks whole aligned blocks around a mapping, but never changes the page
    tables of memory that the MCU is using.
    """

    def __init__(self, space: AddressSpace) -> None:
        self.space = space
        self._version = -1
        self._readable: dict[int, tuple[memoryview, memoryview, int]] = {}
        self._writable: dict[int, tuple[memoryview, memoryview, int]] = {}

    def get(self, va: int) -> int:
        """u32 at `va`."""
        # not only by `_page`: streams that signal at each few instructions ask for two words each time
        page = self._readable.get(va >> 12) if self._version == self.space.version else None
        words, _, base = page or self._page(va)
        value: int = words[base + (va & 0xFFF) >> 2]
        return value

    def get64(self, va: int) -> int:
        _, quads, base = self._page(va)
        value: int = quads[base + (va & 0xFFF) >> 3]
        return value

    def put(self, va: int, value: int) -> None:
        words, _, base = self._page_to_write(va)
        self.space.ram.stores += 1
        words[base + (va & 0xFFF) >> 2] = value

    def put64(self, va: int, value: int) -> None:
        _, quads, base = self._page_to_write(va)
        self.space.ram.stores += 1
        quads[base + (va & 0xFFF) >> 3] = value

    def read(self, va: int, size: int) -> bytes:
        """`size` bytes at `va`."""
        try:
            return self.space.read(va, size, Requester.MCU, wait=False)
        except MEMORY_ERRORS as error:
            raise McuMemoryError(self, str(error)) from error

    def write(self, va: int, data: bytes) -> None:
        """Store `data` at `va`."""
        try:
            self.space.write(va, data, Requester.MCU, wait=False)
        except MEMORY_ERRORS as error:
            raise McuMemoryError(self, str(error)) from error

    def forget(self) -> None:
        self._readable.clear()
        self._writable.clear()
        self._version = self.space.version

    def _page(self, va: int) -> tuple[memoryview, memoryview, int]:
        if self._version != self.space.version:
            self.forget()
        page = self._readable.get(va >> 12)
        if page is None:
            page = self._readable[va >> 12] = self._look_up(va, Access.READ)
        return page

    def _page_to_write(self, va: int) -> tuple[memoryview, memoryview, int]:
        if self._version != self.space.version:
            self.forget()
        page = self._writable.get(va >> 12)
        if page is None:
            page = self._writable[va >> 12] = self._look_up(va, Access.WRITE)
        return page

    def _look_up(self, va: int, access: Access) -> tuple[memoryview, memoryview, int]:
        try:
            region, at, _ = self.space.look_up(va & ~0xFFF, access, Requester.MCU, wait=False)
        except MEMORY_ERRORS as error:
            raise McuMemoryError(self, str(error)) from error
        return region.words, region.quads, at

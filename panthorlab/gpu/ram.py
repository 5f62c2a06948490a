# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest RAM, mapped from the file descriptors of vfio-user DMA_MAP and addressed by guest-physical address."""

from __future__ import annotations

import mmap
from bisect import bisect_right


class NoRamError(Exception):
    """No RAM, or no writable RAM, is mapped at this guest-physical address."""

    def __init__(self, pa: int) -> None:
        super().__init__(f"no guest RAM at 0x{pa:x}")
        self.pa = pa


class Region:
    """One mapping. `words` and `quads` are views of the same bytes: an aligned item access is one load or store. Bytes
    are read fastest from `memory` itself."""

    __slots__ = ("base", "bytes", "end", "memory", "quads", "words", "writable")

    def __init__(self, base: int, memory: mmap.mmap, writable: bool) -> None:
        self.memory = memory
        self.base, self.end = base, base + len(memory)
        self.writable = writable
        self.bytes = memoryview(memory)
        self.words = self.bytes.cast("I")
        self.quads = self.bytes.cast("Q")

    def close(self) -> None:
        for view in (self.words, self.quads, self.bytes):
            view.release()
        self.memory.close()


class GuestRam:
    """All mappings, disjoint and page-granular. Unmapping invalidates all views of the region."""

    def __init__(self) -> None:
        self._regions: list[Region] = []
        self._bases: list[int] = []
        self._last: Region | None = None
        self.stores = 0
        """How often the GPU has written into it."""

    def map(self, base: int, fd: int, offset: int, size: int, writable: bool) -> None:
        """Map `size` bytes of `fd` at guest-physical `base`. Raises ValueError (overlap, alignment) or OSError."""
        if size <= 0 or (base | offset | size) & 0xFFF or base + size > 1 << 64:
            raise ValueError(f"0x{base:x}+0x{size:x} is not made of whole pages")
        if any(r.base < base + size and base < r.end for r in self._regions):
            raise ValueError(f"0x{base:x}+0x{size:x} overlaps a mapping")
        access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        region = Region(base, mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=access, offset=offset), writable)
        at = bisect_right(self._bases, base)
        self._regions.insert(at, region)
        self._bases.insert(at, base)

    @property
    def first(self) -> int:
        """The lowest mapped address; 0 if there is none."""
        return self._bases[0] if self._bases else 0

    def unmap(self, base: int, size: int) -> int:
        """Drop the mappings that lie wholly inside the range; returns their total size."""
        gone = [r for r in self._regions if base <= r.base and r.end <= base + size]
        self._drop(gone)
        return sum(r.end - r.base for r in gone)

    def clear(self) -> None:
        self._drop(list(self._regions))

    def _drop(self, gone: list[Region]) -> None:
        self._regions = [r for r in self._regions if r not in gone]
        self._bases = [r.base for r in self._regions]
        self._last = None
        for region in gone:
            region.close()

    def region(self, pa: int) -> Region:
        """The mapping that holds `pa`. Raises NoRamError."""
        last = self._last
        if last is not None and last.base <= pa < last.end:
            return last
        at = bisect_right(self._bases, pa) - 1
        if at >= 0 and pa < self._regions[at].end:
            self._last = self._regions[at]
            return self._last
        raise NoRamError(pa)

    def read_quad(self, pa: int) -> int:
        """The aligned u64 at `pa`: a page table entry. Raises NoRamError."""
        region = self.region(pa)
        return region.quads[pa - region.base >> 3]

    @property
    def size(self) -> int:
        return sum(r.end - r.base for r in self._regions)

# SPDX-License-Identifier: GPL-2.0-or-later
"""PCI configuration space of the function that carries the GPU: BAR0 registers, BAR2 MSI-X table, three vectors.

A vendor-specific capability has three registers. By CLOCK the guest's clock driver (the shim) reports whether the GPU's
clock runs; on an SoC this is state of the clock controller. COHERENT says whether the shim is to describe the GPU as
`dma-coherent`, which on an SoC the device tree does. Into MARK `iterate` writes where an iteration begins and
ends, so that this is known to the instruction; no GPU has it.
"""

from __future__ import annotations

VENDOR, DEVICE = 0x13B5, 0x0C5F  # Arm; what panthor_pci_shim binds to
CLASS_DISPLAY_OTHER = 0x038000
BAR_SIZES = {0: 0x200000, 2: 0x4000}
SIZE = 256
COMMAND, MEMORY_SPACE, BUS_MASTER = 0x04, 1 << 1, 1 << 2
VECTORS = 3
MSIX_CAP = 0x40
VENDOR_CAP = 0x50
CLOCK, CLOCK_UNKNOWN, CLOCK_RUNS, CLOCK_STOPPED = VENDOR_CAP + 4, 0, 1, 2
COHERENT = VENDOR_CAP + 5
MARK, MARK_BEGIN = VENDOR_CAP + 8, 1 << 31
"""What an iteration is called (`mark_of`), with MARK_BEGIN at its begin."""
MSIX_TABLE_BAR, MSIX_TABLE, MSIX_PBA = 2, 0x0000, 0x2000

# (offset, size, value, bits the guest can write)
_FIELDS: tuple[tuple[int, int, int, int], ...] = (
    (0x00, 2, VENDOR, 0),
    (0x02, 2, DEVICE, 0),
    (COMMAND, 2, 0, MEMORY_SPACE | BUS_MASTER | 1 << 10),  # command: memory, bus master, INTx disable
    (0x06, 2, 0x0010, 0),  # status: capability list
    (0x08, 1, 0x05, 0),  # revision
    (0x09, 3, CLASS_DISPLAY_OTHER, 0),
    (0x0C, 1, 0, 0xFF),  # cache line size
    (0x10, 4, 0, 0xFFFFFFFF & ~(BAR_SIZES[0] - 1)),
    (0x18, 4, 0, 0xFFFFFFFF & ~(BAR_SIZES[2] - 1)),
    (0x2C, 2, VENDOR, 0),
    (0x2E, 2, DEVICE, 0),
    (0x34, 1, MSIX_CAP, 0),
    (0x3C, 1, 0, 0xFF),  # interrupt line
    (MSIX_CAP, 1, 0x11, 0),
    (MSIX_CAP + 1, 1, VENDOR_CAP, 0),
    (MSIX_CAP + 2, 2, VECTORS - 1, 0xC000),  # enable, function mask
    (MSIX_CAP + 4, 4, MSIX_TABLE | MSIX_TABLE_BAR, 0),
    (MSIX_CAP + 8, 4, MSIX_PBA | MSIX_TABLE_BAR, 0),
    (VENDOR_CAP, 1, 0x09, 0),
    (VENDOR_CAP + 1, 1, 0, 0),  # last capability
    (VENDOR_CAP + 2, 1, 12, 0),  # length of this capability
    (CLOCK, 1, CLOCK_UNKNOWN, 0x03),
    (MARK, 4, 0, 0xFFFFFFFF),
)


def mark_of(iteration: str) -> int:
    """What register MARK calls an iteration: FNV-1a of its id, the lowest 31 bits (`panthorlab/guest/mark.c`)."""
    value = 2166136261
    for byte in iteration.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value & ~MARK_BEGIN


class ConfigSpace:
    """256 bytes with write masks; QEMU itself emulates the BARs and the MSI-X table on top of it."""

    def __init__(self, *, coherent: bool = False) -> None:
        self._reset = bytearray(SIZE)
        self._mask = bytearray(SIZE)
        for offset, size, value, mask in _FIELDS:
            self._reset[offset : offset + size] = value.to_bytes(size, "little")
            self._mask[offset : offset + size] = mask.to_bytes(size, "little")
        self._reset[COHERENT] = coherent
        self._data = bytearray(self._reset)

    def reset(self) -> None:
        self._data[:] = self._reset

    @property
    def command(self) -> int:
        return int.from_bytes(self._data[COMMAND : COMMAND + 2], "little")

    @property
    def clock(self) -> int:
        """Register CLOCK: one of `CLOCK_…`."""
        return self._data[CLOCK]

    @property
    def mark(self) -> int:
        """Register MARK."""
        return int.from_bytes(self._data[MARK : MARK + 4], "little")

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes; zeros beyond the end."""
        return bytes(self._data[offset : offset + count]).ljust(count, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        """Write the writable bits; bytes beyond the end are ignored."""
        for i, byte in enumerate(data[: max(0, SIZE - offset)], offset):
            self._data[i] = self._data[i] & ~self._mask[i] | byte & self._mask[i]

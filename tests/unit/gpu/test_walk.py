# SPDX-License-Identifier: GPL-2.0-or-later
"""The page table walk, against an independent one that follows the architecture's words bit by bit."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from panthorlab.gpu.mmu.walk import FaultCode, Translation, WalkFault, permission, walk

RW_PAGE, RW_BLOCK, READ_ONLY_EXECUTABLE = 0x60000000000F47, 0x60000000000F45, 0xFC7
VA = 0x8000_1234_5678


class Tables:
    """A sparse page table memory; every table is at a physical page of its own."""

    def __init__(self) -> None:
        self.memory: dict[int, int] = {}
        self.root = 0x4000_0000
        self._next = self.root + 0x1000

    def read(self, pa: int) -> int:
        assert pa % 8 == 0
        return self.memory.get(pa, 0)

    def put(self, va: int, level: int, entry: int) -> None:
        """Install `entry` at `level` for `va`, with tables above it."""
        table = self.root
        for upper in range(level):
            at = table + (va >> 39 - 9 * upper & 511) * 8
            if self.memory.get(at, 0) & 3 != 3:
                self.memory[at] = self._next | 3
                self._next += 0x1000
            table = self.memory[at] & 0xFFFFFFFFF000
        self.memory[table + (va >> 39 - 9 * level & 511) * 8] = entry


def slow_walk(tables: Tables, va: int, va_bits: int, pa_bits: int) -> tuple[str, int]:
    """DDI0487 D8.2-D8.5 for a 4 KiB granule, stage 1, written with bit strings. ('pa', address) or ('fault', code)."""
    bits = f"{va:064b}"
    if "1" in bits[: 64 - va_bits]:
        return "fault", 0xE0
    # the lowest level always resolves 9 bits; the first one gets what is left over
    index_bits = va_bits - 12
    levels = -(-index_bits // 9)
    first = index_bits - 9 * (levels - 1)
    fields, at = [], 64 - va_bits
    for width in [first] + [9] * (levels - 1):
        fields.append(int(bits[at : at + width], 2))
        at += width
    table = tables.root
    if table >= 2**pa_bits:
        return "fault", 0xE4 + 4 - levels
    for level, index in enumerate(fields, 4 - levels):
        entry = f"{tables.read(table + 8 * index):064b}"
        valid, table_or_page = entry[63] == "1", entry[62] == "1"
        if not valid or (level == 3 and not table_or_page) or (level == 0 and not table_or_page):
            return "fault", 0xC0 + level
        leaf = level == 3 or not table_or_page
        below = 64 - at if level == 3 else 12 + 9 * (3 - level)
        address = int(entry[16 : 64 - (below if leaf else 12)] or "0", 2) << (below if leaf else 12)
        if address >= 2**pa_bits:
            return "fault", 0xE4 + level
        if leaf:
            if entry[53] == "0":  # bit 10, access flag
                return "fault", 0xD8 + level
            return "pa", address + int(bits[64 - below :], 2)
        table = address
    raise AssertionError("level 3 is always a leaf")


def entries() -> st.SearchStrategy[int]:
    flags = st.integers(0, 0xFFF)
    address = st.integers(0, (1 << 36) - 1).map(lambda page: page << 12)
    near = st.integers(0, 15).map(lambda page: 0x4000_0000 + (page << 12))
    upper = st.sampled_from([0, 1 << 54, 1 << 55, 0xFFF << 52])
    return st.builds(lambda a, f, u: a | f | u, address | near, flags, upper)


@given(
    st.lists(st.tuples(st.integers(0, (1 << 48) - 1), st.integers(0, 3), entries()), max_size=12),
    st.integers(0, (1 << 50) - 1),
    st.sampled_from([48, 48, 48, 39, 40, 30]),
    st.sampled_from([40, 40, 48, 36]),
    st.data(),
)
def test_agrees_with_the_slow_walk(
    installed: list[tuple[int, int, int]], va: int, va_bits: int, pa_bits: int, data: st.DataObject
) -> None:
    tables = Tables()
    for at, level, entry in installed:
        tables.put(at, level, entry)
    if installed:
        near = data.draw(st.integers(-1, len(installed) - 1))
        offset = data.draw(st.integers(0, 0x3FFFFF))
        va = installed[near][0] ^ offset if near >= 0 else va
    found = walk(tables.read, tables.root, va, va_bits, pa_bits)
    mine = ("pa", found.pa) if isinstance(found, Translation) else ("fault", found.exception)
    assert mine == slow_walk(tables, va, va_bits, pa_bits)


@given(st.integers(0, (1 << 48) - 1), st.integers(0, (1 << 28) - 1))
@example(VA, 0x1234)
def test_a_page_of_the_driver(va: int, frame: int) -> None:
    tables = Tables()
    tables.put(va, 3, frame << 12 | RW_PAGE)
    assert walk(tables.read, tables.root, va) == Translation(frame << 12 | va & 0xFFF, 12, 3, frame << 12 | RW_PAGE)


def test_a_block_of_the_driver() -> None:
    tables = Tables()
    tables.put(VA, 2, 0x8060_0000 | RW_BLOCK)
    assert walk(tables.read, tables.root, VA) == Translation(0x8060_0000 + VA % 0x200000, 21, 2, 0x8060_0000 | RW_BLOCK)


@pytest.mark.parametrize("level", range(4))
def test_translation_fault_names_the_level(level: int) -> None:
    tables = Tables()
    tables.put(VA, level, 0)
    assert walk(tables.read, tables.root, VA) == WalkFault(FaultCode.TRANSLATION + level, level)


def test_small_unmap_leaves_level_3_big_one_level_2() -> None:
    tables = Tables()
    tables.put(VA, 3, RW_PAGE | 0x1000)
    tables.put(VA, 3, 0)
    assert walk(tables.read, tables.root, VA) == WalkFault(0xC3, 3)
    tables.put(VA, 2, 0)
    assert walk(tables.read, tables.root, VA) == WalkFault(0xC2, 2)


@pytest.mark.parametrize(
    ("level", "entry", "exception"),
    [
        (3, 0x100_0000_0000 | RW_PAGE, 0xE7),
        (2, 0x100_0000_0000 | RW_BLOCK, 0xE6),
        (1, 0x100_0000_0003, 0xE5),
        (3, RW_PAGE & ~0x400, 0xDB),
        (2, RW_BLOCK & ~0x400, 0xDA),
        (3, RW_PAGE & ~2, 0xC3),
        (0, RW_BLOCK, 0xC0),
    ],
)
def test_fault_codes(level: int, entry: int, exception: int) -> None:
    tables = Tables()
    tables.put(VA, level, entry)
    found = walk(tables.read, tables.root, VA)
    assert isinstance(found, WalkFault)
    assert found.exception == exception


def test_root_table_out_of_range() -> None:
    assert walk(lambda _pa: 0, 1 << 40, 0) == WalkFault(0xE4, 0)


@pytest.mark.parametrize(
    ("entry", "write", "execute", "allowed"),
    [
        (RW_PAGE, False, False, True),
        (RW_PAGE, True, False, True),
        (RW_PAGE, False, True, False),
        (READ_ONLY_EXECUTABLE, False, True, True),
        (READ_ONLY_EXECUTABLE, True, False, False),
        (RW_PAGE & ~0x40, False, False, False),
    ],
)
def test_permission(entry: int, write: bool, execute: bool, allowed: bool) -> None:
    assert permission(entry, 3, write, execute) == (None if allowed else WalkFault(0xCB, 3))

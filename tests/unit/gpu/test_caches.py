# SPDX-License-Identifier: GPL-2.0-or-later
"""Caches that hold no data, but are missed when a driver does not clean them."""

from __future__ import annotations

from typing import Any

import pytest

from panthorlab.gpu.cs.ports import Access, Requester
from panthorlab.gpu.mmu.unit import AddressSpace
from tests.unit.gpu.conftest import SUSPEND_BUF

VA = 0x8000_0000_3000
RW_PAGE = 0x60000000000E43
UPDATE, UNLOCK, FLUSH_PT, FLUSH_MEM = 1, 3, 4, 5
Bench = Any  # conftest.Bench
FLUSH_ALL, CLEAN_L2, INVALIDATE_L2 = 0x23304, 0x104, 0x204


def space(bench: Bench) -> AddressSpace:
    found: AddressSpace = bench.gpu.chip.mmu.spaces[1]
    return found


def give_away(bench: Bench) -> list[str]:
    """The user's address space gets other page tables. What the GPU holds against it."""
    bench.as_write(1, "TRANSTAB_LO", bench.page())
    bench.as_write(1, "COMMAND", UPDATE)
    return [text for text in bench.texts("misuse") if "given to other page tables" in text]


@pytest.mark.parametrize("access", [Access.WRITE, Access.ATOMIC])
def test_what_was_written_is_cleaned_before_others_get_the_address_space(bench: Bench, access: Access) -> None:
    space(bench).look_up(VA, access, Requester.LSU)
    assert give_away(bench)


@pytest.mark.parametrize("command", [FLUSH_ALL, CLEAN_L2])
def test_a_clean_of_the_caches_is_enough_until_the_next_store(bench: Bench, command: int) -> None:
    for _ in range(2):
        space(bench).write(VA, b"data", Requester.LSU)
    bench.write("GPU_CMD", command)
    assert not give_away(bench)
    bench.as_write(1, "TRANSTAB_LO", bench.user.root)
    bench.as_write(1, "COMMAND", UPDATE)
    space(bench).write(VA, b"data", Requester.LSU)
    bench.write("GPU_CMD", command)
    space(bench).write(VA, b"data", Requester.LSU)
    assert give_away(bench)


@pytest.mark.parametrize("command", [FLUSH_PT, FLUSH_MEM])
def test_a_flush_of_the_address_space_cleans_it(bench: Bench, command: int) -> None:
    space(bench).write(VA, b"data", Requester.LSU)
    bench.as_write(2, "COMMAND", command)
    bench.as_write(1, "COMMAND", command)
    assert not give_away(bench)


def test_what_does_not_clean_caches(bench: Bench) -> None:
    """To forget translations, to invalidate what the caches hold, a flush of another address space."""
    space(bench).write(VA, b"data", Requester.LSU)
    bench.gpu.chip.mmu.forget()
    bench.write("GPU_CMD", INVALIDATE_L2)
    bench.as_write(2, "COMMAND", FLUSH_MEM)
    assert give_away(bench)


def test_nobody_must_clean_what_was_only_read_or_reset(bench: Bench) -> None:
    space(bench).read(VA, 8, Requester.LSU)
    assert not give_away(bench)
    bench.as_write(1, "TRANSTAB_LO", bench.user.root)
    bench.as_write(1, "COMMAND", UPDATE)
    space(bench).write(VA, b"data", Requester.LSU)
    bench.write("GPU_CMD", 0x101)
    bench.enable_space(1, bench.user)
    assert not give_away(bench)
    assert bench.texts("misuse") == []


def test_the_same_page_tables_again_clean_nothing(bench: Bench) -> None:
    space(bench).write(VA, b"data", Requester.LSU)
    bench.as_write(1, "COMMAND", UPDATE)
    assert bench.texts("misuse") == []
    assert give_away(bench)


def test_the_l2_without_power_holds_nothing(bench: Bench) -> None:
    space(bench).write(VA, b"data", Requester.LSU)
    bench.write("L2_PWROFF_LO", 1)
    assert not give_away(bench)


def test_a_page_that_was_two_is_looked_at_for_both(bench: Bench) -> None:
    """Its translation was dropped in between, as it may be at any time."""
    space(bench).write(VA, b"data", Requester.LSU)
    bench.user.entry(VA, bench.page() | RW_PAGE)
    bench.gpu.chip.mmu.forget()
    space(bench).write(VA, b"data", Requester.LSU)
    bench.lock(1, VA)
    for _ in range(2):  # and told of once
        bench.as_write(1, "COMMAND", UNLOCK)
        bench.lock(1, VA)
    (told,) = bench.texts("misuse")
    assert f"0x{VA:x}" in told


def test_what_the_mcu_stores_after_a_clean_is_no_cleaner(bench: Bench) -> None:
    memory, va = bench.gpu.mcu.memory, SUSPEND_BUF
    memory.put(va, 1)
    bench.write("GPU_CMD", FLUSH_ALL)
    memory.put(va, 2)
    bench.lock(0, va)
    bench.mcu.unmap(va)
    bench.as_write(0, "COMMAND", UNLOCK)
    (told,) = bench.texts("misuse")
    assert f"AS0 0x{va:x}" in told


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("becomes", ["unmapped", "another page", "as it was"])
def test_what_was_written_is_cleaned_before_it_is_let_go(bench: Bench, becomes: str, clean: bool) -> None:
    """LOCK, a change of the page tables, UNLOCK: between them is the time to clean."""
    space(bench).write(VA, b"data", Requester.LSU)
    bench.lock(1, VA)
    if becomes == "unmapped":
        bench.user.unmap(VA)
    elif becomes == "another page":
        bench.user.entry(VA, bench.page() | RW_PAGE)
    if clean:
        bench.write("GPU_CMD", FLUSH_ALL)
    bench.as_write(1, "COMMAND", UNLOCK)
    told = bench.texts("misuse")
    assert bool(told) is (becomes != "as it was" and not clean)
    assert all(f"0x{VA:x}" in text for text in told)

# SPDX-License-Identifier: GPL-2.0-or-later
"""What is told of caches that were not cleaned, against a second account of them: random stores, changes of page tables
and commands, and drivers that do right whatever the GPU stores meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from panthorlab.gpu.cs.ports import BusError, MemoryFault, MemoryStall, Requester
from panthorlab.gpu.generations.g610 import G610
from tests.unit.gpu.conftest import RAM_BASE, RW_PAGE, Bench, Space

PAGES = tuple(0x8000_0010_0000 + at for at in (0, 0x1000, 0x8000))  # two blocks that are locked as a whole
UPDATE, LOCK, UNLOCK, FLUSH_PT, FLUSH_MEM = 1, 2, 3, 4, 5
FLUSH_ALL, CLEAN_L2, INVALIDATE_L2 = 0x23304, 0x104, 0x204
CLEANS = (FLUSH_ALL, CLEAN_L2)


class Account:
    """A bench with two VMs that share address space 1, and what of its stores no cache was cleaned of: by where the
    data have come to, not by what the model thinks of it."""

    def __init__(self, bench: Bench, told: Sequence[str]) -> None:
        self.bench, self.told = bench, told
        self.vms = [Space(bench, bench.page()) for _ in range(2)]
        self.tables: list[dict[int, int]] = [{}, {}]
        self.ever: dict[int, list[int]] = {va: [] for va in PAGES}
        self.vm: int | None = None
        self.dirty: set[tuple[int, int]] = set()
        self.locked: range | None = None
        self.unmapped: list[int] = []
        """Pages that must be told of."""
        self.given_away = 0
        self._stores = 0
        for vm in range(2):
            for va in PAGES:
                self.table(vm, va, None)
        self.update(0)

    # --- what the driver and the GPU do

    def table(self, vm: int, va: int, pa: int | None) -> None:
        """Page tables change, of which nobody is told: to the page `pa`, or to a fresh one."""
        if pa is None:
            pa = self.bench.page()
            self.ever[va].append(pa)
        self.vms[vm].entry(va, pa | RW_PAGE if pa else 0)
        self.tables[vm][va] = pa

    def update(self, vm: int | None) -> None:
        given_away = self.vm is not None and vm not in (None, self.vm)
        self.given_away += bool(given_away and self.dirty)
        if vm != self.vm or vm is None:
            self.dirty.clear()
        self.vm = vm
        if vm is None:
            self.bench.disable_space(1)
        else:
            self.bench.enable_space(1, self.vms[vm])

    def lock(self, va: int, bits: int = 15) -> None:
        region = range(va >> bits << bits, (va >> bits) + 1 << bits)
        self._finished(region)
        self.bench.lock(1, va, bits)
        self.locked = region

    def _finished(self, still: range) -> None:
        if self.locked is not None and self.vm is not None:
            gone = {(va, pa) for va, pa in self.dirty if va in self.locked and va not in still}
            wrong = {(va, pa) for va, pa in gone if self.tables[self.vm][va] != pa}
            self.unmapped += [va for va, _ in wrong]
            self.dirty -= wrong

    def unlock(self, command: int) -> None:
        if command != UNLOCK:
            self.dirty.clear()
        else:
            self._finished(range(0))
        self.locked = None
        self.bench.as_write(1, "COMMAND", command)

    def flush(self, command: int) -> None:
        if command in CLEANS:
            self.dirty.clear()
        self.bench.write("GPU_CMD", command)

    def power_l2(self, on: bool) -> None:
        if not on:
            self.dirty.clear()
        self.bench.write("L2_PWRON_LO" if on else "L2_PWROFF_LO", 1)

    def store(self, va: int) -> None:
        self._stores += 1
        try:
            self.bench.gpu.chip.mmu.spaces[1].write(va, self._stores.to_bytes(8, "little"), Requester.LSU)
        except (MemoryStall, MemoryFault, BusError):
            assert not self._found(va)
        else:
            (pa,) = self._found(va)
            self.dirty.add((va, pa))

    def _found(self, va: int) -> list[int]:
        return [pa for pa in self.ever[va] if self.bench.quad(pa) == self._stores]

    def check(self) -> None:
        assert sum("given to other page tables" in text for text in self.told) == self.given_away
        assert sorted(int(text.split()[1], 16) for text in self.told if "unmapped" in text) == sorted(self.unmapped)
        assert len(self.told) == self.given_away + len(self.unmapped)


@contextmanager
def account() -> Iterator[Account]:
    told: list[str] = []
    bench = Bench(G610)
    try:
        bench.write("L2_PWRON_LO", 1)
        # not the events: of equal ones, those within a millisecond are written once
        with patch.object(bench.reporter, "misuse", side_effect=lambda _what, text: told.append(text)):
            yield Account(bench, told)
    finally:
        bench.close()


page = st.sampled_from(PAGES)
Step = tuple[str, int, int]
step = st.one_of(
    st.tuples(st.just("store"), page, st.just(0)),
    st.tuples(st.just("unmap"), page, st.integers(0, 1)),
    st.tuples(st.just("fresh"), page, st.integers(0, 1)),
    st.tuples(st.just("first"), page, st.integers(0, 1)),
    st.tuples(st.just("update"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("lock"), page, st.sampled_from((15, 47))),
    st.tuples(st.just("unlock"), st.just(UNLOCK), st.just(0)),
    st.tuples(st.just("forget"), st.just(0), st.just(0)),
)
clean = st.one_of(
    st.tuples(st.just("unlock"), st.sampled_from((FLUSH_PT, FLUSH_MEM)), st.just(0)),
    st.tuples(st.just("flush"), st.sampled_from((*CLEANS, INVALIDATE_L2)), st.just(0)),
    st.tuples(st.just("power"), st.integers(0, 1), st.just(0)),
)


def do(of: Account, what: str, value: int, more: int) -> None:
    match what:
        case "store":
            of.store(value)
        case "unmap":
            of.table(more, value, 0)
        case "fresh":
            of.table(more, value, None)
        case "first":
            of.table(more, value, of.ever[value][more])
        case "update":
            of.update(None if value == 2 else value)
        case "lock":
            of.lock(value, more)
        case "unlock":
            of.unlock(value)
        case "flush":
            of.flush(value)
        case "forget":
            of.bench.gpu.chip.mmu.forget()
        case "power":
            of.power_l2(bool(value))


@settings(max_examples=300, deadline=None, phases=(Phase.generate, Phase.shrink))
@given(st.lists(step, min_size=6, max_size=14), clean, st.lists(step, max_size=8))
def test_it_is_told_of_what_was_let_go_unclean_and_of_nothing_else(
    first: Sequence[Step], between: Step, then: Sequence[Step]
) -> None:
    with account() as of:
        for one in (*first, between, *then):
            do(of, *one)
            of.check()


stores = st.lists(page, max_size=3)
change = st.tuples(
    st.sampled_from(("6.12", "6.18", "7.3", "7.3, wider")),
    st.sampled_from(("unmap", "fresh", "first", "switch", "sleep")),
    page,
    st.lists(stores, min_size=5, max_size=5),
)


def change_as(of: Account, version: str, what: str, va: int, meanwhile: Sequence[Sequence[int]]) -> None:
    """As panthor of `version` does it, while the GPU stores as it likes: but nothing any more in a VM that loses its
    address space."""
    between = iter(meanwhile)

    def gpu() -> None:
        for where in next(between):
            of.store(where)

    def flush() -> None:
        if version == "6.12":
            of.lock(0, 48)
            of.unlock(FLUSH_MEM)
        else:
            of.flush(FLUSH_ALL)

    gpu()
    if what in ("switch", "sleep"):
        flush()
        if what == "sleep":
            gpu()  # streams that nobody has stopped
        of.update(None if what == "sleep" else 1 - (of.vm or 0))
        of.update(of.vm or 0)
        gpu()
        return
    if version in ("7.3", "7.3, wider"):
        of.lock(va)
    gpu()
    do(of, what, va, of.vm or 0)
    gpu()
    if version != "7.3":
        of.lock(va, 16 if version == "7.3, wider" else 15)  # around the first one, if a huge page loses a part
    gpu()
    if version == "6.12":
        of.unlock(FLUSH_PT)
    else:
        of.flush(CLEAN_L2 if version == "6.18" else FLUSH_ALL)
        gpu()
        of.unlock(UNLOCK)


@settings(max_examples=100, deadline=None)
@given(st.lists(change, max_size=12))
def test_no_driver_is_blamed_that_cleans_the_caches(
    changes: Sequence[tuple[str, str, int, Sequence[Sequence[int]]]],
) -> None:
    with account() as of:
        for one in changes:
            change_as(of, *one)
            assert of.told == []


def test_a_lock_that_moves_is_the_end_of_a_change_where_it_was_alone() -> None:
    """The GPU can go on there, as after UNLOCK."""
    near, _, far = PAGES
    for where, bits, told in ((far, 15, [near]), (near, 16, [])):
        with account() as of:
            of.store(near)
            of.lock(near)
            of.table(0, near, 0)
            of.lock(where, bits)
            of.check()
            assert of.unmapped == told
            of.flush(FLUSH_ALL)
            of.unlock(UNLOCK)
            of.check()


def test_who_has_yet_to_clean_is_not_blamed_at_another_regions_end_nor_at_update() -> None:
    """So it is not seen that a page was unmapped where nothing was locked, until a region is unlocked that has it."""
    near, _, far = PAGES
    with account() as of:
        of.store(far)
        of.table(0, far, 0)
        of.lock(near)
        of.unlock(UNLOCK)
        of.update(0)
        assert of.told == []
        of.lock(far)
        of.flush(FLUSH_ALL)
        of.unlock(UNLOCK)
        assert of.told == []


def test_the_accounts_ram_is_the_benchs() -> None:
    """Else nothing above would ever have been stored."""
    with account() as of:
        of.store(PAGES[0])
        assert of.dirty == {(PAGES[0], of.ever[PAGES[0]][0])}
        assert of.ever[PAGES[0]][0] > RAM_BASE

# SPDX-License-Identifier: GPL-2.0-or-later
"""The loop in the guest's time, its page, its latencies, and what a run's digest is made of."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.gpu.events import Reporter
from panthorlab.gpu.exact import wire
from panthorlab.gpu.exact.device import ExactGpu
from panthorlab.gpu.exact.digest import Digest
from panthorlab.gpu.exact.loop import INSTRUCTION_SECONDS, ExactLoop, LoopOfGpu, name_of
from panthorlab.gpu.exact.order import Orders
from panthorlab.gpu.exact.serve import TURN, TURN_LATENCIES, Exact
from panthorlab.gpu.exact.wire import DUE, Ends, Page, WireError, decode_held, encode_go_on
from panthorlab.gpu.generations.g610 import G610
from panthorlab.gpu.irq import IrqBlock
from panthorlab.gpu.latency import DEFAULT_SECONDS, STRATEGIES, Latencies, Override, format_overrides, parse_overrides
from panthorlab.gpu.params import Params
from panthorlab.gpu.targets import Target, format_targets, parse_targets
from panthorlab.gpu.trace import NoTrace

COUNTS = st.integers(0, 2**40)
KINDS = st.lists(st.sampled_from("abc"), max_size=40)
NAMES = st.text("abcXYZ. _<>", min_size=1, max_size=12)
BLOCKS = st.lists(st.integers(1, 200), min_size=1, max_size=60)


class Cpu:
    """Executes blocks as the plugin has QEMU do: both counters grow, and it is held where one says so."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("page")
        os.ftruncate(self.fd, wire.PAGE)
        self.page = Page(self.fd)
        self._words = self.page._words
        self.errors: list[Exception] = []

    def loop(self, strategy: str = "fixed", seed: int = 0, latencies: Latencies | None = None) -> ExactLoop:
        return ExactLoop(self.errors.append, self.page, latencies or Latencies(strategy, seed))

    def block(self, instructions: int) -> bool:
        """Whether the CPU is held in it."""
        self._words[1] += instructions
        self._words[2] += instructions
        return self._words[2] >= DUE

    def run(self, loop: ExactLoop, to: int, block: int = 7) -> None:
        loop.leave()
        self.run_on(loop, to - self.page.count, block)

    def run_on(self, loop: ExactLoop, instructions: int, block: int = 7) -> None:
        to = self.page.count + instructions
        while self.page.count < to:
            if self.block(min(block, to - self.page.count)):
                loop.held()

    def comes_to(self, loop: ExactLoop, address: int, instructions: int) -> None:
        """A block of the driver's code begins."""
        if self.block(instructions):
            loop.held()
        if self.page.watched == address:
            self._words[7] -= 1
            if not self._words[7]:
                self._words[6] = 0
                loop.held()

    def close(self) -> None:
        del self._words
        self.page.close()
        os.close(self.fd)


@pytest.fixture
def cpu() -> Iterator[Cpu]:
    cpu = Cpu()
    yield cpu
    assert not cpu.errors
    cpu.close()


# -- the wire -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**64 - 1))
def test_a_count_comes_as_it_was_sent(count: int) -> None:
    assert wire.decode_held(wire.encode_go_on(count)) == count


@given(st.binary(max_size=64).filter(lambda data: len(data) != wire.HELD.size))
def test_what_is_no_count_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        wire.decode_held(data)


@given(st.builds(Ends, *[st.integers(0, 2**31 - 1)] * 3))
def test_ends_are_read_as_they_are_written(ends: Ends) -> None:
    assert Ends.parse(str(ends)) == ends


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "1,2,-3", "a,b,c", "1, 2,3", "1,2,³"])
def test_other_ends_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="three file descriptors"):
        Ends.parse(text)


@given(COUNTS, st.none() | COUNTS, BLOCKS)
def test_the_cpu_is_held_at_the_first_block_that_gets_there(start: int, due: int | None, blocks: list[int]) -> None:
    cpu = Cpu()
    cpu._words[1] = start
    cpu.page.arm(due)
    held = None
    for size in blocks:
        if cpu.block(size):
            held = cpu.page.count
            break
    reached, expected = start, None
    for size in blocks:
        reached += size
        if due is not None and reached >= due:
            expected = reached
            break
    cpu.close()
    assert held == expected


# -- the loop -----------------------------------------------------------------------------------------------------


def seconds(instructions: int) -> float:
    return instructions * INSTRUCTION_SECONDS


def test_a_timer_runs_at_its_count_and_not_before(cpu: Cpu) -> None:
    loop, ran = cpu.loop(), list[int]()
    loop.call_later(seconds(100), lambda: ran.append(loop.count))
    cpu.run(loop, 99)
    assert not ran
    cpu.run(loop, 500, block=1)
    assert ran == [100]


def test_the_time_of_the_host_is_none(cpu: Cpu) -> None:
    loop = cpu.loop()
    before = loop.now()
    loop.step(0.01)
    assert loop.now() == before
    cpu.run(loop, 1000)
    loop.arrive()
    assert loop.now() == seconds(1000)


@given(st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=30), st.integers(1, 300))
def test_timers_run_in_order_and_equal_ones_as_they_were_asked_for(wanted: list[tuple[int, bool]], block: int) -> None:
    cpu = Cpu()
    loop, ran = cpu.loop(), list[int]()
    for number, (at, cancelled) in enumerate(wanted):
        timer = loop.call_later(seconds(at), partial(ran.append, number))
        if cancelled:
            timer.cancel()
    cpu.run(loop, 4000, block)
    left = [(at, number) for number, (at, cancelled) in enumerate(wanted) if not cancelled]
    assert ran == [number for _, number in sorted(left)]
    assert loop.next_due() is None
    assert not cpu.errors
    cpu.close()


def test_what_a_timer_asks_for_at_its_own_count_runs_there(cpu: Cpu) -> None:
    loop, ran = cpu.loop(), list[int]()

    def first() -> None:
        ran.append(loop.count)
        loop.call_later(0.0, lambda: ran.append(loop.count))

    loop.call_later(seconds(50), first)
    cpu.run(loop, 400, block=1)
    assert ran == [50, 50]


REACH_NS = 3_000_000
TARGETS = st.builds(
    Target, st.integers(0, 999), NAMES.map(str.strip).filter(bool), st.integers(1, 99), st.integers(0, 2**64 - 1),
    st.integers(1, 9999),
)  # fmt: skip


@given(st.lists(TARGETS, max_size=5))
def test_targets_are_read_as_they_are_written(targets: list[Target]) -> None:
    single = list({(one.window, one.kind, one.number): one for one in targets}.values())
    assert list(parse_targets(format_targets(single))) == single


def test_an_event_has_one_target() -> None:
    with pytest.raises(ValueError, match="1/irq job/3 is given twice"):
        parse_targets("1/irq job/3=ff:1,1/irq job/3=fe:2")


@pytest.mark.parametrize("text", ["x", "1/irq job=ff:1", "1/a/0=ff:1", "1/irq job/1=ff", "1/a/1=FG:1", "1/a/1=1:0"])
def test_other_targets_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not WINDOW/KIND/NUMBER=ADDRESS:BEGINS"):
        parse_targets(text)


class Aimed:
    """A run in which the driver's blocks 0x1000 and 0x2000 take turns, and the second event of a kind is moved."""

    def __init__(self, override: int, target: Target | None = None, least: int = 0, block: int = 40) -> None:
        self.cpu, self.ran, file = Cpu(), list[tuple[int, int]](), io.StringIO()
        overrides, targets = [Override(1, "k", 2, override)], [target] if target is not None else []
        latencies = Latencies("fixed", 1, overrides, targets=targets)
        loop = self.cpu.loop(latencies=latencies)
        loop.orders = Orders(file)
        self.cpu.run(loop, 100)
        loop.arrive()
        loop.orders.begin(latencies.begin(), 5, loop.count)
        for number in (1, 2, 3):
            loop.act_later("k", partial(self._came, loop, number), seconds(least))
        loop.leave()
        while self.cpu.page.count < 400_000 and len(self.ran) < 3:
            for address in (0x1000, 0x2000):
                self.cpu.comes_to(loop, address, block)
                self.cpu.run_on(loop, 20)
        self.watched = self.cpu.page.watched
        loop.orders.close()
        self.latencies = json.loads(file.getvalue())["latencies"]
        assert not self.cpu.errors
        self.cpu.close()

    def _came(self, loop: ExactLoop, number: int) -> None:
        self.ran.append((number, loop.count))


@given(st.integers(1, 300), st.integers(0, 30_000), st.integers(1, 200))
def test_a_target_brings_its_event_to_the_block_and_its_latency_is_then_that(
    begins: int, least: int, block: int
) -> None:
    run = Aimed(REACH_NS, Target(1, "k", 2, 0x2000, begins), least, block)
    at = dict(run.ran)[2]
    wanted = 100 + (begins - 1) * 2 * (block + 20) + block + 20 + block
    soonest = 100 + least
    assert at == wanted if wanted >= soonest else soonest <= at < soonest + block + 20
    kind, number, ns, count = run.latencies[1]
    assert (kind, number, count, run.watched) == ("k", 2, 100, 0)
    assert ns == 8 * (max(wanted, soonest) - 100)
    assert [one[2] for one in run.latencies[::2]] == [20_000, 20_000]
    again = Aimed(ns, None, least, block)
    assert sorted(again.ran) == sorted(run.ran)


def test_what_the_cpu_does_not_come_to_in_time_comes_by_its_latency(cpu: Cpu) -> None:
    for target in (Target(1, "k", 2, 0x3000), Target(1, "k", 2, 0x2000, 9999)):
        run = Aimed(48_000, target)
        assert dict(run.ran)[2] == dict(Aimed(48_000).ran)[2]
        assert run.watched == 0
        assert run.latencies[1][2] == 48_000


def test_a_target_of_another_window_or_event_moves_nothing() -> None:
    plain = Aimed(REACH_NS)
    for target in (Target(2, "k", 2, 0x1000), Target(1, "k", 4, 0x1000), Target(1, "j", 2, 0x1000)):
        assert Aimed(REACH_NS, target).ran == plain.ran


def test_soon_is_a_latency_and_each_kind_has_its_own(cpu: Cpu) -> None:
    def ends(more: int) -> int:
        loop, ran = cpu.loop("uniform", 5), list[int]()
        gpu = LoopOfGpu(loop, 0)
        for _ in range(more):
            gpu.add_slice(lambda: None)
        gpu.call_soon(lambda: ran.append(loop.count))
        start = cpu.page.count
        cpu.run(loop, start + 20_000, block=1)
        return ran[0] - start

    assert ends(0) > 0
    assert ends(3) == ends(0)  # slices before it have not moved it


def test_a_slice_waits_for_the_instructions_before_it(cpu: Cpu) -> None:
    loop, ran = cpu.loop("fixed"), dict[int, int]()

    def note(after: int) -> None:
        ran[after] = loop.count

    for after in (0, 2048):
        LoopOfGpu(loop, 0).add_slice(partial(note, after), after)
    start = cpu.page.count
    cpu.run(loop, start + 300_000, block=1)
    assert ran == {0: start + 2500, 2048: start + 2048 * 125}


def test_an_exception_is_told_and_the_rest_still_runs(cpu: Cpu) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    loop, ran = cpu.loop(), list[int]()
    loop.call_later(seconds(10), fail)
    loop.call_later(seconds(10), lambda: ran.append(1))
    cpu.run(loop, 100)
    assert ran == [1]
    assert isinstance(cpu.errors.pop(), ZeroDivisionError)


def test_a_kind_is_the_function_behind_a_call() -> None:
    irq = IrqBlock("job")
    assert name_of(partial(partial(irq.set, 1))) == "IrqBlock.set"
    assert name_of(irq._update) == "IrqBlock._update"


# -- latencies ----------------------------------------------------------------------------------------------------


ROWS = sorted({*STRATEGIES} - {"pct"})
"""Strategies in which an event of one kind says nothing of another kind's."""


@given(st.sampled_from(ROWS), st.integers(0, 2**32), st.lists(st.sampled_from("abc"), max_size=40))
def test_latencies_repeat_and_kinds_do_not_move_each_other(name: str, seed: int, kinds: list[str]) -> None:
    mixed, alone = Latencies(name, seed), {kind: Latencies(name, seed) for kind in "abc"}
    drawn = [mixed.next(kind) for kind in kinds]
    assert drawn == [alone[kind].next(kind) for kind in kinds]
    assert all(1e-6 <= latency <= 3e-3 for latency in drawn)


def test_another_seed_has_other_latencies_unless_they_are_fixed() -> None:
    moved = {name: Latencies(name, 1).next("irq job") != Latencies(name, 2).next("irq job") for name in STRATEGIES}
    assert moved == {"uniform": True, "log-uniform": True, "pct": True, "fixed": False}


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc"), st.integers(1, 4)), unique=True),
    st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=3),
)
def test_which_overrides_never_came_is_known(asked: list[tuple[int, str, int]], windows: list[list[str]]) -> None:
    overrides = [Override(*event, 5000) for event in asked]
    latencies, came = Latencies("fixed", 1, overrides), set[tuple[int, str, int]]()
    for number, kinds in enumerate(windows, 1):
        latencies.begin()
        for place, kind in enumerate(kinds):
            event = (number, kind, kinds[: place + 1].count(kind))
            came.add(event)
            assert (latencies.next(kind) == 5e-6) == (event in asked)
        latencies.end()
    assert {(one.window, one.kind, one.number) for one in latencies.unreached} == set(asked) - came


# -- turns of several CPUs --------------------------------------------------------------------------------------


def always_on(host: socket.socket) -> None:
    """The other side of the beats: lets the guest go on at once."""
    while host.recv(wire.HELD.size):
        host.send(wire.encode_next_beat(1))


@pytest.mark.parametrize("cpus", [1, 2])
def test_turns_of_several_cpus_end_where_the_seed_says(cpus: int, cpu: Cpu) -> None:
    end, block, ended = 2_500_000, 100, list[int]()
    latencies = Latencies("uniform", 5, everywhere=True)
    lengths = [latencies.next(TURN) * TURN_LATENCIES / INSTRUCTION_SECONDS for _ in range(1000)]
    latencies = Latencies("uniform", 5, everywhere=True)
    host, beats = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sync, held = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    exact = Exact(Ends(os.dup(cpu.fd), held.detach(), beats.detach()), latencies, Digest(), cpu.errors.append)
    cpu.page._words[5] = 0 if cpus == 1 else cpus
    thread = threading.Thread(target=always_on, args=[host])
    thread.start()
    exact.begin()
    while cpu.page.count < end:
        if cpu.block(block):
            sync.send(encode_go_on(cpu.page.count))
            exact.loop.step(60)
            assert decode_held(sync.recv(wire.HELD.size)) == cpu.page.count
        if cpu.page._words[4]:
            cpu.page._words[4] = 0
            ended.append(cpu.page.count)
    exact.close()
    thread.join(60)
    host.close()
    sync.close()
    if cpus == 1:
        assert not ended
    else:
        assert len(ended) > 20
        for (begin, now), length in zip(pairwise(ended), lengths, strict=False):
            assert length <= now - begin < length + 2 * block


# -- what is told -------------------------------------------------------------------------------------------------


def test_equal_events_are_one_by_the_guests_time() -> None:
    now, events = 0.0, io.StringIO()
    reporter = Reporter(events, io.StringIO(), lambda: now)
    for now in (0.0, 0.0005, 0.002, 0.004):  # noqa: B007 - the reporter reads it
        reporter.event("check", "the same")
    assert [json.loads(line)["at"] for line in events.getvalue().splitlines()] == [0.0, 0.002, 0.004]


ACTS: dict[str, Callable[[Digest], None]] = {
    "same": lambda digest: digest.read(5, 0x10, 7),
    "later": lambda digest: digest.read(6, 0x10, 7),
    "elsewhere": lambda digest: digest.read(5, 0x14, 7),
    "value": lambda digest: digest.read(5, 0x10, 8),
    "write": lambda digest: digest.write(5, 0x10, 7),
    "interrupt": lambda digest: digest.interrupt(5, "job"),
    "line": lambda digest: digest.interrupt(5, "mmu"),
    "nothing": lambda _digest: None,
}


def test_whatever_differs_gives_another_digest() -> None:
    def digest(act: Callable[[Digest], None]) -> str:
        made = Digest()
        act(made)
        return made.hexdigest()

    assert len({digest(act) for act in ACTS.values()}) == len(ACTS)
    assert digest(ACTS["same"]) == digest(ACTS["same"])


def test_accesses_are_written_down_if_asked_for() -> None:
    record = io.StringIO()
    digest = Digest(record)
    digest.read(1, 0x10, 0xABC)
    digest.write(2, 0x20, 1)
    digest.interrupt(3, "job")
    digest.timer(4, "Mcu._serve")
    digest.blocks(5, 0)  # they were not asked for
    digest.blocks(6, 0xFF)
    assert record.getvalue() == "R 1 10 abc\nW 2 20 1\nI 3 job\nT 4 Mcu._serve\nB 6 00000000000000ff\n"
    silent = Digest()
    silent.timer(4, "Mcu._serve")
    silent.blocks(6, 0xFF)
    assert (digest.recording, silent.recording) == (True, False)
    assert silent.hexdigest() == Digest().hexdigest(), "what parts runs must not also tell them apart"


def test_a_message_is_carried_by_whoever_carries() -> None:
    irq, carried = IrqBlock("job"), list[IrqBlock]()
    irq.carry = carried.append
    irq.write_mask(1)
    irq.set(1)
    assert not carried  # nobody listens yet
    irq.connect(os.eventfd(0, os.EFD_NONBLOCK))
    assert carried == [irq]
    assert irq.fd is not None
    with pytest.raises(BlockingIOError):
        os.eventfd_read(irq.fd)  # it has not arrived
    irq.connect(None)


def test_the_last_event_is_told_in_words() -> None:
    digest, names = Digest(), {0x30: "GPU_CMD"}
    assert digest.describe_last(names.__getitem__) == "nothing was done to the GPU yet"
    cases: list[tuple[Callable[[], None], str]] = [
        (lambda: digest.read(5, 0x30, 7), "GPU_CMD read as 0x7 at instruction 5"),
        (lambda: digest.write(6, 0x30, 1), "GPU_CMD written with 0x1 at instruction 6"),
        (lambda: digest.interrupt(9, "mmu"), "interrupt mmu at instruction 9"),
    ]
    for record, words in cases:
        record()
        assert digest.describe_last(names.__getitem__) == words


# -- windows, overrides, and the order of an iteration -----------------------------------------------------------


@given(st.sampled_from(sorted(STRATEGIES)), st.integers(0, 2**32), st.integers(1, 9), KINDS)
def test_a_window_has_the_latencies_of_its_seed(name: str, seed: int, window: int, kinds: list[str]) -> None:
    later, first = Latencies(name, seed), Latencies(name, seed + window - 1)
    later.next("outside")
    for _ in range(window):
        assert later.begin()
    first.begin()
    assert [later.next(kind) for kind in kinds] == [first.next(kind) for kind in kinds]


@given(st.sampled_from(sorted(STRATEGIES)), st.integers(0, 99), KINDS, st.data())
def test_an_override_moves_its_event_and_no_other(name: str, seed: int, kinds: list[str], data: st.DataObject) -> None:
    events = [(kind, kinds[: place + 1].count(kind)) for place, kind in enumerate(kinds)]
    chosen = data.draw(st.lists(st.sampled_from(events), unique=True)) if events else []
    overrides = [Override(1, kind, number, 123_456 + turn) for turn, (kind, number) in enumerate(chosen)]
    plain, moved = Latencies(name, seed), Latencies(name, seed, overrides)
    for latencies in (plain, moved):
        latencies.begin()
    for event in events:
        ns = round(moved.next(event[0]) * 1e9)
        default = round(plain.next(event[0]) * 1e9)
        assert ns == (123_456 + chosen.index(event) if event in chosen else default)
    plain.begin()
    moved.begin()
    assert [moved.next(kind) for kind in kinds] == [plain.next(kind) for kind in kinds]  # another window


@given(st.sampled_from(sorted(STRATEGIES)), st.integers(0, 99), KINDS)
def test_drawn_latencies_made_explicit_are_the_same(name: str, seed: int, kinds: list[str]) -> None:
    drawn = Latencies(name, seed)
    drawn.begin()
    overrides, values = [], []
    for kind in kinds:
        values.append(drawn.next(kind))
        overrides.append(Override(1, kind, drawn.number(kind), round(values[-1] * 1e9)))
    explicit = Latencies("fixed", 7, parse_overrides(format_overrides(overrides)), everywhere=False)
    explicit.begin()
    assert [explicit.next(kind) for kind in kinds] == values


@given(st.lists(st.builds(Override, st.integers(0, 99), NAMES, st.integers(1, 9999), st.integers(0, 10**9))))
def test_overrides_are_read_as_they_are_written(overrides: list[Override]) -> None:
    single = list({(one.window, one.kind, one.number): one for one in overrides}.values())
    assert list(parse_overrides(format_overrides(single))) == single


@pytest.mark.parametrize("text", ["x", "1/irq job=3", "1/irq job/0=3", "1/a/1=-3", "1/a/1=1,1/a/1=2", "1/a/1=1000001"])
def test_other_overrides_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not WINDOW|twice|at most"):
        parse_overrides(text)


def test_outside_iterations_nothing_is_drawn_if_so_asked() -> None:
    latencies = Latencies("uniform", 3, everywhere=False)
    outside = [latencies.next("a")]
    latencies.begin()
    within = latencies.next("a")
    latencies.end()
    outside.append(latencies.next("a"))
    assert outside == [DEFAULT_SECONDS] * 2
    assert within != DEFAULT_SECONDS


def test_pct_has_few_change_points_and_after_one_its_kind_is_slowest() -> None:
    for seed in range(50):
        latencies = Latencies("pct", seed, length=30)
        latencies.begin()
        rows = {kind: [latencies.next(kind) for _ in range(10)] for kind in "abc"}
        changes = [
            (row[turn], row[turn + 1]) for row in rows.values() for turn in range(9) if row[turn] != row[turn + 1]
        ]
        assert len(changes) <= 2
        assert all(after >= 500e-6 for _, after in changes)


def test_only_kinds_that_are_asked_for_are_drawn() -> None:
    some, every = Latencies("uniform", 3, kinds=("irq", "slice A")), Latencies("uniform", 3)
    for kind in ("irq job", "irq mmu", "slice A.b"):
        assert some.next(kind) == every.next(kind)
    assert {some.next(kind) for kind in ("soon A.b", "slice B")} == {DEFAULT_SECONDS}


def test_in_a_plain_window_only_overrides_move() -> None:
    latencies = Latencies("uniform", 3, [Override(2, "a", 2, 77_000)], plain=2)
    drawn = []
    for _ in range(3):
        latencies.begin()
        drawn.append([latencies.next("a"), latencies.next("a")])
    other = Latencies("uniform", 3)
    assert drawn[1] == [DEFAULT_SECONDS, 77e-6]
    for window in (0, 1, 2):
        other.begin()
        if window != 1:
            assert drawn[window] == [other.next("a"), other.next("a")]


def order_file(act: Callable[[Orders], None]) -> list[dict[str, Any]]:
    file = io.StringIO()
    orders = Orders(file)
    act(orders)
    orders.close()
    return [json.loads(line) for line in file.getvalue().splitlines()]


def iteration(*texts: str, at: int = 0) -> dict[str, Any]:
    def act(orders: Orders) -> None:
        orders.note("R OUTSIDE", 1)
        orders.begin(1, 0xABC, 2)
        for count, text in enumerate(texts, at):
            orders.note(text, count)
        orders.end(0xABC, 99)
        orders.note("R OUTSIDE", 100)

    (only,) = order_file(act)
    return only


def test_an_order_has_neither_counts_nor_polls() -> None:
    one = iteration("W A", "R B", "I job")
    assert (one["mark"], one["begin"], one["end"]) == (0xABC, 2, 99)
    assert iteration("W A", "R B", "R B", "R B", "I job", at=40)["digest"] == one["digest"]
    assert [text for text, _ in one["events"]] == ["W A", "R B", "I job"]


@given(st.lists(st.sampled_from(["W A", "R B", "I job", "D x"]), max_size=12), st.integers(0, 10))
def test_another_order_has_another_digest(texts: list[str], place: int) -> None:
    plain = [text for at, text in enumerate(texts) if not at or text != texts[at - 1]]
    if place + 1 >= len(plain) or (place + 2 < len(plain) and plain[place] == plain[place + 2]):
        return
    swapped = [*plain[:place], plain[place + 1], plain[place], *plain[place + 2 :]]
    assert iteration(*swapped)["digest"] != iteration(*plain)["digest"]


def test_an_iteration_that_does_not_end_is_written_down_as_such() -> None:
    def act(orders: Orders) -> None:
        orders.begin(1, 5, 10)
        orders.note("W A", 11)
        orders.latency("irq job", 1, 20_000, 12)
        orders.end(6, 13)  # of another one
        orders.begin(2, 7, 20)

    first, second = order_file(act)
    assert (first["end"], first["events"], first["latencies"]) == (None, [["W A", 11]], [["irq job", 1, 20_000, 12]])
    assert (second["window"], second["end"]) == (2, None)


def test_what_an_action_writes_into_memory_is_in_the_order(cpu: Cpu) -> None:
    file = io.StringIO()
    loop = cpu.loop()
    loop.orders = Orders(file)
    gpu = ExactGpu(G610, Params(), Reporter(None, io.StringIO()), NoTrace(), loop, 0, Digest())
    flush = next(register.offset for register in G610.registers if register.name == "GPU_CMD")

    def store() -> None:
        gpu.ram.stores += 1

    gpu.mark(3, begin=True)
    gpu.write(flush, 0)
    gpu.chip.loop.call_soon(store)
    gpu.chip.loop.call_soon(lambda: None)  # writes nothing
    cpu.run(loop, 10_000, block=1)
    gpu.mark(3, begin=False)
    (line,) = [json.loads(text) for text in file.getvalue().splitlines()]
    action = store.__qualname__
    assert [text for text, _ in line["events"]] == ["W GPU_CMD", f"D {action}"]
    assert line["events"][1][1] == 2500
    assert line["latencies"][0] == [f"soon {action}", 1, 20_000, 0]

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
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.gpu.events import Reporter
from panthorlab.gpu.exact import wire
from panthorlab.gpu.exact.digest import Digest
from panthorlab.gpu.exact.loop import INSTRUCTION_SECONDS, ExactLoop, name_of
from panthorlab.gpu.exact.serve import Exact
from panthorlab.gpu.exact.turns import LONGEST, SHORTEST, turns
from panthorlab.gpu.exact.wire import DUE, Ends, Page, WireError, decode_held, encode_go_on
from panthorlab.gpu.irq import IrqBlock
from panthorlab.gpu.latency import STRATEGIES, Latencies

COUNTS = st.integers(0, 2**40)
BLOCKS = st.lists(st.integers(1, 200), min_size=1, max_size=60)


class Cpu:
    """Executes blocks as the plugin has QEMU do: both counters grow, and it is held where one says so."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("page")
        os.ftruncate(self.fd, wire.PAGE)
        self.page = Page(self.fd)
        self._words = self.page._words
        self.errors: list[Exception] = []

    def loop(self, strategy: str = "fixed", seed: int = 0) -> ExactLoop:
        return ExactLoop(self.errors.append, self.page, Latencies(strategy, seed))

    def block(self, instructions: int) -> bool:
        """Whether the CPU is held in it."""
        self._words[1] += instructions
        self._words[2] += instructions
        return self._words[2] >= DUE

    def run(self, loop: ExactLoop, to: int, block: int = 7) -> None:
        loop.leave()
        while self.page.count < to:
            if self.block(min(block, to - self.page.count)):
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


def test_soon_is_a_latency_and_each_kind_has_its_own(cpu: Cpu) -> None:
    def ends(more: int) -> int:
        loop, ran = cpu.loop("uniform", 5), list[int]()
        for _ in range(more):
            loop.add_slice(lambda: None)
        loop.call_soon(lambda: ran.append(loop.count))
        start = cpu.page.count
        cpu.run(loop, start + 20_000, block=1)
        return ran[0] - start

    assert ends(0) > 0
    assert ends(3) == ends(0)  # slices before it have not moved it


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


@given(st.sampled_from(sorted(STRATEGIES)), st.integers(0, 2**32), st.lists(st.sampled_from("abc"), max_size=40))
def test_latencies_repeat_and_kinds_do_not_move_each_other(name: str, seed: int, kinds: list[str]) -> None:
    mixed, alone = Latencies(name, seed), {kind: Latencies(name, seed) for kind in "abc"}
    drawn = [mixed.next(kind) for kind in kinds]
    assert drawn == [alone[kind].next(kind) for kind in kinds]
    assert all(1e-6 <= latency <= 3e-3 for latency in drawn)


def test_another_seed_has_other_latencies_unless_they_are_fixed() -> None:
    moved = {name: Latencies(name, 1).next("irq job") != Latencies(name, 2).next("irq job") for name in STRATEGIES}
    assert moved == {"uniform": True, "log-uniform": True, "fixed": False}


# -- turns of several CPUs --------------------------------------------------------------------------------------


@given(st.sampled_from(list(STRATEGIES)), st.integers(0, 1 << 63))
def test_turns_repeat_and_are_within_their_bounds(name: str, seed: int) -> None:
    lengths = list(islice(turns(name, seed), 50))
    assert list(islice(turns(name, seed), 50)) == lengths
    assert all(SHORTEST <= length <= LONGEST for length in lengths)


def test_another_seed_has_other_turns_unless_they_are_fixed() -> None:
    moved = {name: next(turns(name, 1)) != next(turns(name, 2)) for name in STRATEGIES}
    assert moved == {"uniform": True, "log-uniform": True, "fixed": False}


def always_on(host: socket.socket) -> None:
    """The other side of the beats: lets the guest go on at once."""
    while host.recv(wire.HELD.size):
        host.send(b"g")


@pytest.mark.parametrize("cpus", [1, 2])
def test_turns_of_several_cpus_end_where_the_seed_says(cpus: int, cpu: Cpu) -> None:
    end, block, ended = 2_500_000, 100, list[int]()
    lengths = [length / INSTRUCTION_SECONDS for length in islice(turns("uniform", 5), 1000)]
    host, beats = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sync, held = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    exact = Exact(Ends(os.dup(cpu.fd), held.detach(), beats.detach()), "uniform", 5, Digest(), cpu.errors.append)
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
        for begin, now, length in zip([0, *ended], ended, lengths, strict=False):
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

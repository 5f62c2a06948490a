# SPDX-License-Identifier: GPL-2.0-or-later
"""The small parts: interrupt line, PCI configuration space, parameters, firmware image, trace, events, RAM, loop."""

from __future__ import annotations

import io
import json
import os
import select
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.gpu import pci
from panthorlab.gpu.events import Histogram, Reporter
from panthorlab.gpu.fw import image, suspend
from panthorlab.gpu.generation import Generation
from panthorlab.gpu.generations.g610 import G610
from panthorlab.gpu.irq import IrqBlock
from panthorlab.gpu.loop import HostLoop
from panthorlab.gpu.params import Params, describe, stream_params
from panthorlab.gpu.paramtable import PARAMS
from panthorlab.gpu.ram import GuestRam, NoRamError
from panthorlab.gpu.trace import ChromeTrace

# --- interrupts


IRQ_STEPS = st.tuples(st.sampled_from(["set", "drop", "write_clear", "write_mask"]), st.integers(0, 7))


@given(st.lists(IRQ_STEPS, max_size=30))
def test_no_rising_edge_is_lost(steps: list[tuple[str, int]]) -> None:
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    irq = IrqBlock("job")
    irq.connect(os.dup(fd))
    try:
        for name, bits in steps:
            before = bool(irq.raw & irq.mask)
            getattr(irq, name)(bits)
            after = bool(irq.raw & irq.mask)
            assert irq.level is after
            try:
                messages = os.eventfd_read(fd)
            except BlockingIOError:
                messages = 0
            # an edge makes one message; a CLEAR that leaves the line high makes one, too, as a level line would
            assert messages == (1 if after and (not before or name == "write_clear") else 0)
    finally:
        irq.connect(None)
        os.close(fd)


def test_a_line_that_is_high_is_signalled_when_the_vector_is_connected() -> None:
    irq = IrqBlock("gpu")
    irq.write_mask(1)
    irq.set(1)
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    irq.connect(os.dup(fd))
    assert os.eventfd_read(fd) == 1
    irq.connect(None)
    os.close(fd)


# --- PCI


def test_config_space_is_what_the_shim_binds_to() -> None:
    config = pci.ConfigSpace()
    assert config.read(0, 4) == struct.pack("<HH", 0x13B5, 0x0C5F)
    assert config.read(9, 3) == b"\0\x80\x03"
    assert config.read(config.read(0x34, 1)[0], 1) == b"\x11"


@given(st.lists(st.tuples(st.integers(0, 300), st.binary(min_size=1, max_size=8)), max_size=20))
def test_config_writes_change_only_writable_bits(writes: list[tuple[int, bytes]]) -> None:
    config = pci.ConfigSpace()
    for offset, data in writes:
        config.write(offset, data)
    assert config.read(0, 4) == struct.pack("<HH", 0x13B5, 0x0C5F)
    assert len(config.read(0, 256)) == 256
    bar0 = int.from_bytes(config.read(0x10, 4), "little")
    assert bar0 % pci.BAR_SIZES[0] == 0
    assert config.read(0x42, 2)[0] == pci.VECTORS - 1
    config.reset()
    assert config.read(0, 256) == pci.ConfigSpace().read(0, 256)


# --- parameters


def test_parameters_from_the_command_line() -> None:
    params = Params.parse(["writeout.delay_ms=0.5", "gpu.writeout.on=suspend", "clock.hz=0x100000", "ack.first=1"])
    assert params.number("writeout.delay_ms") == 0.5
    assert params.word("writeout.on") == "suspend"
    assert params.integer("clock.hz") == 0x100000
    assert params.changed().keys() == {"writeout.delay_ms", "writeout.on", "clock.hz", "ack.first"}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("writeout.delay_ms", "NAME=VALUE"),
        ("nothing=1", "no parameter"),
        ("writeout.delay_ms=x", "a number"),
        ("ack.first=0.5", "whole number"),
        ("ack.first=2", "between 0 and 1"),
        ("writeout.on=never", "one of"),
        ("writeout.delay_ms=-1", "between"),
        ("writeout.delay_ms=nan", "between"),
    ],
)
def test_wrong_parameters(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Params.parse([word])


def test_every_default_is_legal_and_described() -> None:
    text = describe()
    for param in PARAMS:
        assert param.parse(str(param.default)) == param.default
        assert param.name in text
        assert len(param.meaning) > 20
    made = stream_params(Params.parse(["run.time_us=5", "run.tiling_us=2", "cs.endpoint_slot=7"]), 8)
    assert made.tiling_seconds == pytest.approx(7e-6)
    assert made.initial_endpoint_slot == 7
    with pytest.raises(ValueError, match=r"cs\.other_slot must be below 4"):
        stream_params(Params.parse(["cs.other_slot=4"]), 4)


# --- firmware image


def test_image_passes_the_checks_of_the_driver() -> None:
    """panthor_fw_load, panthor_fw_load_section_entry (6.12.117), 7.x's build information."""
    data = image.build(G610.layout)
    magic, _, major, _, _, _, size = struct.unpack_from("<IBBHIII", data)
    assert (magic, major) == (0xC3F13A6E, 0)
    assert size <= len(data)
    at, types = 20, []
    while at < size:
        (head,) = struct.unpack_from("<I", data, at)
        length = head >> 8 & 0xFF
        assert length % 4 == 0
        assert at + length <= size
        types.append(head & 0xFF)
        if head & 0xFF == 0:
            flags, start, end, data_start, data_end = struct.unpack_from("<5I", data, at + 4)
            assert flags & ~0xC000003F == 0
            assert flags & 1 << 30
            assert (start, end % 4096) == (0x04000000, 0)
            assert data_start <= data_end <= len(data)
        else:
            assert head & 1 << 31, "6.12 refuses unknown entries that are not optional"
            meta, meta_size = struct.unpack_from("<II", data, at + 4)
            assert data[meta : meta + meta_size].startswith(b"git_sha: ")
            assert data[meta + meta_size - 1] == 0
        at += length
    assert types == [0, 6]
    assert at == size


def test_suspend_buffer_that_holds_no_group(generation: Generation) -> None:
    buffer = suspend.SuspendBuffer(generation.layout.streams, generation.instructions)
    with pytest.raises(ValueError, match="no group"):
        buffer.unpack(bytes(buffer.size))
    empty = suspend.pack({})
    assert buffer.unpack(empty.ljust(buffer.size, b"\xff")) == {}
    with pytest.raises(ValueError, match=r".+"):
        buffer.unpack(empty[:8] + b"\x03\0\0\0" + bytes(64))


# --- RAM


def test_ram_of_several_maps(tmp_path: Path) -> None:
    file = tmp_path / "ram"
    file.write_bytes(bytes(0x4000))
    ram = GuestRam()
    with file.open("r+b") as f:
        ram.map(0x8000_0000, f.fileno(), 0x2000, 0x2000, writable=True)
        ram.map(0x4000_0000, f.fileno(), 0, 0x1000, writable=False)
        for base, size in ((0x8000_1000, 0x1000), (0x4000_0000, 0x1000), (0x9000_0000, 0), (0x9000_0800, 0x1000)):
            with pytest.raises(ValueError, match=r"overlaps|whole pages"):
                ram.map(base, f.fileno(), 0, size, writable=True)
    region = ram.region(0x8000_1FFF)
    region.bytes[0x1008:0x1010] = b"\1\2\3\4\5\6\7\x08"
    assert ram.read_quad(0x8000_1008) == 0x0807060504030201
    assert file.read_bytes()[0x3008:0x3010] == b"\1\2\3\4\5\6\7\x08"
    assert ram.size == 0x3000
    for hole in (0x3FFF_FFFF, 0x4000_1000, 0x8000_2000, 0):
        with pytest.raises(NoRamError):
            ram.region(hole)
    assert ram.unmap(0x8000_0000, 0x1000) == 0
    assert ram.unmap(0x8000_0000, 0x2000) == 0x2000
    with pytest.raises(NoRamError):
        ram.region(0x8000_0000)
    ram.clear()
    assert ram.size == 0


# --- trace and events


class KeptOpen(io.StringIO):
    def close(self) -> None: ...


TRACE_STEPS = st.tuples(st.sampled_from(["begin", "end", "instant"]), st.sampled_from(["AS 1", "CSG 0"]))


@given(st.lists(TRACE_STEPS, max_size=30))
def test_trace_is_valid_and_balanced(steps: list[tuple[str, str]]) -> None:
    file = KeptOpen()
    trace = ChromeTrace(file)
    for what, track in steps:
        if what == "begin":
            trace.begin(track, 'a "name"', va="0x1")
        elif what == "end":
            trace.end(track)
        else:
            trace.instant(track, "ä")
    trace.close()
    trace.instant("AS 1", "after the end")
    events = json.loads(file.getvalue())
    depth: dict[int, int] = {}
    for event in events:
        change = {"B": 1, "E": -1}.get(event["ph"], 0)
        depth[event.get("tid", 0)] = depth.get(event.get("tid", 0), 0) + change
        assert depth[event.get("tid", 0)] >= 0
    assert not any(depth.values())
    names = {e["args"]["name"] for e in events if e["name" if "name" in e else "ph"] == "thread_name"}
    assert names == {track for what, track in steps if what != "end"} | {
        track
        for i, (what, track) in enumerate(steps)
        if what == "end" and any(w == "begin" and t == track for w, t in steps[:i])
    }


def test_events_are_one_line_each_the_log_one_line_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    events, log = io.StringIO(), io.StringIO()
    now = 1000.0
    monkeypatch.setattr("panthorlab.gpu.events.time.monotonic", lambda: now)
    reporter = Reporter(events, log)
    for _ in range(3):
        reporter.unmodelled("read 0x44c", "read of register 0x44c")
        now += 0.0011
    for _ in range(50):
        reporter.unmodelled("read 0x450", "read of register 0x450")
        now += 0.0001
    lines = [json.loads(line) for line in events.getvalue().splitlines()]
    assert [line["kind"] for line in lines] == ["unmodelled"] * len(lines)
    assert [line["text"] for line in lines].count("read of register 0x44c") == 3
    assert [line["text"] for line in lines].count("read of register 0x450") == 5, "one a millisecond"
    assert len(log.getvalue().splitlines()) == 2
    assert lines[0]["time"] < lines[-1]["time"] <= now


def test_histogram() -> None:
    histogram = Histogram()
    for micros in (1, 3, 3, 900, 5_000_000):
        histogram.add(micros / 1e6)
    assert histogram.median_us() == 5
    assert histogram.as_json()["count"] == 5


# --- the loop


class Recorder:
    """A loop in virtual time."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.late: list[float] = []
        self.now = 0.0
        self.loop = HostLoop(self.errors.append, self.late.append, burst=0.002, share=0.5, now=lambda: self.now)
        self.seen: list[str] = []
        self.fds: list[int] = []  # what would end a wait

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.loop.due_in()) is not None and self.now + due <= end:
            if not select.select(self.fds, (), (), 0)[0]:
                self.now += due
            self.loop.step(0)


def test_order_and_errors() -> None:
    r = Recorder()
    r.loop.call_later(0.002, lambda: r.seen.append("later"))
    r.loop.call_later(0.001, lambda: r.seen.append("sooner"))
    r.loop.call_later(0.0005, lambda: r.seen.append("cancelled")).cancel()
    r.loop.call_soon(lambda: r.seen.append("soon"))
    r.loop.call_soon(lambda: [][1])
    r.run(1)
    assert r.seen == ["soon", "sooner", "later"]
    assert [type(e) for e in r.errors] == [IndexError]


def test_a_busy_stream_gets_its_share_and_does_not_hold_up_a_reader() -> None:
    r = Recorder()
    read, write = os.pipe()
    asked: list[float] = []
    waited: list[float] = []
    spent = 0.0

    def work() -> None:
        nonlocal spent
        r.now += 0.0002
        spent += 0.0002
        r.loop.add_slice(work)

    def ask() -> None:
        os.write(write, b"x")
        asked.append(r.now)

    def answer() -> None:
        os.read(read, 1)
        waited.append(r.now - asked[-1])

    r.loop.add_reader(read, answer)
    r.fds.append(read)
    r.loop.add_slice(work)
    for i in range(20):
        r.loop.call_later(0.005 * i, ask)
    r.run(0.1)
    os.close(read)
    os.close(write)
    assert len(waited) == 20
    assert max(waited) <= 0.00021, "a register access waits for one slice at most"
    assert spent / 0.1 == pytest.approx(0.5, abs=0.05)


def test_a_late_timer_is_reported() -> None:
    r = Recorder()
    r.loop.call_later(0.001, lambda: r.seen.append("late"))
    r.now = 0.03
    r.run(0)
    assert r.seen == ["late"]
    assert r.late == [pytest.approx(0.029)]


def test_run_ends_when_it_is_stopped() -> None:
    errors: list[Exception] = []
    loop = HostLoop(errors.append, lambda _late: None)
    loop.call_later(0.002, loop.stop)
    loop.run()
    assert errors == []


def test_an_iteration_is_marked_in_the_vendor_capability() -> None:
    config = pci.ConfigSpace()
    mark = pci.mark_of("kernel1.1.1-7")
    assert 0 <= mark < pci.MARK_BEGIN
    config.write(pci.MARK, (mark | pci.MARK_BEGIN).to_bytes(4, "little"))
    assert config.mark == mark | pci.MARK_BEGIN
    assert (config.clock, pci.mark_of("kernel1.1.1-8") == mark) == (pci.CLOCK_UNKNOWN, False)


def test_the_clock_register_is_in_a_vendor_capability() -> None:
    config = pci.ConfigSpace()
    first = config.read(0x34, 1)[0]
    second = config.read(first + 1, 1)[0]
    assert config.read(second, 3) == b"\x09\x00\x0c"
    assert config.clock == 0
    config.write(second + 4, b"\xff\xff\xff\xff")
    assert (config.clock, config.read(second + 5, 3)) == (3, b"\0\0\0")
    config.reset()
    assert config.clock == 0

# SPDX-License-Identifier: GPL-2.0-or-later
"""From a kernel's trace to a recording: what it may look like, what is refused, and that nothing is lost silently."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.mmio.assemble import assemble, lost_on
from panthorlab.mmio.ftrace import (
    READ,
    WRITE,
    LostEvents,
    TracedAccess,
    TraceError,
    TraceEvent,
    parse_access,
    parse_trace,
)
from panthorlab.mmio.places import (
    MappedRegisters,
    Mapping,
    Registers,
    driver_text,
    event_filter,
    find_mappings,
    find_registers,
)
from panthorlab.mmio.recording import (
    OtherEvent,
    Recording,
    RecordingError,
    RecordingHead,
    RegisterAccess,
    parse,
    render,
)

BASE = 0xFFFF800082000000
KNOWN = (Mapping(BASE, BASE + 0x200000, 0),)


def places() -> MappedRegisters:
    return MappedRegisters(Registers(0xFB000000, 0x200000), KNOWN, "panthor")


HANDLER = "panthor_job_irq_threaded_handler+0x5c/0x1a0 [panthor]"
TRACE = "\n".join([
    "# tracer: nop",
    "#",
    "# entries-in-buffer/entries-written: 5/5   #P:8",
    f"            init-1       [000] .....     2.000001: {READ}: panthor_gpu_init+0x44/0x2c0 -> "
    f"panthor_gpu_init+0x44/0x2c0 width=32 val=0xa8670005 addr={BASE:#x}",
    f" irq/45-panthor--812     [003] d..1.     2.000010: {WRITE}: irq_thread_fn+0x28/0xa8 -> "
    f"{HANDLER} width=32 val=0x0 addr={BASE + 0x1008:#x}",
    "   kworker/u8:2-33      (-------) [001] ..... 2.000011: drm_sched_job: job arrived",
    "          <idle>-0       [000] d.h1.     2.000012: irq_handler_entry: irq=45 name=panthor-job",
    f"          ttyd x-9       [000] d.h1.     2.000013: {WRITE}: uart+0x4/0x8 -> uart+0x4/0x8 "
    "width=8 val=0x41 addr=0xffff800080000000",
    "",
])  # fmt: skip


def test_a_trace_becomes_accesses_and_other_events() -> None:
    lines, whole = assemble(TRACE.splitlines(), places(), {0: "entries: 5\noverrun: 0\ndropped events: 0\n"})
    assert whole
    assert lines == (
        RegisterAccess(0, 0, "init-1", False, 0, 0xA8670005, "panthor_gpu_init+0x44"),
        RegisterAccess(9, 3, "irq/45-panthor--812", True, 0x1008, 0, "panthor_job_irq_threaded_handler+0x5c"),
        OtherEvent(10, 1, "kworker/u8:2-33", "drm_sched_job", "job arrived"),
        OtherEvent(11, 0, "<idle>-0", "irq_handler_entry", "irq=45 name=panthor-job"),
    )


def test_a_buffer_that_was_full_cuts_what_comes_after_on_all_cpus() -> None:
    lines, whole = assemble(TRACE.splitlines(), places(), {3: "overrun: 0\ndropped events: 7\n"})
    assert not whole
    assert len(lines) == 2
    assert lost_on("entries: 3\noverrun: 2\ndropped events: 7\n") == 9


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("CPU:3 [LOST 812 EVENTS]", "lost 812"),
        (f"  x-1 [000] ..... 1.000000: {READ}: f+0x0/0x4 -> f+0x0/0x4 width=32 val=0x0 addr={BASE:#x}", "goes back"),
        (f"  x-1 [000] ..... 9.000000: {READ}: something else", "not an access"),
        (f"  x-1 {READ}: garbled", "not a line"),
        (f"  x-1 [000] ..... 9.000000: {WRITE}: f -> f width=8 val=0x100 addr={BASE:#x}", "no such access"),
        (
            f"  x-1 [000] ..... 9.000000: {WRITE}: a -> panthor_x+0x0/0x4 width=32 val=0x1 addr=0xffff0000",
            "none that is known",
        ),
    ],
)
def test_what_would_be_a_hole_is_an_error(line: str, what: str) -> None:
    with pytest.raises(TraceError, match=what):
        assemble([*TRACE.splitlines(), line], places(), {})


def test_a_task_can_be_called_anything() -> None:
    for task in ("a b", "x-1 [000]", "}{", "1-2-3", "a\nb-7 [001] ....."):
        line = f"{task:>16}-12      [002] .....     3.000000: {WRITE}: f -> f+0x4/0x8 width=32 val=0x2 addr={BASE:#x}"
        assert [e for e in parse_trace(line.split("\n")) if isinstance(e, TraceEvent)][-1].time == 3_000_000


WORDS = st.sampled_from(
    ["panthor", "-1", " [000] ", "..... ", "1.000000: ", f"{READ}: ", "width=32 ", "val=0x1 ", f"addr={BASE:#x}", "-> ",
     "CPU:0 [LOST 1 EVENTS]", "#", "9" * 40, "0x" + "f" * 40]
)  # fmt: skip


@given(st.lists(st.lists(WORDS | st.text(max_size=8), max_size=12).map("".join), max_size=8))
def test_hostile_traces_are_understood_or_refused(lines: list[str]) -> None:
    try:
        for event in parse_trace(lines):
            assert isinstance(event, LostEvents) or (event.cpu >= 0 and event.time >= 0)
        assemble(lines, places(), {0: lines[0] if lines else ""})
    except TraceError:
        pass


@given(st.booleans(), st.integers(0, 2**64 - 1), st.sampled_from([8, 16, 32, 64]), st.integers(0))
def test_an_access_is_read_as_the_kernel_prints_it(write: bool, address: int, width: int, value: int) -> None:
    value %= 1 << width
    text = f"vfs+0x1/0x2 [m] -> f_1.isra.0+0x10/0x20 [panthor] width={width} val={value:#x} addr={address:#x}"
    event = TraceEvent(0, 0, "t", 1, WRITE if write else READ, text)
    assert parse_access(event) == TracedAccess(write, address, width, value, "f_1.isra.0+0x10")


IOMEM = """\
fb000000-fb1fffff : fb000000.gpu gpu@fb000000
10000000-3efeffff : pcie@10000000
  10000000-101fffff : 0000:00:02.0
    10000000-101fffff : panthor-shim.gpu
00000000-00000000 : hidden
"""
VMALLOC = """\
0xffff800082000000-0xffff800082201000 2101248 devm_ioremap+0x54/0xb8 phys=0x00000000fb000000 ioremap
0xffff800083000000-0xffff800083002000    8192 devm_ioremap+0x54/0xb8 phys=0x00000000fb010000 ioremap
0xffff800084000000-0xffff800084002000    8192 devm_ioremap+0x54/0xb8 phys=0x00000000fe010000 ioremap
0x0000000000000000-0x0000000000000000    8192 devm_ioremap+0x54/0xb8 phys=0x00000000fb000000 ioremap
0xffff800085000000-0xffff800085005000   20480 dup_task_struct+0x1/0x2 pages=4 vmalloc
"""


def test_registers_are_found_where_the_kernel_says() -> None:
    gpu = find_registers(IOMEM, "fb000000.gpu")
    assert gpu == Registers(0xFB000000, 0x200000)
    assert find_registers(IOMEM, "panthor-shim.gpu") == Registers(0x10000000, 0x200000)
    assert find_registers(IOMEM, "other") is find_registers(IOMEM, "hidden") is None
    assert find_mappings(VMALLOC, gpu) == (
        Mapping(0xFFFF800082000000, 0xFFFF800082200000, 0),
        Mapping(0xFFFF800083000000, 0xFFFF800083002000, 0x10000),
    )
    assert event_filter(KNOWN, None) == "(addr >= 0xffff800082000000 && addr < 0xffff800082200000)"
    assert event_filter((), (0x20000, 0x30000)) == "(caller >= 0x10000 && caller < 0x40000)"


def test_the_drivers_functions_are_found() -> None:
    symbols = "ffff8000801000a0 t cs_slot\nffff800080100000 t panthor_a\nffff800080100100 T panthor_b\n"
    symbols += "ffff800080000000 D panthor_data\nffff80007a000000 t other\t[panthor_pci_shim]\n"
    assert driver_text(symbols, "panthor") == (0xFFFF800080100000, 0xFFFF800080100100)
    symbols += "ffff80007b000000 t group_x\t[panthor]\n"
    assert driver_text(symbols, "panthor") == (0xFFFF80007B000000, 0xFFFF80007B000000)
    assert driver_text("0000000000000000 t panthor_a\n", "panthor") is None


def test_a_driver_that_is_bound_anew_is_followed() -> None:
    found, moved = places(), BASE + 0x600000

    def at(address: int, *, write: bool = False, value: int = 7, by: str = "panthor_x+0x0") -> int | None:
        return found.locate(TracedAccess(write, address, 32, value, by))

    assert at(moved) is None  # nobody knows yet what GPU_ID is
    assert at(BASE) == 0
    assert at(moved + 4) is at(moved, value=8) is at(moved, write=True) is at(moved, by="uart_x+0x0") is None
    assert at(moved) == 0
    assert at(moved + 0x700, write=True, by="cs_slot+0x0") == 0x700
    assert at(BASE + 0x1FFFFC) == 0x1FFFFC
    part = MappedRegisters(Registers(0xFB000000, 0x200000), (Mapping(BASE, BASE + 0x1000, 0),), "panthor")
    assert part.locate(TracedAccess(False, moved, 32, 7, "panthor_x+0x0")) is None


@given(st.text(max_size=300))
def test_hostile_files_of_proc_are_read(text: str) -> None:
    find_registers(text, text[:3])
    find_mappings(text, Registers(0, 1 << 40))
    driver_text(text, "panthor")


HEAD = RecordingHead(
    "panthor", 0xA8670005, "6.12.117", "ab12", "rock-5b", "Radxa ROCK 5B", (0xFB000000, 0x200000), ("x",), True
)
NUMBERS, TEXTS = st.integers(0, 2**63 - 1), st.text(max_size=12)
LINES = st.lists(
    st.builds(
        RegisterAccess,
        NUMBERS,
        NUMBERS,
        TEXTS,
        st.booleans(),
        NUMBERS,
        st.integers(0, 255),
        TEXTS,
        st.sampled_from([8, 32, 64]),
    )
    | st.builds(OtherEvent, NUMBERS, NUMBERS, TEXTS, TEXTS, TEXTS),
    max_size=8,
).map(tuple)


@given(LINES)
def test_a_recording_is_read_as_it_was_written(lines: tuple[RegisterAccess | OtherEvent, ...]) -> None:
    recording = Recording(HEAD, lines)
    assert parse(render(recording)) == recording


@given(LINES, st.data())
def test_a_recording_that_was_cut_or_has_lost_a_line_is_refused(
    lines: tuple[RegisterAccess | OtherEvent, ...], data: st.DataObject
) -> None:
    text = list(render(Recording(HEAD, lines)))
    gone = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(RecordingError):
        parse(text[:gone] + text[gone + 1 :])
    with pytest.raises(RecordingError):
        parse(text[:gone])


@given(st.lists(st.text(max_size=80) | st.sampled_from(list(render(Recording(HEAD, ())))), max_size=6))
def test_hostile_recordings_are_refused(lines: list[str]) -> None:
    with suppress(RecordingError):
        parse(lines)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"t": -1, "cpu": 0, "task": "x", "read": "0x0", "value": "0x0", "by": "f"}', "t is no number"),
        ('{"t": 1, "cpu": 0, "task": "x", "read": "0x0", "value": "0x1ffffffff", "by": "f"}', "value"),
        ('{"t": 1, "cpu": 0, "task": "x", "read": "12", "value": "0x0", "by": "f"}', "read"),
        ('{"t": 1, "cpu": 0, "task": "x", "value": "0x0", "by": "f"}', "neither"),
        ('{"t": 1, "cpu": 0, "task": "x", "read": "0x0", "value": "0x0", "by": "f", "bits": 7}', "7 bits"),
        ("[" * 5000, "no JSON"),
    ],
)
def test_a_wrong_line_is_named(line: str, what: str) -> None:
    text = list(render(Recording(HEAD, ())))
    with pytest.raises(RecordingError, match=f"line 2: .*{what}"):
        parse([text[0], line, text[1]])


def test_a_newer_format_says_so() -> None:
    text = [line.replace('"version": 1', '"version": 2') for line in render(Recording(HEAD, ()))]
    with pytest.raises(RecordingError, match="update panthorlab"):
        parse(text)

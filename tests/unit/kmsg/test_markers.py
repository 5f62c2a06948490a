# SPDX-License-Identifier: GPL-2.0-or-later
"""Iteration windows: only real markers count, and only a whole window is evidence."""

from __future__ import annotations

from panthorlab.kmsg import RecordReader, Window, WindowTracker, windows

USER, KERNEL, ERROR = 14, 6, 3  # priority of the record: facility << 3 | level
FAULT = r"panthor fb000000.gpu: [drm] *ERROR* Unhandled Page fault in AS1 at VA 0x0000800000003000\x0a" + r"\x0a".join(
    ("raw fault status: 0x7CD003C3", "decoded fault status: SLAVE FAULT", "exception type 0xC3: TRANSLATION_FAULT_3",
     "access type 0x3: WRITE", "source id 0x7CD0")
)  # fmt: skip


def log(*records: tuple[int, int, str]) -> list[Window]:
    reader = RecordReader()
    raw = "".join(f"{priority},{seq},{seq * 1000},-;{text}\n SUBSYSTEM=x\n" for priority, seq, text in records)
    return list(windows(reader.feed(raw.encode()) + reader.close()))


def begin(name: str) -> str:
    return f"panthorlab: begin id={name} workload=exit"


def end(name: str) -> str:
    return f"panthorlab: end id={name}"


def test_findings_belong_to_the_window_they_are_in() -> None:
    found = log(
        (KERNEL, 1, "random: crng init done"),
        (USER, 2, begin("b1-1")), (ERROR, 3, FAULT), (USER, 4, end("b1-1")),
        (ERROR, 5, FAULT),
        (USER, 6, begin("b1-2")), (KERNEL, 7, "random: nothing"), (USER, 8, end("b1-2")),
    )  # fmt: skip
    assert [(window.id, len(window.findings), window.complete) for window in found] == [
        (None, 0, False), ("b1-1", 1, True), (None, 1, False), ("b1-2", 0, True),
    ]  # fmt: skip
    first = found[1]
    assert first.workload == "exit"
    assert first.reason is None
    assert (first.first_seq, first.last_seq) == (2, 4)
    assert first.findings[0].va == "0x0000800000003000"
    assert first.findings[0].seq == 3
    assert [record.seq for record in first.records] == [3]


def test_a_sequence_gap_spoils_the_window_it_is_in_and_no_other() -> None:
    found = log(
        (USER, 1, begin("1")), (KERNEL, 3, "x"), (USER, 4, end("1")),
        (USER, 5, begin("2")), (USER, 6, end("2")),
    )  # fmt: skip
    assert [(window.id, window.complete, window.gap) for window in found] == [("1", False, True), ("2", True, False)]
    assert found[0].reason == "records were lost"


def test_a_gap_right_before_the_end_marker_counts() -> None:
    assert log((USER, 1, begin("1")), (USER, 3, end("1")))[0].reason == "records were lost"


def test_a_gap_before_the_begin_marker_does_not_spoil_the_window() -> None:
    found = log((KERNEL, 1, "x"), (USER, 5, begin("1")), (USER, 6, end("1")))
    assert [(window.id, window.complete, window.gap) for window in found] == [(None, False, True), ("1", True, False)]


def test_sequence_numbers_that_start_again_are_a_reboot() -> None:
    assert not log((USER, 500, begin("1")), (KERNEL, 0, "Booting Linux"), (USER, 1, end("1")))[0].complete


def test_an_overrun_of_the_follower_is_a_gap() -> None:
    reader = RecordReader()
    raw = f"14,1,1,-;{begin('1')}\npanthorlab-overrun\n14,2,1,-;{end('1')}\n"
    (window,) = windows(reader.feed(raw.encode()) + reader.close())
    assert window.gap
    assert not window.complete


def test_missing_markers() -> None:
    found = log((USER, 1, begin("1")), (USER, 2, begin("2")), (USER, 3, end("2")), (USER, 4, end("9")))
    assert [(window.id, window.complete, window.reason) for window in found] == [
        ("1", False, "no end marker"), ("2", True, None), ("9", False, "no begin marker"),
    ]  # fmt: skip
    assert log((USER, 1, begin("1")))[0].reason == "no end marker"


def test_the_wrong_end_marker_ends_the_window_without_completing_it() -> None:
    found = log((USER, 1, begin("1")), (ERROR, 2, FAULT), (USER, 3, end("2")))
    assert [(window.id, window.complete) for window in found] == [("1", False), ("2", False)]
    assert len(found[0].findings) == 1


def test_a_marker_from_the_kernel_or_inside_other_text_is_none() -> None:
    found = log(
        (USER, 1, begin("1")),
        (KERNEL, 2, end("1")), (USER, 3, f"echo {end('1')}"), (USER, 4, end("1")[:-2]), (USER, 5, end("1") + " now"),
        (30, 6, end("1")),
        (USER, 7, end("1")),
    )  # fmt: skip
    assert [(window.id, window.complete, len(window.records)) for window in found] == [("1", True, 5)]


def test_user_space_cannot_forge_a_finding() -> None:
    (window,) = log((USER, 1, begin("1")), (USER, 2, FAULT), (15, 3, "BUG: KASAN: x in y"), (USER, 4, end("1")))
    assert window.complete
    assert window.findings == ()


def test_a_report_that_is_open_at_the_end_marker_belongs_to_the_window() -> None:
    found = log(
        (USER, 1, begin("1")), (4, 2, "BUG: KASAN: slab-use-after-free in foo+0x1/0x2 [panthor]"), (USER, 3, end("1")),
        (USER, 4, begin("2")), (USER, 5, end("2")),
    )  # fmt: skip
    assert [[finding.kind.value for finding in window.findings] for window in found] == [["kasan"], []]


def test_events_come_as_soon_as_the_end_marker_does() -> None:
    reader, tracker = RecordReader(), WindowTracker()
    (record,) = reader.feed(f"14,1,1,-;{begin('1')}\n".encode())
    assert tracker.feed(record) == []
    (record,) = reader.feed(f"14,2,2,-;{end('1')}\n".encode())
    assert [window.id for window in tracker.feed(record)] == ["1"]


def test_the_time_between_two_iterations_tells_which_end_it_began_with() -> None:
    found = log(
        (ERROR, 1, FAULT), (USER, 2, begin("b1-1")), (USER, 4, end("b1-1")), (ERROR, 5, FAULT),
        (USER, 6, begin("b1-2")), (USER, 8, end("b1-2")), (USER, 9, end("b1-3")), (ERROR, 10, FAULT),
    )  # fmt: skip
    since = [window.since for window in found if window.id is None]
    assert [marker and (marker.id, marker.workload, marker.timestamp) for marker in since] == [
        None, ("b1-1", "exit", 0.004), ("b1-3", None, 0.009),
    ]  # fmt: skip
    assert all(window.since is None for window in found if window.id is not None)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Records of single lines, in every format a kernel log comes in."""

from __future__ import annotations

import pytest

from panthorlab.kmsg.lines import LineCleaner
from panthorlab.kmsg.records import LogRecord, RecordReader, parse_line

TEXT = "panthor fb000000.gpu: [drm] job timeout"


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (f"[    0.677142] {TEXT}", LogRecord(TEXT, 5, 0.677142)),
        (f"<4>[    0.677142] {TEXT}", LogRecord(TEXT, 5, 0.677142, 4, 0)),
        (f"<30>[ 12.3] {TEXT}", LogRecord(TEXT, 5, 12.3, 6, 3)),
        (f"[    0.677142][   T12] {TEXT}", LogRecord(TEXT, 5, 0.677142, caller="T12")),
        (f"[    0.677142][    C0] {TEXT}", LogRecord(TEXT, 5, 0.677142, caller="C0")),
        (f"<4>{TEXT}", LogRecord(TEXT, 5, level=4, facility=0)),
        (f"[  T12] {TEXT}", LogRecord(TEXT, 5, caller="T12")),
        (f"[Sun Nov  2 23:55:01 2026] {TEXT}", LogRecord(TEXT, 5)),
        (f"[  +0.000132] {TEXT}", LogRecord(TEXT, 5)),
        (f"[<    0.000132>] {TEXT}", LogRecord(TEXT, 5)),
        (f"[Nov22 23:55] {TEXT}", LogRecord(TEXT, 5)),
        (f"Nov 22 23:55:01 host kernel: {TEXT}", LogRecord(TEXT, 5)),
        (f"Nov 22 23:55:01 host kernel: [    0.677142] {TEXT}", LogRecord(TEXT, 5, 0.677142)),
        (f"2026-11-22T23:55:01+0000 host kernel: {TEXT}", LogRecord(TEXT, 5)),
        (f"> > [    0.677142] {TEXT}", LogRecord(TEXT, 5, 0.677142)),
        (f">> [    0.677142] {TEXT}", LogRecord(TEXT, 5, 0.677142)),
        ("              raw fault status: 0x1", LogRecord("              raw fault status: 0x1", 5)),
        (f"6,339,5140900,-;{TEXT}", LogRecord(TEXT, 5, 5.1409, 6, 0, 339)),
        (f"14,339,5140900,c,caller=T7;{TEXT}", LogRecord(TEXT, 5, 5.1409, 6, 1, 339, "T7", True)),
        (r"6,1,1,-;a\x0ab\x5cx\x1b\xc3\xa4", LogRecord("a\nb\\x\x1bä", 5, 1e-06, 6, 0, 1)),
        ("a#012b", LogRecord("a\nb", 5)),
        ("Nov 22 23:55:01 host Xorg[8]: (EE) x", LogRecord("Nov 22 23:55:01 host Xorg[8]: (EE) x", 5, facility=1)),
        ("", LogRecord("", 5)),
    ],
)
def test_line(line: str, record: LogRecord) -> None:
    assert parse_line(line.encode(), 5) == [record]


def test_properties_of_kmsg_are_no_records() -> None:
    assert parse_line(b" SUBSYSTEM=platform", 1) == []
    assert parse_line(b" DEVICE=+platform:fb000000.gpu", 1) == []


def test_records_that_collided_on_a_line_are_separated() -> None:
    line = b"[    1.000000] usb 1-1: new hi[    1.000002] panthor x: a[    1.000003] gh-speed"
    assert [(record.timestamp, record.text) for record in parse_line(line, 1)] == [
        (1.0, "usb 1-1: new hi"), (1.000002, "panthor x: a"), (1.000003, "gh-speed"),
    ]  # fmt: skip


def test_a_prompt_before_the_time_stamp_is_a_record_of_its_own() -> None:
    assert [record.text for record in parse_line(b"root@board:~# [    1.000000] x", 1)] == ["root@board:~#", "x"]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_lines_are_clean_however_they_come(size: int) -> None:
    log = b"a\0b\r\n\x1b[1;31mred\x1b[0m\n\x1b]0;title\x07x\x1b(B\nlast"
    splitter = LineCleaner()
    out = b"".join(splitter.feed(log[at : at + size]) for at in range(0, len(log), size)) + splitter.close()
    assert out == b"ab\r\nred\nx\nlast\n"


def test_line_numbers_count_every_line() -> None:
    reader = RecordReader()
    records = reader.feed(b"6,1,1,-;a\n SUBSYSTEM=x\n\n6,2,1,-;b") + reader.close()
    assert [(record.line, record.text) for record in records] == [(1, "a"), (3, ""), (4, "b")]

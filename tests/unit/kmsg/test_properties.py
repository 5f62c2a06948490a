# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold for any bytes at all: cutting, filtering and garbage change nothing and raise nothing."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from panthorlab.kmsg import JSON_FIELDS, RecordReader, explain, find, scan
from panthorlab.kmsg.lines import MAX_LINE
from tests.unit.kmsg.corpus import FIXTURES

LINES = sorted({line for fixture in FIXTURES for line in fixture.log.split(b"\n")})
NOISE = (
    b"\r", b"\0", b"\x1b[31m", b"\x1b[", b"\x1b]0;", b"> ", b"\n", b"[    9.000001] ",
    b"panthor ", b"#012", b"\\x0a", b"\xff",
)  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """Lines of the corpus, shuffled, cut, run together and sprinkled with noise."""
    pieces = []
    for line in draw(st.lists(st.sampled_from(LINES), max_size=30)):
        cut_at = draw(st.one_of(st.none(), st.integers(0, len(line))))
        pieces.append(line if cut_at is None else line[:cut_at] + draw(st.sampled_from(NOISE)) + line[cut_at:])
        pieces.append(draw(st.sampled_from((b"\n", b"\n", b"\n", b"\n", b"\r\n", b""))))
    return b"".join(pieces)


@st.composite
def fault_logs(draw: st.DrawFn) -> bytes:
    """A whole fixture with foreign lines put between its lines."""
    lines = draw(st.sampled_from(FIXTURES)).log.split(b"\n")
    for line in draw(st.lists(st.sampled_from(LINES), max_size=6)):
        lines.insert(draw(st.integers(0, len(lines))), line)
    return b"\n".join(lines)


anything = st.one_of(logs(), fault_logs(), st.binary(max_size=400))


@given(anything)
def test_findings_are_equal_with_and_without_prefilter(log: bytes) -> None:
    assert list(scan([log])) == list(scan([log], prefilter=False))


@given(anything, st.lists(st.integers(0, 3000), max_size=12))
def test_chunking_changes_nothing(log: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(log)) for cut in cuts), len(log)]
    chunks = [log[start:end] for start, end in pairwise(places)]
    assert list(scan(chunks)) == list(scan([log]))
    whole, cut = RecordReader(), RecordReader()
    records = [record for chunk in chunks for record in cut.feed(chunk)] + cut.close()
    assert records == whole.feed(log) + whole.close()


@given(anything)
def test_findings_are_always_well_formed(log: bytes) -> None:
    for finding in scan([log]):
        assert tuple(finding.to_json()) == JSON_FIELDS
        assert finding.signature.startswith(finding.kind)
        assert 1 <= finding.line <= log.count(b"\n") + 1
        assert explain(finding)
        for hexa in (finding.va if finding.kind == "mmu-fault" else None, finding.raw_status, finding.source_id):
            assert hexa is None or int(hexa, 16) >= 0


def test_a_line_without_end_is_cut_the_same_way_however_it_comes() -> None:
    fault = b"panthor fb000000.gpu: [drm] *ERROR* Unhandled Page fault in AS1 at VA 0x0000800000003000"
    log = fault + b"x" * (3 * MAX_LINE) + b"source id 0x7CD0\nrandom: crng init done\n" + fault
    pieces = [log[at : at + 1000] for at in range(0, len(log), 1000)]
    assert list(scan(pieces)) == list(scan([log])) == list(scan([log], prefilter=False))
    reader = RecordReader()
    records = [record for piece in pieces for record in reader.feed(piece)] + reader.close()
    assert [record.line for record in records] == [1, 2, 3]
    assert len(records[0].text) == MAX_LINE


def test_memory_is_bounded_whatever_comes() -> None:
    open_report = b"[    7.000001] BUG: KASAN: slab-use-after-free in foo+0x1/0x2\n"
    body = b"[    7.000002]  foo+0x1/0x2\n" * 2000
    tracemalloc.start()
    try:
        count = sum(1 for _ in scan(open_report + body if at % 2 else b"y" * 60000 for at in range(40)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20
    assert peak < 3_000_000


def test_find_over_records_equals_scan_over_bytes() -> None:
    log = b"\n".join(fixture.log for fixture in FIXTURES)
    reader = RecordReader()
    assert list(find(reader.feed(log) + reader.close())) == list(scan([log]))

# SPDX-License-Identifier: GPL-2.0-or-later
"""Plots and timelines: that they show what was, and that neither hostile nor broken input gets into the page."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab import cli
from panthorlab.gpu.trace import ChromeTrace
from panthorlab.outcome import Side
from panthorlab.report import html
from panthorlab.report.faults import repeating
from panthorlab.report.model import RunReport
from panthorlab.report.plots import RATE_WIDTH, STRIP_WIDTH, Mark, RanMark, strips, whisker
from panthorlab.report.timeline import LEFT, WIDTH, Timeline, timeline
from tests.made_runs import ALONE, FIXED, write_run

MakeReport = Callable[..., RunReport]
VA = "0x800000003000"
XSS = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&lt;"


def ran(pattern: str, side: Side = Side.BEFORE) -> list[RanMark]:
    """`aaX b?.`: a letter is a boot, `.` clean, `X` faulty, `?` lost."""
    marks, boot = [], ""
    kinds = {".": Mark.CLEAN, "X": Mark.FAULTY, "?": Mark.LOST}
    for char in pattern:
        if char in kinds:
            marks.append(RanMark(side, boot, kinds[char]))
        else:
            boot = char
    return marks


def test_faults_stand_where_they_were() -> None:
    (strip,) = strips(ran("a..X.b?..X"))
    assert (strip.total, strip.faulty_total, strip.lost_total, strip.each) == (8, 2, 1, 1)
    assert [boot.label for boot in strip.boots] == ["a", "b"]
    faults = [float(x) for x in re.findall(r"M([\d.]+)", strip.faulty)]
    (lost,) = [float(x) for x in re.findall(r"M([\d.]+)", strip.lost)]
    first, second = strip.boots
    assert first.begin < faults[0] < first.end < second.begin == lost < faults[1] < second.end
    assert second.end <= STRIP_WIDTH
    assert strips([]) == []


def test_boots_that_ran_at_the_same_time_are_drawn_one_after_the_other() -> None:
    mixed = [RanMark(Side.AFTER, boot, Mark.CLEAN) for boot in "abab"]
    (strip,) = strips(mixed)
    assert [boot.label for boot in strip.boots] == ["a", "b"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(Mark)), max_size=2000))
def test_no_fault_is_lost_in_a_strip(marks: list[tuple[str, Mark]]) -> None:
    for strip in strips([RanMark(Side.AFTER, boot, mark) for boot, mark in marks]):
        assert bool(strip.faulty) == any(mark is Mark.FAULTY for _, mark in marks)
        assert bool(strip.lost) == any(mark is Mark.LOST for _, mark in marks)
        assert all(0 <= float(x) <= STRIP_WIDTH for x in re.findall(r"M([\d.]+)", strip.faulty + strip.lost))
        assert len(strip.faulty) < 40_000


def test_a_rate_and_its_interval(make_report: MakeReport) -> None:
    workload = next(w for w in make_report().verdict.workloads if w.name == "clients")
    before, after = whisker(workload.before), whisker(workload.after)
    assert before is not None
    assert after is not None
    assert 4 <= after.low < after.at < after.high < before.low < before.at <= before.high <= RATE_WIDTH - 4
    assert whisker(replace(workload.before, iterations=0)) is None


def race(path: Path, *, faults: int = 1, va: str = VA, end: bool = True) -> Path:
    """A trace as the GPU model writes it: a slot is stopped, its heap context unmapped before it was written out."""
    now = 1000.0

    def clock() -> float:
        return now

    with path.open("w") as file:
        trace = ChromeTrace(file, clock)
        trace.begin("AS 1", "enabled, epoch 3", root="0x1000")
        trace.begin("CSG 2", "START in AS1")
        for _ in range(faults):
            for step, name in ((0.5, ""), (0.001, "TERMINATE"), (0.0001, "write-out of 1 heap contexts")):
                now += step
                if name:
                    trace.begin("CSG 2", name)
            now += 0.003
            trace.begin("AS 1", "LOCK 0x800000000000+0x8000")
            now += 0.0001
            trace.end("AS 1", by="FLUSH_PT")
            trace.instant("AS 1", f"{va} unmapped")
            now += 0.006
            trace.instant("AS 1", f"FAULT AS1 {va} 0x7CD003C3")
            now += 0.00001
            trace.begin("IRQ mmu", "pending")
            now += 0.00005
            trace.instant("CSG 2", f"heap context {va}: fault 0xC3", epoch=3)
            now += 0.001
            trace.end("IRQ mmu")
            trace.end("CSG 2")
            trace.end("CSG 2")
        now += 1
        trace.instant("GPU", "reset")
        if end:
            trace.close()
    return path


def test_the_race_is_drawn_in_its_order(tmp_path: Path) -> None:
    with race(tmp_path / "t").open() as lines:
        drawn = timeline(lines, "0x0000800000003000")
    assert drawn is not None
    story = [(moment.track, moment.text) for moment in drawn.moments]
    assert story == [
        ("CSG 2", "TERMINATE begins"), ("CSG 2", "write-out of 1 heap contexts begins"), ("AS 1", f"{VA} unmapped"),
        ("AS 1", f"FAULT AS1 {VA} 0x7CD003C3"), ("IRQ mmu", "interrupt"), ("CSG 2", f"heap context {VA}: fault 0xC3"),
    ]  # fmt: skip
    assert [moment.at for moment in drawn.moments] == pytest.approx([-9200, -9100, -6000, 0, 10, 60], abs=1)
    assert [lane.name for lane in drawn.lanes] == ["CSG 2", "AS 1", "IRQ mmu"]
    assert {bar.kind for lane in drawn.lanes for bar in lane.bars} == {"on", "lock", "stop", "write", "run", "irq"}
    assert [moment.x for moment in drawn.moments] == sorted(moment.x for moment in drawn.moments)
    for lane in drawn.lanes:
        assert all(bar.x >= LEFT and bar.x + bar.width <= WIDTH for bar in lane.bars)
    assert "0 ms" in {label for _, label in drawn.ticks}
    assert 3 <= len(drawn.ticks) <= 9


CALLS = """# calls of panthor's functions in a: instructions before it, the guest's time in s, kernel stack
# the clock of the kernel log is 0.195800 s behind the guest's time
  62562500 1000.500100000 #6   panthor_group_destroy
  62562513 1000.500200000 #7     tick_work
  62562514 1000.500300000 #7     panthor_fw_get_csg_iface
  62562515 1000.504100000 #6   panthor_vm_destroy.part.0
  62562516 1000.510500000 #7   tick_work
"""


def test_what_the_driver_did_is_on_the_same_clock(tmp_path: Path) -> None:
    with race(tmp_path / "t").open() as lines:
        drawn = timeline(lines, VA, CALLS.splitlines())
    assert drawn is not None
    assert drawn.lanes[0].name == "driver"
    assert len(drawn.lanes[0].bars) == 5, "every call is a stroke"
    story = [(moment.text, moment.track) for moment in drawn.moments][:6]
    assert [text for text, _ in story] == [
        "panthor_group_destroy", "tick_work", "TERMINATE begins", "write-out of 1 heap contexts begins",
        "panthor_vm_destroy", f"{VA} unmapped",
    ]  # fmt: skip
    with race(tmp_path / "t", faults=2).open() as lines:
        later = timeline(lines, VA, ["1 1000.700000000 #1 tick_work"])
    assert later is not None
    assert "tick_work" not in [moment.text for moment in later.moments], "it is long before that fault"
    with race(tmp_path / "t").open() as lines:
        assert timeline(lines, VA, ["1 2000.0 #1 tick_work"]) is None, "the fault is of another iteration"
    for hostile in ("x", "1 2 #3", "1 1e999 #1 a", "9" * 400 + " 1.5 #1 a", "1 " + "9" * 400 + ".0 #1 a"):
        with race(tmp_path / "t").open() as lines:
            assert timeline(lines, VA, [hostile]) is not None


def test_a_trace_without_that_fault_or_that_is_none_has_no_timeline(tmp_path: Path) -> None:
    with race(tmp_path / "t").open() as lines:
        assert timeline(lines, "0x1234000") is None
    hostile = (
        "", "[", "not json", "[\n{}\n]", "[\n1,\n2\n]", '[\n{"ph":"M","name":"thread_name","tid":[],"args":[]}\n]',
        '[\n{"ph":"i","ts":"x","tid":1,"name":"FAULT AS1 0x1"}', "[" * 100_000, "\x00\ud800",
        '{"ph":"M","tid":1,"name":"thread_name","args":{"name":"AS 1"}}\n'
        '{"ph":"i","ts":NaN,"tid":1,"name":"FAULT AS1 0x1 "}',
    )  # fmt: skip
    for text in hostile:
        drawn = timeline(text.splitlines())
        assert drawn is None or isinstance(drawn, Timeline)


@given(st.data())
def test_no_trace_breaks_the_drawing(data: st.DataObject) -> None:
    names = st.sampled_from(
        ["TERMINATE", "LOCK 0x0+0x1", f"FAULT AS1 {VA} 0x1", f"heap context {VA}: fault", XSS, "enabled"]
    )
    tracks = ["AS 1", "CSG 0", "IRQ mmu", XSS]
    heads = [
        {"ph": "M", "name": "thread_name", "tid": tid, "args": {"name": track}} for tid, track in enumerate(tracks)
    ]
    event = st.fixed_dictionaries(
        {
            "ph": st.sampled_from("BEi"),
            "tid": st.integers(0, 4),
            "name": names,
            "ts": st.one_of(st.integers(-(10**6), 10**12), st.floats(allow_nan=True, allow_infinity=True)),
        }
    )
    events = data.draw(st.lists(event, max_size=30))
    drawn = timeline(json.dumps(one) for one in (*heads, *events))
    if drawn is not None:
        page = html.render_timeline(drawn, Path("/run"))
        assert "<script" not in page
        check_svg(page)


def check_svg(page: str) -> None:
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)  # noqa: S314 - ours
        assert not re.search(r"\b(?:nan|inf)\b", svg)


def test_the_page_of_a_run_shows_them(make_report: MakeReport, tmp_path: Path) -> None:
    with race(tmp_path / "t").open() as lines:
        drawn = timeline(lines)
    marks = [*ran("a..X.b?..X"), *ran("c....", Side.AFTER)]
    report = replace(make_report(text=XSS), ran=tuple(replace(mark, boot=f"{mark.boot}{XSS}") for mark in marks))
    page = html.render(report, drawn)
    assert page.index("Before and after") < page.index("Faults over iterations") < page.index("One fault in time")
    assert page.index('class="v fixed"') < page.index("<svg")
    assert "before: 2 of 8 faulty, 1 lost" in page
    assert "<script" not in page
    assert "<img" not in page
    assert len(re.findall("<svg", page)) == len(report.verdict.workloads) + 2 + 1
    check_svg(page)
    assert not re.search(r"<[^>]*(?:href|src)=|url\(|@import", page)


def test_a_run_is_had_again_by_two_commands(make_report: MakeReport) -> None:
    report = replace(make_report(), suites=("probe", "heap-exit-claim"))
    again = repeating(report)
    assert again[0] == "panthorlab validate v1.patch"
    assert again[1].startswith(f"panthorlab run --kernel {report.run_dir}:before ")
    assert "--param gpu.trace=on" in again[1]
    exact = replace(report, board=replace(report.board, facts={"time": "exact"}))
    assert repeating(exact)[1] == f"panthorlab replay {report.run_dir}:exit-before-0"
    hostile = replace(report, command=("panthorlab", "validate", "$(reboot)\n\x1b[31m; rm -rf"))
    assert repeating(hostile)[0] == "panthorlab validate '$(reboot) ; rm -rf'"
    real = replace(report, board=replace(report.board, emulated=False))
    assert len(repeating(real)) == 1


def trace_of(run: Path, boot: str) -> Path:
    (run / "boots" / boot).mkdir(parents=True)
    return run / "boots" / boot / "gpu-trace.json"


def test_a_report_draws_the_trace_that_the_run_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both, alone = write_run(tmp_path / "both", FIXED), write_run(tmp_path / "alone", ALONE)
    assert cli.main(["report", str(both)]) == 0
    assert "One fault in time" not in (both / "report.html").read_text()
    race(trace_of(both, "before2.1"), va=VA, end=False)
    race(trace_of(alone, "kernel1.1"))
    assert cli.main(["report", str(both)]) == 0
    page = (both / "report.html").read_text()
    assert f"FAULT AS1 {VA} 0x7CD003C3" in page
    assert page.count('class="tstop"') == 1
    capsys.readouterr()
    assert cli.main(["report", str(alone)]) == 1
    assert f"timeline of a fault: {alone / 'timeline.html'}" in capsys.readouterr().out
    assert f"FAULT AS1 {VA}" in (alone / "timeline.html").read_text()


def test_a_trace_is_a_file_of_the_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", FIXED)
    race(tmp_path / "elsewhere")
    trace_of(run, "before1.1").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(trace_of(run, "before2.1"))
    assert cli.main(["report", str(run)]) == 0
    assert "One fault in time" not in (run / "report.html").read_text()

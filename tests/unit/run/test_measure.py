# SPDX-License-Identifier: GPL-2.0-or-later
"""`--coverage` from the files of a run's boots to its events, its verdict and its reports."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panthorlab.board.registry import open_board
from panthorlab.coverage import counts
from panthorlab.coverage.model import DRIVER, Function, LineRow, SourceMap
from panthorlab.errors import LabError, UsageError
from panthorlab.kernel.model import Kernel
from panthorlab.outcome import Side
from panthorlab.report import console, html, json_report, junit, kcidb
from panthorlab.run import measure, reports
from panthorlab.run.record import CoverageEvent, Event, Iteration, PatchLinesEvent, PatchRan, RunEnd, SuiteRan, versions
from panthorlab.run.record.lines import DamagedError
from panthorlab.verdict.model import Verdict

from .recorded import Told, judge, report, summary, typed
from .test_results import END, START, boot

FILE = DRIVER + "panthor_x.c"
TEXT = ((0x1000, 0x1010),)
SOURCE = SourceMap(
    "ab",
    TEXT,
    tuple(LineRow(0x1000 + 4 * n, 0x1004 + 4 * n, FILE, 10 + n, True) for n in range(4)),
    (Function("f", FILE, 9, (0x1000,)),),
)
KERNEL = {"release": "6.12.117", "title": "t", "fragments": [], "build_id": "ab"}
MEASURED: dict[str, Any] = {**START, "options": {**START["options"], "coverage": True}}
KERNELS = [{"event": "kernel", "side": side, "key": side, **KERNEL} for side in ("before", "after")]


def at_one(events: Iterable[Told]) -> list[Event]:
    """A second after the start."""
    return [replace(event, time=1.0) for event in typed(events)]


def patch(removed: list[int], added: list[int]) -> dict[str, Any]:
    return {"event": "patch-lines", "removed": {FILE: removed}, "added": {FILE: added}}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Of a run with two boots a side: all lines but the last ran on before, the first alone on after."""
    for side, ran in (("before", [1, 1, 1, 0]), ("after", [1, 0, 0, 0])):
        folder = tmp_path / "coverage"
        folder.mkdir(exist_ok=True)
        (folder / f"{side}.map.json").write_text(SOURCE.to_json())
        for slot in (1, 2):
            live = counts.create(tmp_path / f"boots/{side}{slot}.1/coverage/counts", TEXT)
            counts.mark(live, "heap-exit")
            head = live.read_bytes()[: 8 * 4]
            live.write_bytes(head + b"".join(count.to_bytes(8, "little") for count in ran))
    return tmp_path


def events_of(lines: dict[str, Any] | None, start: dict[str, Any] = MEASURED) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [start, *KERNELS, *([lines] if lines else [])]
    for slot in (1, 2):
        events += boot("before", slot, 1, 120, 119) + boot("after", slot, 1, 120, 0)
    return events


def whole(run_dir: Path, lines: dict[str, Any] | None) -> list[Event]:
    events = typed(events_of(lines))
    return [*events, *measure.conclude(run_dir, events), RunEnd()]


def test_boots_and_suites_are_added_up(run_dir: Path) -> None:
    before, after = measure.conclude(run_dir, typed(events_of(patch([10, 13], [10, 11, 99]))))
    assert (before.lines, before.line_total, before.functions, before.function_total) == (3, 4, 1, 1)
    assert before.suites == {"(boot)": SuiteRan(0, 0), "heap-exit": SuiteRan(1, 3)}
    assert before.patch == PatchRan(2, 1, ("panthor_x.c:13",), ())
    assert after.patch == PatchRan(2, 1, ("panthor_x.c:11",), ())
    assert "DA:10,2" in (run_dir / "coverage/before.lcov").read_text()
    assert json.loads((run_dir / "coverage/functions.json").read_text())["after"]["functions"][0]["calls"] == 2
    assert (run_dir / "coverage/after.txt").read_text().startswith("1 of 1 (100 %) functions and 1 of 4 (25 %) lines")


def test_a_boot_that_died_before_it_counted_is_no_measurement(run_dir: Path) -> None:
    events = [MEASURED, *KERNELS, *boot("after", 3, 1, 0, 0)]
    assert measure.conclude(run_dir, typed(events)) == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            patch([10], [11, 12]),
            "none of the 2 lines that the patch adds ever ran on after (panthor_x.c:11, panthor_x.c:12)",
        ),
        (patch([10], [11]), "the line that the patch adds never ran on after (panthor_x.c:11)"),
        (patch([13], [99]), "the line that the patch removes never ran on before (panthor_x.c:13)"),
        (patch([13], [10, 11]), ""),
        (patch([10], []), ""),
        (patch([98], [99]), ""),
        (None, ""),
    ],
)
def test_a_good_verdict_says_first_that_the_patch_never_ran(
    run_dir: Path, lines: dict[str, Any] | None, said: str
) -> None:
    verdict = judge(whole(run_dir, lines))
    assert (verdict.verdict, verdict.exit) == (Verdict.FIXED, 0)
    if said:
        assert verdict.reasons[0] == f"{said}, so this says nothing of the patch"
    else:
        assert "ran" not in verdict.reasons[0]


def test_a_verdict_that_blames_the_patch_needs_no_such_word(run_dir: Path) -> None:
    events = [
        replace(event, arm="after" if event.arm == "before" else "before") if isinstance(event, Iteration) else event
        for event in whole(run_dir, patch([], [11]))
    ]
    verdict = judge(events)
    assert verdict.verdict not in reports.GOOD
    assert not any("ever ran" in reason for reason in verdict.reasons)


def test_of_identical_builds_nothing_ran() -> None:
    events = [MEASURED, *KERNELS, {"event": "identical", "why": "byte for byte"}, END]
    verdict = judge(events)
    assert (verdict.verdict, verdict.reasons[0]) == (
        Verdict.UNCHANGED,
        "nothing was booted, so no line of the patch ran",
    )
    assert "not measured" in console.render(report(Path("/run"), [*events[:-1], {**END, "time": 1.0}], verdict))


def test_a_run_that_was_interrupted_is_not_measured_yet(run_dir: Path) -> None:
    events = at_one(events_of(patch([], [11])))
    text = console.render(report(run_dir, events, judge(events)))
    assert "not measured: the run did not reach its end" in text


def test_every_report_tells_of_the_patch(run_dir: Path) -> None:
    events = at_one(whole(run_dir, patch([10], [10, 11])))
    made = report(run_dir, events, judge(events))
    said = "1 of 2 lines that the patch adds ran; never: panthor_x.c:11"
    for render in (json_report.render, html.render, junit.render, kcidb.render):
        assert said in render(made), render.__module__
    assert said in " ".join(console.render(made).split())
    data = json_report.to_json(made)["coverage"]["after"]
    assert (data["lines"], data["patch"]["never"], data["suites"]["heap-exit"]) == (
        1,
        ["panthor_x.c:11"],
        {"functions": 1, "lines": 1},
    )


def test_without_the_option_no_report_says_anything(run_dir: Path) -> None:
    events = at_one([*events_of(None, start=START), END])
    made = report(run_dir, events, judge(events))
    assert json_report.to_json(made)["coverage"] is None
    for render in (console.render, html.render, junit.render):
        assert "lines of panthor" not in render(made)


def test_an_unproved_fix_is_told_on_the_console_before_its_figures(run_dir: Path) -> None:
    events = at_one(whole(run_dir, patch([], [11])))
    text = " ".join(console.render(report(run_dir, events, judge(events))).split())
    assert 0 < text.index("never ran on after") < text.index("all 1 claim workloads together")


def test_what_is_recorded_is_of_its_shape(run_dir: Path) -> None:
    recorded: list[dict[str, Any]] = json.loads(
        json.dumps(
            [
                versions.as_json(event)
                for event in whole(run_dir, patch([10], [11]))
                if isinstance(event, PatchLinesEvent | CoverageEvent)
            ]
        )
    )
    assert len(list(versions.events_of(recorded))) == 3
    for event, damage in (
        (recorded[0], {"added": {FILE: ["x"]}}),
        (recorded[1], {"patch": {"lines": 1}}),
        (recorded[1], {"suites": {"probe": {"lines": 1}}}),
    ):
        with pytest.raises(DamagedError):
            list(versions.events_of([{**event, **damage}]))


def test_a_run_of_one_kernel_tells_its_figures(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = typed([{**START, "options": {"coverage": True}}, *boot("after", 1, 1, 1, 0)])
    events += [*measure.conclude(run_dir, events), RunEnd()]
    assert summary(run_dir, events, as_json=False) == 0
    assert "coverage: 1 of 1 functions and 1 of 4 lines of panthor ran" in capsys.readouterr().out
    summary(run_dir, events, as_json=True)
    assert json.loads(capsys.readouterr().out)["coverage"]["lines"] == 1


@pytest.mark.parametrize(
    ("config", "said"),
    [("CONFIG_DRM_PANTHOR=m\n", "as a module"), ("CONFIG_DRM_PANTHOR=y\nCONFIG_RANDOMIZE_BASE=y\n", "at random")],
)
def test_kernels_that_cannot_be_measured_are_refused(tmp_path: Path, config: str, said: str) -> None:
    (tmp_path / "config").write_text(config)
    with pytest.raises(UsageError, match=said):
        measure.prepare(tmp_path, Side.AFTER, Kernel("k", tmp_path, "arm64", "6.12", "ab", "t"))


def test_real_boards_are_refused_before_anything_is_built() -> None:
    measure.check_boards([open_board("qemu-g610")])
    with pytest.raises(UsageError, match="rock-5b is a real one"):
        measure.check_boards(list(map(open_board, ("qemu-g610", "rock-5b"))))


def test_a_board_that_counts_nothing_is_an_error(tmp_path: Path) -> None:
    live = counts.create(tmp_path / "counts", TEXT)
    with pytest.raises(LabError, match="counted no instruction"):
        measure.check_counted(live)


def test_a_damaged_map_is_said(tmp_path: Path) -> None:
    (tmp_path / "after.map.json").write_text("{}")
    with pytest.raises(LabError, match=r"after\.map\.json"):
        measure.read_map(tmp_path / "after.map.json")

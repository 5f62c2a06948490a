# SPDX-License-Identifier: GPL-2.0-or-later
"""`--coverage` from the files of a run's boots to its events, its verdict and its reports."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panthorlab.board.api import RemoteFileError
from panthorlab.board.registry import open_board
from panthorlab.coverage import counts
from panthorlab.coverage.model import DRIVER, Function, LineRow, SourceMap
from panthorlab.errors import LabError, UsageError
from panthorlab.kernel.build.collect import NOTES
from panthorlab.kernel.model import Kernel
from panthorlab.outcome import Side
from panthorlab.report import console, html, json_report, junit, kcidb
from panthorlab.run import measure, reports
from panthorlab.run.meter import GcovMeter, open_meter, stretches
from panthorlab.run.record import (
    CoverageEvent,
    Event,
    Iteration,
    Note,
    PatchLinesEvent,
    PatchRan,
    RunEnd,
    SuiteRan,
    versions,
)
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
    assert isinstance(before, CoverageEvent)
    assert isinstance(after, CoverageEvent)
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
        measure.prepare(tmp_path, Side.AFTER, kernel_in(tmp_path), [open_board("qemu-g610")])


def kernel_in(folder: Path) -> Kernel:
    return Kernel("k", folder, "arm64", "6.12", "ab", "t")


def test_real_boards_want_a_kernel_that_counts_by_itself(tmp_path: Path) -> None:
    boards = list(map(open_board, ("qemu-g610", "rock-5b")))
    (tmp_path / "config").write_text("CONFIG_DRM_PANTHOR=m\n")
    with pytest.raises(UsageError, match="board rock-5b cannot count instructions") as refused:
        measure.prepare(tmp_path, Side.AFTER, kernel_in(tmp_path), boards)
    assert "--config gcov" in str(refused.value.hint)
    (tmp_path / NOTES / "mnt/obj").mkdir(parents=True)
    (tmp_path / NOTES / "mnt/obj/x.gcno").write_bytes(b"notes")
    recipe = measure.prepare(tmp_path / "run", Side.AFTER, kernel_in(tmp_path), boards)
    assert (recipe / "mnt/obj/x.gcno").read_bytes() == b"notes"
    assert isinstance(open_meter(recipe, tmp_path / "boot"), GcovMeter)


def test_what_nobody_asked_for_is_left_out_where_it_cannot_be_had(tmp_path: Path) -> None:
    boards, kernels = [open_board("qemu-g610")], {Side.AFTER: kernel_in(tmp_path)}
    (tmp_path / "config").write_text("CONFIG_DRM_PANTHOR=m\n")
    assert measure.prepare_all(tmp_path, kernels, boards, asked=False) == {}
    with pytest.raises(UsageError, match="as a module"):
        measure.prepare_all(tmp_path, kernels, boards, asked=True)
    (tmp_path / NOTES / "mnt/obj").mkdir(parents=True)
    assert measure.prepare_all(tmp_path, kernels, boards, asked=False) == {}, "asking the board would be another run"
    assert measure.prepare_all(tmp_path, kernels, boards, asked=True).keys() == {"k"}


def test_a_board_that_counts_nothing_is_an_error(run_dir: Path, tmp_path: Path) -> None:
    meter = open_meter(run_dir / "coverage/after.map.json", tmp_path / "boot")
    assert meter.counts == tmp_path / "boot/coverage/counts"
    with pytest.raises(LabError, match="counted no instruction"):
        meter.check(Files({}))


def test_a_damaged_map_is_said(tmp_path: Path) -> None:
    (tmp_path / "after.map.json").write_text("{}")
    with pytest.raises(LabError, match=r"after\.map\.json"):
        open_meter(tmp_path / "after.map.json", tmp_path)


class Files:
    """A board's shell as far as a meter needs it: files that are read, and what was written."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.written = files, list[str]()

    def get(self, path: str) -> bytes:
        if path not in self.files:
            raise RemoteFileError(f"read {path}", errno=errno.ENOENT)
        return self.files[path]

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        self.written.append(path)

    def start(self, *args: Any, **more: Any) -> Any:
        raise NotImplementedError

    def run(self, *args: Any, **more: Any) -> Any:
        raise NotImplementedError


def test_a_kernel_that_counts_is_asked_at_the_end_of_each_stretch(tmp_path: Path) -> None:
    notes = tmp_path / "after.gcno/arm64"
    (notes / "mnt/obj").mkdir(parents=True)
    for name in ("a", "never-loaded"):
        (notes / f"mnt/obj/{name}.gcno").touch()
    board = Files({"/sys/kernel/debug/gcov/mnt/obj/a.gcda": b"boot"})
    meter = GcovMeter(notes, tmp_path / "coverage")
    meter.check(board)
    meter.begin(board, "probe")
    assert board.written == ["/sys/kernel/debug/gcov/reset"]
    board.files["/sys/kernel/debug/gcov/mnt/obj/a.gcda"] = b"probe"
    meter.begin(board, "heap-exit")  # the board dies in it
    found = [
        (name, sorted(path.read_bytes() for path in counts.values()))
        for name, counts in stretches(tmp_path / "coverage", notes)
    ]
    assert found == [("(boot)", [b"boot"]), ("probe", [b"probe"]), ("heap-exit", [])]
    with pytest.raises(LabError, match="counts nothing for gcov"):
        GcovMeter(notes, tmp_path / "other").check(Files({}))


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of two boots of a kernel that counts, made of a program that has run once in `probe` of the first and twice
    in `heap-exit` of the second, in which the board then died."""
    monkeypatch.setenv("CROSS_COMPILE", "")
    build = tmp_path / "mnt/obj"
    (tmp_path / "mnt/src" / DRIVER).mkdir(parents=True)
    (build / DRIVER).mkdir(parents=True)
    (tmp_path / "mnt/src" / FILE).write_text(
        "int main(int argc, char **argv)\n{\n\tif (argc > 2)\n\t\treturn 3;\n\treturn 0;\n}\n"
    )
    flags = ["-O0", "-fprofile-arcs", "-ftest-coverage"]
    stem = FILE.removesuffix(".c")
    subprocess.run(["gcc", *flags, "-c", f"../src/{FILE}", "-o", f"{stem}.o"], cwd=build, check=True, timeout=60)
    subprocess.run(["gcc", "--coverage", f"{stem}.o", "-o", "program"], cwd=build, check=True, timeout=60)
    notes = tmp_path / "coverage/after.gcno/arm64" / DRIVER
    notes.mkdir(parents=True)
    shutil.copy(build / f"{stem}.gcno", notes)
    shutil.copy(build / f"{stem}.gcno", notes / "gone.gcno")  # of a file that this kernel does not have
    for boot_name, stretch, runs in (("after1.1", "001-probe", 1), ("after2.1", "001-heap-exit", 2)):
        for _ in range(runs):
            subprocess.run(["./program"], cwd=build, check=True, timeout=60)
        folder = tmp_path / "boots" / boot_name / "coverage"
        (folder / stretch / DRIVER).mkdir(parents=True)
        (build / f"{stem}.gcda").rename(folder / stretch / f"{stem}.gcda")
    (tmp_path / "boots/after2.1/coverage/002-unplug").mkdir()
    return tmp_path


def test_a_run_of_a_kernel_that_counts(counted: Path) -> None:
    events = typed([{**START, "options": {"coverage": True}}, *boot("after", 1, 1, 1, 0), *boot("after", 2, 1, 1, 0)])
    ran, lost = measure.conclude(counted, events)
    assert isinstance(ran, CoverageEvent)
    assert (ran.functions, ran.function_total, ran.lines, ran.line_total) == (1, 1, 3, 4)
    assert ran.suites == {"probe": SuiteRan(1, 3), "heap-exit": SuiteRan(1, 3), "unplug": SuiteRan(0, 0)}
    assert isinstance(lost, Note)
    assert lost.text == "coverage of after: what ran of unplug in boot after2.1 is not known, for the board died"
    assert "DA:3,3" in (counted / "coverage/after.lcov").read_text().splitlines()
    assert "DA:4,0" in (counted / "coverage/after.lcov").read_text().splitlines()

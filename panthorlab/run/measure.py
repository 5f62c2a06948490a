# SPDX-License-Identifier: GPL-2.0-or-later
"""`--coverage`: what a run does to measure which lines of the driver run. Its results are in `RUN/coverage/`."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from panthorlab.board.board import Board
from panthorlab.coverage import counts, lcov, table
from panthorlab.coverage.changes import changes
from panthorlab.coverage.counts import Counts
from panthorlab.coverage.dwarf import HINT, read_vmlinux
from panthorlab.coverage.lines import executed
from panthorlab.coverage.model import SourceMap, from_json
from panthorlab.coverage.patch import patch_lines
from panthorlab.errors import LabError, UsageError
from panthorlab.files import write_whole
from panthorlab.jsonvalue import JsonObject
from panthorlab.kernel.build import config
from panthorlab.kernel.build.plan import Sides
from panthorlab.kernel.driver import PANTHOR, only
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.source.trees import read_base
from panthorlab.outcome import Side
from panthorlab.report import coverage as report
from panthorlab.run.arms import ALONE
from panthorlab.run.record import BootStart, CoverageEvent, Event, PatchLinesEvent, PatchRan, SuiteRan
from panthorlab.run.record.codec import encode

FOLDER: Final = counts.FOLDER


def check_boards(boards: Sequence[Board]) -> None:
    """Raises UsageError for a board that cannot count instructions."""
    for board in boards:
        if not board.counts:
            raise UsageError(
                f"board {board.name} is a {board.file.type} one: --coverage counts instructions in QEMU",
                hint="measure on an emulated board (--board qemu-g610)",
            )


def prepare(run_dir: Path, arm: str, kernel: Kernel, others: Collection[str] = ()) -> Path:
    """The map of the kernel's lines, made for this run; `others`: files that are measured beside the driver's.

    Raises UsageError for a kernel that cannot be measured.
    """
    values = config.parse_dotconfig((kernel.path / "config").read_text(errors="replace"))
    if (driver := only(values, kernel.title)) is not PANTHOR:
        raise UsageError(
            f"{kernel.title}: coverage is measured of panthor, not of {driver.name}", hint="leave out --coverage"
        )
    if values.get(PANTHOR.symbol) != "y":
        raise UsageError(
            f"{kernel.title}: coverage of panthor as a module cannot be measured, it has no fixed address",
            hint="build it in (CONFIG_DRM_PANTHOR=y)",
        )
    if values.get("RANDOMIZE_BASE") == "y":
        raise UsageError(
            f"{kernel.title} chooses its address at random, so nobody knows which line an instruction is",
            hint="build it without CONFIG_RANDOMIZE_BASE",
        )
    path = _map_of(run_dir, arm)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_whole(path, read_vmlinux(kernel.path / "vmlinux", kernel.build_id, others=others).to_json())
    except UsageError as error:
        raise UsageError(f"kernel {kernel.key[:12]} ({kernel.title}) cannot be measured: {error}", hint=HINT) from error
    return path


def read_map(path: Path) -> SourceMap:
    """A map that `prepare` made. Raises LabError if it is damaged or gone."""
    try:
        return from_json(path.read_text())
    except (OSError, ValueError) as error:
        raise LabError(f"{path}: {error}", hint="start the run again") from error


def live_counts(log_dir: Path, map_file: Path) -> Path:
    """The file in which a boot with its logs in `log_dir` counts; new."""
    return counts.create(log_dir / FOLDER / counts.LIVE, read_map(map_file).text)


def check_counted(live: Path) -> None:
    """Raises LabError if a board that is up has counted nothing: then what it has not run says nothing."""
    if not any(counts.read(live).values):
        raise LabError(
            "QEMU runs, but has counted no instruction of the driver",
            hint="is the kernel at another address than vmlinux says? see qemu.log of the boot",
        )


def changed_lines(sides: Sides) -> PatchLinesEvent:
    """The patch's lines for the record."""
    paths = {*sides.before.changes, *sides.after.changes}

    def content(changed: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
        return {path: changed[path] if path in changed else read_base(sides.base, path) for path in paths}

    found = changes(content(sides.before.changes), content(sides.after.changes))
    return PatchLinesEvent(
        removed={path: tuple(one.removed) for path, one in found.items()},
        added={path: tuple(one.added) for path, one in found.items()},
    )


def patched_files(events: Sequence[Event]) -> frozenset[str]:
    """The files that the run's patches change, wherever they lie."""
    return frozenset(file for event in events if isinstance(event, PatchLinesEvent) for file in event.added)


def conclude(run_dir: Path, events: Sequence[Event]) -> list[CoverageEvent]:
    """Write what the run has measured so far, and give the events that say it: one for each arm that was booted."""
    found, tables = [], {}
    patch = next((event for event in reversed(events) if isinstance(event, PatchLinesEvent)), None)
    changed = {Side.BEFORE.value: patch.removed, Side.AFTER.value: patch.added} if patch else {}
    starts = [event for event in events if isinstance(event, BootStart)]
    for arm in sorted({start.arm for start in starts}, key=_turn):
        boots = [run_dir / "boots" / start.boot / FOLDER / counts.LIVE for start in starts if start.arm == arm]
        stretches = [part for live in boots if live.exists() for part in counts.by_suite(live)]
        if stretches:
            event, tables[stem(arm)] = _measured(run_dir, arm, stretches, changed.get(arm))
            found.append(event)
    _write_tables(run_dir, tables)
    return found


def conclude_boot(run_dir: Path, live: Path) -> JsonObject:
    """The same of a single boot without suites: its figures. Says on stderr what they come to."""
    event, table_of = _measured(run_dir, ALONE, counts.by_suite(live), None)
    _write_tables(run_dir, {stem(ALONE): table_of})
    told = report.driver_text(report.Coverage(event.functions, event.function_total, event.lines, event.line_total))
    print(f"panthorlab: {told}; per function: {run_dir / FOLDER}", file=sys.stderr, flush=True)
    return figures(event)


def figures(event: CoverageEvent) -> JsonObject:
    """What was measured of a kernel that nothing is compared with, as JSON."""
    return {
        "functions": event.functions,
        "function_total": event.function_total,
        "lines": event.lines,
        "line_total": event.line_total,
        "suites": encode(event.suites),
    }


def stem(arm: str) -> str:
    """What the files of an arm are called; those of the only one as ever, for whoever reads them has learnt it so."""
    return Side.AFTER.value if arm == ALONE else arm


def _turn(arm: str) -> tuple[bool, str]:
    return arm != Side.BEFORE, arm


def _write_tables(run_dir: Path, tables: Mapping[str, object]) -> None:
    if tables:
        write_whole(run_dir / FOLDER / "functions.json", json.dumps(tables, indent=1))


def _measured(
    run_dir: Path, arm: str, stretches: Sequence[tuple[str, Counts]], patch: Mapping[str, Sequence[int]] | None
) -> tuple[CoverageEvent, Mapping[str, object]]:
    """Writes one arm's files. Its event, and its part of `functions.json`."""
    source = read_map(_map_of(run_dir, arm))
    by_suite = {
        name: counts.total((part for other, part in stretches if other == name), source.text)
        for name in dict.fromkeys(name for name, _ in stretches)
    }
    whole = executed(source, counts.total(by_suite.values(), source.text))
    suites = {name: executed(source, part) for name, part in by_suite.items()}
    write_whole(run_dir / FOLDER / f"{stem(arm)}.lcov", lcov.render(whole, stem(arm)))
    write_whole(run_dir / FOLDER / f"{stem(arm)}.txt", table.render(source, whole, suites))
    ran = patch_lines(patch, whole.lines) if patch is not None else None
    event = CoverageEvent(
        arm=arm,
        functions=whole.functions_ran,
        function_total=whole.function_total,
        lines=whole.lines_ran,
        line_total=whole.line_total,
        suites={name: SuiteRan(one.functions_ran, one.lines_ran) for name, one in suites.items()},
        patch=PatchRan(ran.lines, ran.ran, ran.never, ran.outside) if ran else None,
    )
    return event, table.to_json(source, whole, suites)


def _map_of(run_dir: Path, arm: str) -> Path:
    return run_dir / FOLDER / f"{stem(arm)}.map.json"

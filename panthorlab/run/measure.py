# SPDX-License-Identifier: GPL-2.0-or-later
"""`--coverage`: what a run does to measure which lines of the driver run. Its results are in `RUN/coverage/`.

A kernel that counts for gcov is measured so, on any board; every other one by the instructions that QEMU counts.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from panthorlab.board.board import Board
from panthorlab.coverage import counts, lcov, table
from panthorlab.coverage.changes import changes
from panthorlab.coverage.counts import FOLDER as FOLDER
from panthorlab.coverage.dwarf import HINT
from panthorlab.coverage.files import Wanted
from panthorlab.coverage.gcov import read_report
from panthorlab.coverage.kept import map_of
from panthorlab.coverage.lines import Executed, executed, nothing_of, together
from panthorlab.coverage.patch import patch_lines
from panthorlab.errors import LabError, UsageError
from panthorlab.files import write_whole
from panthorlab.jsonvalue import JsonObject
from panthorlab.kernel.build import config, gcov
from panthorlab.kernel.build.collect import NOTES
from panthorlab.kernel.build.plan import Sides
from panthorlab.kernel.driver import PANTHOR, only
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.source.trees import read_base
from panthorlab.outcome import Side
from panthorlab.report import coverage as report
from panthorlab.run.arms import ALONE
from panthorlab.run.meter import read_map, stretches
from panthorlab.run.record import BootStart, CoverageEvent, Event, Note, PatchLinesEvent, PatchRan, SuiteRan
from panthorlab.run.record.codec import encode


def prepare(run_dir: Path, arm: str, kernel: Kernel, boards: Sequence[Board], others: Collection[str] = ()) -> Path:
    """What it takes to measure the kernel on these boards, made for this run: see `meter.open_meter`. `others`: files
    that are measured beside the driver's.

    Raises UsageError for a kernel that cannot be measured.
    """
    values = config.parse_dotconfig((kernel.path / "config").read_text(errors="replace"))
    if (driver := only(values, kernel.title)) is not PANTHOR:
        raise UsageError(
            f"{kernel.title}: coverage is measured of panthor, not of {driver.name}", hint="leave out --coverage"
        )
    if (kernel.path / NOTES).is_dir():
        gcov.check(kernel.arch)
        return shutil.copytree(kernel.path / NOTES, _notes_of(run_dir, arm) / kernel.arch, dirs_exist_ok=True)
    if unable := [board.name for board in boards if not board.counts]:
        raise UsageError(
            f"board {unable[0]} cannot count instructions, and {kernel.title} does not count for gcov",
            hint="`panthorlab build --config gcov` builds one that does",
        )
    return _prepare_map(_map_of(run_dir, arm), kernel, values, others)


def prepare_all(
    run_dir: Path,
    kernels: Mapping[str, Kernel] | Mapping[Side, Kernel],
    boards: Sequence[Board],
    others: Collection[str] = (),
    *,
    asked: bool,
) -> dict[str, str]:
    """The same for the kernel of each arm, by its key. Unless the user has `asked` for it, kernels are left out that
    cannot be measured, or only by asking them, which would be another run."""
    found = {}
    for arm, kernel in kernels.items():
        if not asked and (kernel.path / NOTES).is_dir():
            continue
        try:
            found[kernel.key] = str(prepare(run_dir, arm, kernel, boards, others))
        except UsageError:
            if asked:
                raise
    return found


def _prepare_map(path: Path, kernel: Kernel, values: Mapping[str, str], others: Collection[str]) -> Path:
    if values.get(PANTHOR.symbol) != "y":
        raise UsageError(
            f"{kernel.title}: coverage of panthor as a module cannot be measured, it has no fixed address",
            hint="build it in (CONFIG_DRM_PANTHOR=y), or so that it counts by itself (--config gcov)",
        )
    if values.get("RANDOMIZE_BASE") == "y":
        raise UsageError(
            f"{kernel.title} chooses its address at random, so nobody knows which line an instruction is",
            hint="build it without CONFIG_RANDOMIZE_BASE",
        )
    try:
        text = map_of(kernel.path / "vmlinux", kernel.build_id, kernel.key, others)
    except UsageError as error:
        raise UsageError(f"kernel {kernel.key[:12]} ({kernel.title}) cannot be measured: {error}", hint=HINT) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
    return path


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


def conclude(run_dir: Path, events: Sequence[Event]) -> list[CoverageEvent | Note]:
    """Write what the run has measured so far, and give the events that say it: of each arm that was booted, and what
    of it was lost."""
    found: list[CoverageEvent | Note] = []
    tables = {}
    patch = next((event for event in reversed(events) if isinstance(event, PatchLinesEvent)), None)
    changed = {Side.BEFORE.value: patch.removed, Side.AFTER.value: patch.added} if patch else {}
    starts = [event for event in events if isinstance(event, BootStart)]
    for arm in sorted({start.arm for start in starts}, key=_turn):
        boots = [run_dir / "boots" / start.boot / FOLDER for start in starts if start.arm == arm]
        measured = _read(run_dir, arm, [folder for folder in boots if folder.exists()], patched_files(events))
        if measured is not None:
            event, tables[stem(arm)] = _written(run_dir, arm, measured, changed.get(arm))
            found += [event, *(Note(text=f"coverage of {stem(arm)}: {text}") for text in measured.lost)]
    _write_tables(run_dir, tables)
    return found


def ran_so_far(run_dir: Path, arm: str, events: Sequence[Event]) -> Executed | None:
    """What an arm has executed in all its boots of this record. None if that was not measured."""
    starts = [event for event in events if isinstance(event, BootStart) and event.arm == arm]
    folders = [folder for start in starts if (folder := run_dir / "boots" / start.boot / FOLDER).exists()]
    measured = _read(run_dir, arm, folders, ())
    return None if measured is None else measured.whole


def conclude_boot(run_dir: Path) -> JsonObject:
    """The same of a single boot without suites: its figures. Says on stderr what they come to."""
    measured = _read(run_dir, ALONE, [run_dir / FOLDER], ())
    if measured is None:
        raise LabError("the boot has measured nothing")
    event, table_of = _written(run_dir, ALONE, measured, None)
    _write_tables(run_dir, {stem(ALONE): table_of})
    text = report.driver_text(report.Coverage(event.functions, event.function_total, event.lines, event.line_total))
    print(f"panthorlab: {text}; per function: {run_dir / FOLDER}", file=sys.stderr, flush=True)
    for lost in measured.lost:
        print(f"panthorlab: coverage: {lost}", file=sys.stderr, flush=True)
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


@dataclass(frozen=True)
class _Measurement:
    """What ran in the boots of an arm. `lost`: what of it nobody knows, in words."""

    whole: Executed
    suites: Mapping[str, Executed]
    lost: Sequence[str] = ()


def _read(run_dir: Path, arm: str, folders: Sequence[Path], others: Collection[str]) -> _Measurement | None:
    """`folders`: of its boots. None if nothing of it was measured."""
    if _map_of(run_dir, arm).exists():
        return _from_instructions(_map_of(run_dir, arm), folders)
    return next(
        (_from_gcov(notes, folders, Wanted(others=frozenset(others))) for notes in _notes_of(run_dir, arm).glob("*")),
        None,
    )


def _from_instructions(map_file: Path, folders: Sequence[Path]) -> _Measurement | None:
    parts = [
        part for folder in folders if (folder / counts.LIVE).exists() for part in counts.by_suite(folder / counts.LIVE)
    ]
    if not parts:
        return None
    source = read_map(map_file)
    by_suite = {
        name: counts.total((part for other, part in parts if other == name), source.text)
        for name in dict.fromkeys(name for name, _ in parts)
    }
    return _Measurement(
        executed(source, counts.total(by_suite.values(), source.text)),
        {name: executed(source, part) for name, part in by_suite.items()},
    )


def _from_gcov(folder: Path, folders: Sequence[Path], wanted: Wanted) -> _Measurement | None:
    """`folder`: the compiler's notes, called as the architecture."""
    parts = [(boot, name, found) for boot in folders for name, found in stretches(boot, folder)]
    known: dict[Path, Executed] = {}  # notes that no boot has counts for were left by another kernel of the same tree
    ran = []
    for _, _, found in parts:
        reports = gcov.run(folder.name, found)
        ran.append({note: read_report(text, wanted) for note, text in zip(found, reports, strict=True)})
        known |= ran[-1]
    if not known:
        return None
    suites: dict[str, list[Executed]] = {}
    for (_, name, _), objects in zip(parts, ran, strict=True):
        suites.setdefault(name, []).append(together(objects.get(note, nothing_of(known[note])) for note in known))
    lost = [
        f"what ran of {name} in boot {boot.parent.name} is not known, for the board died"
        for boot, name, found in parts
        if not found
    ]
    return _Measurement(
        together(part for parts in suites.values() for part in parts),
        {name: together(parts) for name, parts in suites.items()},
        lost,
    )


def _written(
    run_dir: Path, arm: str, measured: _Measurement, patch: Mapping[str, Sequence[int]] | None
) -> tuple[CoverageEvent, Mapping[str, object]]:
    """Writes one arm's files. Its event, and its part of `functions.json`."""
    whole, suites = measured.whole, measured.suites
    write_whole(run_dir / FOLDER / f"{stem(arm)}.lcov", lcov.render(whole, stem(arm)))
    write_whole(run_dir / FOLDER / f"{stem(arm)}.txt", table.render(whole, suites))
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
    return event, table.to_json(whole, suites)


def _map_of(run_dir: Path, arm: str) -> Path:
    return run_dir / FOLDER / f"{stem(arm)}.map.json"


def _notes_of(run_dir: Path, arm: str) -> Path:
    return run_dir / FOLDER / f"{stem(arm)}.gcno"

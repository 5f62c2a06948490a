# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab doctor --exact`: whether one seed is one run on this machine, and if not, the first event that differs.

Each seed runs twice: alone, and beside a busy loop on every CPU. Both runs write down each register access, interrupt,
timer of the GPU model and message between host and guest, and a hash of all executed code wherever the CPU was held.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab import spawn
from panthorlab.board.boardtime import TimeName
from panthorlab.board.exactrecord import FirstDifference, RecordError, first_difference, read_record
from panthorlab.errors import LabError, UsageError
from panthorlab.jsonvalue import JsonObject
from panthorlab.paths import PACKAGE
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import BoardUp, BootEnd
from panthorlab.run.record.log import new_run_dir, read_run

SUITE: Final = "heap-exit-claim"
INCONCLUSIVE: Final = 3
RECORDED: Final = ("--param", "gpu.exact.record=on", "--param", "gpu.exact.blocks=on")
_BUSY: Final = "import os; os.nice(5)\nwhile True: pass"
"""A little nicer than the board: it still takes its turns, but not before each of ten thousand answers of the model."""


@dataclass(frozen=True)
class RanBoot:
    """A boot of one of the two runs."""

    name: str
    log_dir: Path
    end: BootEnd


@dataclass(frozen=True)
class RanRun:
    """`seconds` of the host."""

    boots: tuple[RanBoot, ...]
    seconds: float


@dataclass(frozen=True)
class ComparedBoot:
    """`difference`: the first event that differs; `otherwise`: what else does, `unknown`: why they could not be
    compared, all empty if they are the same. `events`: as many were compared. `ended`: why both ended early."""

    name: str
    digest: str | None
    instructions: int | None
    events: int = 0
    difference: FirstDifference | None = None
    otherwise: str = ""
    unknown: str = ""
    ended: str = ""

    @property
    def same(self) -> bool:
        return self.difference is None and not self.otherwise and not self.unknown


@dataclass(frozen=True)
class ComparedSeed:
    """`seconds`: alone, and on the busy host."""

    seed: int
    boots: tuple[ComparedBoot, ...]
    seconds: tuple[float, float]


def main(options: argparse.Namespace) -> int:
    """Exit status: 0 if all was the same, 4 if something differs or there is no exact time here, 3 if it is unknown."""
    if options.kernel is None:
        raise UsageError("--exact wants a kernel to boot", hint="--kernel K; `panthorlab build` prints a key")
    folder = new_run_dir(options.output)
    progress = ProgressDisplay(quiet=options.quiet)
    seeds = []
    try:
        for seed in range(1, options.seeds + 1):
            progress.step(f"seed {seed} of {options.seeds}, alone")
            alone = _run(options, seed, folder / f"seed{seed}-alone")
            progress.step(f"seed {seed} of {options.seeds}, on a busy host")
            with busy_host():
                busy = _run(options, seed, folder / f"seed{seed}-busy")
            seeds.append(ComparedSeed(seed, tuple(compare(alone.boots, busy.boots)), (alone.seconds, busy.seconds)))
    finally:
        progress.finish()
    status = exit_status([boot for seed in seeds for boot in seed.boots])
    if options.json:
        print(json.dumps({"exit": status, "seeds": [_as_json(seed) for seed in seeds], "run": str(folder)}, indent=1))
    else:
        for line in (line for seed in seeds for line in told(seed)):
            print(line)
        print(f"records   {folder}")
    return status


def exit_status(boots: Sequence[ComparedBoot]) -> int:
    """The worst of all boots; none at all prove nothing."""
    if any(boot.difference is not None or boot.otherwise for boot in boots):
        return LabError.exit_status
    return 0 if boots and all(boot.same for boot in boots) else INCONCLUSIVE


@contextmanager
def busy_host() -> Iterator[None]:
    """A loop that never ends on each CPU that this process may use."""
    loops = [
        spawn.spawn([sys.executable, "-I", "-c", _BUSY], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cpu=cpu)
        for cpu in sorted(os.sched_getaffinity(0))
    ]
    try:
        yield
    finally:
        for loop in loops:
            spawn.end(loop, gently=0)


def compare(first: Sequence[RanBoot], second: Sequence[RanBoot]) -> Iterator[ComparedBoot]:
    """Boot by boot; one that only one of the runs has is a difference, too."""
    for one, other in itertools.zip_longest(first, second):
        if one is None or other is None or one.name != other.name:
            there = [boot for boot in (one, other) if boot is not None]
            why = "; ".join(boot.end.why for boot in there if boot.end.why) or "no reason known"
            yield ComparedBoot(there[0].name, None, None, unknown=f"one run has it alone; {why}")
            return
        yield compare_boots(one, other)


def compare_boots(one: RanBoot, other: RanBoot) -> ComparedBoot:
    """Compare what is recorded of two boots, and their digests."""
    name, digest, instructions = one.name, one.end.digest, one.end.instructions
    events = 0
    try:
        events = sum(1 for _ in read_record(one.log_dir))
        difference = first_difference(read_record(one.log_dir), read_record(other.log_dir))
    except (OSError, RecordError) as error:
        return ComparedBoot(name, digest, instructions, unknown=f"the record cannot be read: {error}")
    if difference is not None:
        return ComparedBoot(name, digest, instructions, events, difference)
    otherwise = ""
    if digest is None and other.end.digest is None:
        if not one.end.reason and not other.end.reason:
            return ComparedBoot(name, None, None, events, unknown="neither has a digest, and nothing says why")
        otherwise = _unequal_reasons(one.end, other.end)
    elif digest is None or other.end.digest is None:
        early = one.end if digest is None else other.end
        otherwise = f"one ended early ({early.reason})"
    elif digest != other.end.digest:
        otherwise = f"the console: {_unequal_console(one.log_dir, other.log_dir)}"
    return ComparedBoot(name, digest, instructions, events, otherwise=otherwise, ended=one.end.reason or "")


def _unequal_reasons(one: BootEnd, other: BootEnd) -> str:
    """Why two boots that ended early did not end the same way. Only the outcome counts: a reason names directories."""
    if (one.outcome, one.blame, one.booted) == (other.outcome, other.blame, other.booted):
        return ""
    return f"they ended differently: {one.reason}  |  {other.reason}"


def _unequal_console(one: Path, other: Path) -> str:
    lines = [(folder / "console.log").read_bytes().split(b"\n") for folder in (one, other)]
    for number, pair in enumerate(itertools.zip_longest(*lines), start=1):
        if pair[0] != pair[1]:
            first, second = (ascii(line)[1:] if line is not None else "its end" for line in pair)
            return f"line {number}, {first}  |  {second}"
    return "the digests differ, the logs do not"


def told(seed: ComparedSeed) -> Iterator[str]:
    """What came of a seed, in lines."""
    alone, busy = seed.seconds
    for boot in seed.boots:
        head = f"seed {seed.seed:<4} {boot.name}: "
        if boot.same:
            what = f"digest {boot.digest[:16]}" if boot.digest else f"it ended early both times ({boot.ended})"
            count = f"{boot.instructions} instructions, " if boot.instructions else ""
            yield f"{head}same, {count}{boot.events} events, {what}; {alone:.1f} s alone, {busy:.1f} s on a busy host"
        elif boot.difference is not None:
            first = boot.difference.event
            yield f"{head}DIFFERS first at instruction {first.count}: {first.meaning}"
            yield from (f"          before  {event}" for event in boot.difference.before)
            yield f"          alone   {boot.difference.first or 'no further event'}"
            yield f"          busy    {boot.difference.second or 'no further event'}"
        elif boot.otherwise:
            yield f"{head}DIFFERS after {boot.events} equal events: {boot.otherwise}"
        else:
            yield f"{head}unknown: {boot.unknown}"
    if not seed.boots:
        yield f"seed {seed.seed:<4} unknown: nothing was booted"


def _run(options: argparse.Namespace, seed: int, run_dir: Path) -> RanRun:
    """Run the suites in a process of its own, as a user would. Raises UsageError or LabError if there is no run."""
    begin = time.monotonic()
    run_dir.mkdir(parents=True)
    with (run_dir / "output.log").open("wb") as output:
        process = spawn.spawn(
            [sys.executable, "-P", "-m", "panthorlab", "run", *_arguments(options, seed, run_dir)],
            stdout=subprocess.DEVNULL,
            stderr=output,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *_own_path()])},
        )
        try:
            status = process.wait()
        finally:
            spawn.end(process, gently=5.0)
    seconds = time.monotonic() - begin
    last = (run_dir / "output.log").read_text(errors="replace").strip()[-2000:]
    if status == UsageError.exit_status:
        why, _, hint = last.rpartition("panthorlab: ")[2].partition("\n  hint: ")
        raise UsageError(why, hint=hint)
    if not (run_dir / "events.jsonl").exists():
        raise LabError(f"seed {seed} did not run: {last or f'status {status}'}")
    events = read_run(run_dir)
    for board in (event for event in events if isinstance(event, BoardUp)):
        if board.facts.get("time") != TimeName.EXACT:
            raise LabError(f"there is no exact time here: {board.facts.get('time_why') or 'the board has none'}")
    ends = [event for event in events if isinstance(event, BootEnd)]
    return RanRun(tuple(RanBoot(end.boot, run_dir / "boots" / end.boot, end) for end in ends), seconds)


def _arguments(options: argparse.Namespace, seed: int, run_dir: Path) -> Iterator[str]:
    yield from ("--kernel", options.kernel, "--time", TimeName.EXACT, "--seed", str(seed), "--output", str(run_dir))
    yield from ("--iterations", str(options.iterations), "--boots", "1", "--jobs", "1", "--quiet", *RECORDED)
    for suite in options.suite or [SUITE]:
        yield from ("--suite", suite)
    for board in options.board or ():
        yield from ("--board", board)
    for param in options.param:
        yield from ("--param", param)


def _own_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def _as_json(seed: ComparedSeed) -> JsonObject:
    return {
        "seed": seed.seed,
        "seconds": list(seed.seconds),
        "boots": [
            {
                "boot": boot.name,
                "same": boot.same,
                "digest": boot.digest,
                "instructions": boot.instructions,
                "events": boot.events,
                "difference": _difference_as_json(boot.difference),
                "otherwise": boot.otherwise,
                "unknown": boot.unknown,
                "ended": boot.ended,
            }
            for boot in seed.boots
        ],
    }


def _difference_as_json(difference: FirstDifference | None) -> JsonObject | None:
    if difference is None:
        return None
    return {
        "kind": difference.event.meaning,
        "instruction": difference.event.count,
        "alone": str(difference.first) if difference.first else None,
        "busy": str(difference.second) if difference.second else None,
        "before": [str(event) for event in difference.before],
    }

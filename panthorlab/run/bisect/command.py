# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab bisect`: the first bad commit of a git tree, by boots."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from panthorlab.errors import LabError, UsageError
from panthorlab.jsonvalue import JsonObject
from panthorlab.kernel.build import config
from panthorlab.kernel.driver import requested
from panthorlab.kernel.jail.sandbox import sandbox, without_jail
from panthorlab.kernel.source.commits import History, read_history
from panthorlab.kernel.source.git import resolve_commit
from panthorlab.report.text import json_text
from panthorlab.run import fleet
from panthorlab.run.bisect import prospect
from panthorlab.run.bisect.gitlog import LOG, GitLog, check_term, parse
from panthorlab.run.bisect.hands import Kernels, RealHands, weights_of
from panthorlab.run.bisect.search import Bisect
from panthorlab.run.bisect.state import Known
from panthorlab.run.bisect.symptoms import WantedFault
from panthorlab.run.kernels import parse_params
from panthorlab.run.limits import TimeLimitReached, time_limit
from panthorlab.run.planning import record_needs
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import BisectEnd, BisectSkip, BisectStart, Event, Resumed, RunEnd, RunStart, Settings
from panthorlab.run.record.codec import decode
from panthorlab.run.record.log import EventLog, new_run_dir, read_events, read_run, start_of
from panthorlab.run.record.versions import VERSION
from panthorlab.run.suites import find_suites, lasting
from panthorlab.run.survey import survey
from panthorlab.text import readable

MOST_OF_A_LOG: Final = 1 << 20
"""Bytes; each step has two lines."""


def main(options: argparse.Namespace) -> int:
    """0: the culprit is named and verified; 2: the ends are not what they are called; 3: not narrowed down to one, or
    not shown; 4: lab."""
    if options.resume:
        _check_resumed(options)
        return resume(options.resume.resolve(), as_json=options.json, quiet=options.quiet)
    return begin(options)


def _check_resumed(options: argparse.Namespace) -> None:
    """All of a bisect is on record: whoever asks for something else does not mean that one. Raises UsageError."""
    names = ("base", "good", "bad", "skip", "replay", "signature", "suite", "board", "config", "output", "dry_run")
    if given := [f"--{name.replace('_', '-')}" for name in names if getattr(options, name)]:
        raise UsageError(
            f"--resume goes on with what is on record: {', '.join(given)} would not be heeded",
            hint="leave out the one or the other",
        )


def begin(options: argparse.Namespace) -> int:
    """A new one."""
    if options.base is None:
        raise UsageError("bisect needs a git tree", hint="--base TREE --good REV --bad REV, or --resume DIR")
    ends = _ends(options)
    repository = options.base.expanduser().resolve()
    if not repository.is_dir():
        raise UsageError(f"--base {options.base}: no such directory", hint="a git tree of the kernel")
    if options.signature:
        WantedFault.checked(options.signature)
    parse_params(options.param)
    suites = find_suites(options.suite)
    chosen = fleet.choose(options)
    history = read_history(repository, ends.good, ends.bad)
    skips = dict.fromkeys(resolve_commit(repository, name, "commit") for name in ends.skip)
    if end := next((name for name in skips if name in (history.bad, history.good[0])), None):
        raise UsageError(f"{end[:12]} is an end, which must be tested", hint="choose another end instead of --skip")
    if options.dry_run:
        return prospect.show(options, history, skips, chosen.boards, list(suites))
    sandbox()
    start = BisectStart(
        repository=str(repository),
        good=tuple(resolve_commit(repository, name, "commit") for name in ends.good),
        bad=history.bad,
        signature=options.signature,
        limit=options.boots,
        fragments=fleet.fragments_of(chosen.boards, [_kept(name) for name in options.config]),
        old=ends.old,
        new=ends.new,
        tree=options.tree,
    )
    given = {
        **vars(options),
        **fleet.recorded(options, chosen),
        "base": str(repository),
        "suite": lasting(options.suite),
        "boots": 1,
    }
    settings = decode(Settings, given)
    needs = survey(suites.values())
    run_dir = new_run_dir(options.output)
    with EventLog(run_dir) as log:
        log.append(RunStart(options=settings, suites=tuple(suites), version=VERSION))
        log.append(start)
        for commit in skips:
            log.append(BisectSkip(commit=commit, why="asked for"))
        record_needs(log, needs)
        return _carry_on(log, history, settings, as_json=options.json, quiet=options.quiet)


def resume(run_dir: Path, *, as_json: bool, quiet: bool) -> int:
    """Go on with one that was stopped; one that has ended is reported again."""
    if not is_bisect(read_run(run_dir)):
        raise UsageError(f"{run_dir} is no bisect", hint="`panthorlab resume` goes on with validations")
    with EventLog(run_dir) as log:
        events = read_run(run_dir)
        if any(isinstance(event, RunEnd) for event in events):
            return report(run_dir, events, as_json=as_json)
        log.append(Resumed(version=VERSION))
        settings, start = start_of(events).options, Known.of(events).start
        if settings.no_jail:
            without_jail()
        history = read_history(Path(start.repository), start.good, start.bad)
        return _carry_on(log, history, settings, as_json=as_json, quiet=quiet)


def _carry_on(log: EventLog, history: History, settings: Settings, *, as_json: bool, quiet: bool) -> int:
    run_dir = log.path.parent
    progress = ProgressDisplay(quiet=quiet)
    known = Known.of(read_events(run_dir))
    near = known.start.tree or history.bad
    kernels = Kernels(history, known.start.fragments, run_dir / "build.log", progress.line, near)
    kernels.start()
    driver = requested(config.read_fragments(config.find_fragments(known.start.fragments)).values)
    hands = RealHands(
        log,
        settings,
        fleet.reopened(settings),
        tuple(map(str, find_suites(settings.suite).values())),
        kernels,
        progress,
    )
    progress.line(f"{len(history.commits)} commits from {history.good[0][:12]} to {history.bad[:12]}; run: {run_dir}")
    try:
        with time_limit(settings.time_limit):
            Bisect(log, history, hands, weights_of(history, driver.directory), progress.line).run()
        log.append(RunEnd())
    except TimeLimitReached:
        if settings.time_limit is None:  # it was somebody else's, who knows what to do
            raise
        raise LabError(
            f"the time limit of {settings.time_limit:g} s was reached", hint=f"panthorlab bisect --resume {run_dir}"
        ) from None
    except KeyboardInterrupt:
        progress.line(f"go on with: panthorlab bisect --resume {run_dir}")
        raise
    finally:
        progress.finish()
    return report(run_dir, read_run(run_dir), as_json=as_json)


def _ends(options: argparse.Namespace) -> GitLog:
    """Of the options, over those of a log."""
    given = GitLog("", (), ())
    if options.replay:
        given = parse(_read_log(options.replay), str(options.replay))
    ends = replace(
        given,
        bad=options.bad or given.bad,
        good=(*options.good, *given.good),
        skip=(*options.skip, *given.skip),
        old=check_term(options.term_old or given.old),
        new=check_term(options.term_new or given.new),
    )
    if not ends.bad or not ends.good:
        raise UsageError("bisect needs both ends", hint="--good REV --bad REV, or both in --replay FILE")
    if ends.old == ends.new:
        raise UsageError(f"both terms are `{ends.old}`", hint="two different words")
    return ends


def _read_log(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(MOST_OF_A_LOG + 1)
    except OSError as error:
        raise UsageError(f"--replay {file}: {error.strerror}", hint="git bisect log > FILE") from error
    if len(data) > MOST_OF_A_LOG:
        raise UsageError(f"--replay {file}: too large for a log of git's", hint="git bisect log > FILE")
    return data.decode(errors="replace")


def _kept(fragment: str) -> str:
    """A path is kept whole: the bisect may be resumed from elsewhere."""
    return os.path.abspath(fragment) if "/" in fragment else fragment  # noqa: PTH100 - symlinks are to stay


def is_bisect(events: Sequence[Event]) -> bool:
    """Whether these are the events of a bisect."""
    return any(isinstance(event, BisectStart) for event in events)


def report(run_dir: Path, events: Sequence[Event], *, as_json: bool) -> int:
    """Print what came of it, and give the exit status."""
    known = Known.of(events)
    end = next((event for event in reversed(events) if isinstance(event, BisectEnd)), None)
    if end is None:
        raise LabError(f"{run_dir}: this bisect has not ended", hint=f"panthorlab bisect --resume {run_dir}")
    if as_json:
        print(json_text(_json(run_dir, known, end)), end="")
        return end.exit
    boots = sum(map(len, known.boots.values()))
    lines = [end.reason, *([f"  hint: {end.hint}"] if end.hint else []), *(f"  {check}" for check in end.checks)]
    lines.append(f"{boots} boots of {len(known.built)} kernels; {len(known.skips)} commits skipped")
    print(readable("\n".join([*lines, f"log for `git bisect replay`: {run_dir / LOG}"])))
    return end.exit


def _json(run_dir: Path, known: Known, end: BisectEnd) -> JsonObject:
    return {
        "run": str(run_dir),
        "exit": end.exit,
        "reason": end.reason,
        "hint": end.hint,
        "culprits": list(end.culprits),
        "checks": list(end.checks),
        "signature": known.wanted.text if known.wanted else None,
        "boots": sum(map(len, known.boots.values())),
        "builds": len(known.built),
        "skipped": dict(known.skips),
        "tested": {
            commit: {"seen": known.tally(commit).seen, "clean": known.tally(commit).clean} for commit in known.boots
        },
    }

# SPDX-License-Identifier: GPL-2.0-or-later
"""The notice of a run, or of several below one directory (a matrix, for instance), from what history keeps of runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from panthorlab.errors import LabError
from panthorlab.history.facts import ArmOnBoard, Judged, RunFacts, State
from panthorlab.notify.notice import Notice, NoticePart
from panthorlab.outcome import Side

_WORST = (LabError.exit_status, 1, 2, 3)


def of_run(facts: RunFacts) -> Notice:
    """A run that has not ended, or cannot be read, is told as what it is."""
    return Notice(
        kind=facts.kind or "run",
        title=facts.title or facts.path.name,
        verdict=_verdict(facts),
        exit=_exit(facts),
        directory=str(facts.path),
        started=facts.started,
        seconds=facts.seconds,
        judged=facts.judged,
        lost=facts.lost,
        parts=tuple(part for part in _parts(facts) if part.lines),
    )


def of_runs(directory: Path, runs: Sequence[RunFacts]) -> Notice:
    """All of them as one, as bad as the worst."""
    ends = {_exit(run) for run in runs}
    status = next((one for one in _WORST if one in ends), 0 if ends == {0} else LabError.exit_status)
    bad = sum(_exit(run) != 0 for run in runs)
    return Notice(
        kind="runs",
        title=f"{directory.name}: {len(runs)} runs, {bad} of them not as wanted",
        verdict={0: "passed", 1: "failed"}.get(status, "error"),
        exit=status,
        directory=str(directory),
        started=min((run.started for run in runs), default=0.0),
        seconds=sum(run.seconds for run in runs),
        judged=sum(run.judged for run in runs),
        lost=sum(run.lost for run in runs),
        parts=(NoticePart("runs", tuple(f"{_verdict(run)}: {run.title or run.path.name}" for run in runs)),),
    )


def _verdict(facts: RunFacts) -> str:
    return (facts.verdict or facts.kind) if facts.state is State.ENDED else facts.state.value


def _exit(facts: RunFacts) -> int | None:
    if facts.state is State.DAMAGED:
        return LabError.exit_status
    return None if facts.state is State.RUNNING else facts.exit


def _parts(facts: RunFacts) -> Iterator[NoticePart]:
    yield NoticePart("what is wrong with the run", (facts.why,) if facts.why else ())
    yield NoticePart("base", (facts.base,) if facts.base else ())
    yield NoticePart(
        "kernels", tuple(sorted({f"{place.arm}: {place.kernel} on {place.board}" for place in _places(facts)}))
    )
    yield NoticePart("faults, of what was judged", tuple(_faults({**facts.workloads, **facts.tests})))
    last = {place.arm for place in _places(facts)} - {Side.BEFORE.value}
    seen = [(one, place) for (place, _, _), one in facts.signatures.items() if place.arm in last]
    lines = (f"{one.headline} ({place.arm}, {place.board})" for one, place in seen)
    yield NoticePart("findings on the kernel under test", tuple(dict.fromkeys(lines)))


def _places(facts: RunFacts) -> set[ArmOnBoard]:
    return {place for place, _ in (*facts.workloads, *facts.tests)}


def _faults(tallies: Mapping[tuple[ArmOnBoard, str], Judged]) -> Iterable[str]:
    """Of workloads and tests that failed or were lost somewhere: all arms, beside each other."""
    rows: dict[tuple[str, str], list[str]] = {}
    telling: set[tuple[str, str]] = set()
    for (place, name), tally in tallies.items():
        row = name, place.board
        lost = f" ({tally.lost} lost)" if tally.lost else ""
        rows.setdefault(row, []).append(f"{place.arm} {tally.faulty}/{tally.judged}{lost}")
        if tally.faulty or tally.lost:
            telling.add(row)
    return (
        f"{name} on {board}: {', '.join(words)}" for (name, board), words in rows.items() if (name, board) in telling
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""What is kept of one run: its verdict, and what ran, was seen and was lost, by arm, board and workload. A function of
its log alone; a log that is damaged gives a run that says so."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from panthorlab.errors import PanthorlabError
from panthorlab.history.find import busy, stamp_of
from panthorlab.outcome import Blame, Outcome
from panthorlab.report.faults import headline
from panthorlab.report.text import plain
from panthorlab.run import reports, results
from panthorlab.run.record import (
    ArmKernel,
    BisectEnd,
    BisectStart,
    BoardUp,
    BootEnd,
    BootStart,
    Event,
    Iteration,
    KernelFacts,
    Quota,
    RunEnd,
    SourceEvent,
    StrayEvent,
    Tested,
    VariantKernel,
)
from panthorlab.run.record.log import is_validation, read_run, start_of
from panthorlab.run.summary import judge_kernel
from panthorlab.run.variants import label

OUTSIDE: Final = "(outside iterations)"
E = TypeVar("E", bound=Event)


class State(StrEnum):
    """How far a run is, or what is wrong with it."""

    ENDED = "ended"
    RUNNING = "running"
    STOPPED = "stopped"
    DAMAGED = "damaged"


class ArmOnBoard(NamedTuple):
    """Where something ran: on which arm and its kernel (key in the store, and in words), and on which board."""

    arm: str
    key: str
    kernel: str
    board: str


@dataclass(slots=True)
class Judged:
    """Iterations of a workload, or results of a test, in one place. `judged` are those that count, `faulty` of them
    failed; `lost` were planned and cannot be judged."""

    judged: int = 0
    faulty: int = 0
    lost: int = 0


@dataclass(slots=True)
class SignatureCount:
    """A signature in one workload and place: in how many iterations (boots, outside of them). `headline`: of the
    first."""

    kind: str
    headline: str
    times: int = 0


@dataclass(frozen=True)
class RunFacts:
    """One run. `kind`: `validate`, `run`, `replay` (which repeats what another run has) or `bisect` (of commits that
    nobody else has asked about). `why`: what is wrong with it.
    `workloads`, `tests`: by place and name; `signatures`: by place, workload and signature. `boots`: started;
    `boots_lost`: of those, by the lab."""

    path: Path
    state: State
    stamp: str = ""
    why: str = ""
    kind: str = ""
    verdict: str = ""
    exit: int | None = None
    title: str = ""
    base: str = ""
    started: float = 0.0
    seconds: float = 0.0
    boots: int = 0
    boots_lost: int = 0
    workloads: dict[tuple[ArmOnBoard, str], Judged] = field(default_factory=dict)
    tests: dict[tuple[ArmOnBoard, str], Judged] = field(default_factory=dict)
    signatures: dict[tuple[ArmOnBoard, str, str], SignatureCount] = field(default_factory=dict)

    @property
    def judged(self) -> int:
        """Iterations and tests."""
        return sum(one.judged for one in (*self.workloads.values(), *self.tests.values()))

    @property
    def lost(self) -> int:
        """The same that were planned and could not be judged."""
        return sum(one.lost for one in (*self.workloads.values(), *self.tests.values()))


def facts_of(run_dir: Path) -> RunFacts:
    """What is wrong with a log is told in the facts, and never raised."""
    stamp = ""
    try:
        stamp = stamp_of(run_dir)
        events = read_run(run_dir)
        return _facts(run_dir, stamp, events)
    except PanthorlabError as error:
        return RunFacts(run_dir, State.DAMAGED, stamp, plain(error))
    except OSError as error:
        return RunFacts(run_dir, State.DAMAGED, stamp, plain(error.strerror or error))


def _facts(run_dir: Path, stamp: str, events: Sequence[Event]) -> RunFacts:
    start = start_of(events)
    source = next(_of(events, SourceEvent), SourceEvent(base="", patches=()))
    verdict, status = _verdict(events)
    ends = {event.boot: event for event in _of(events, BootEnd)}
    boots = [event.boot for event in _of(events, BootStart)]
    lost = [boot for boot in boots if boot not in ends or ends[boot].outcome is Outcome.ERROR]
    places = _places(events)
    return RunFacts(
        run_dir,
        _state(run_dir, events),
        stamp,
        plain((results.unfinished(events) or ("",))[0]),
        _kind(events),
        verdict,
        status,
        plain(_bisected(events) or ", ".join(patch.title for patch in source.patches) or _kernels(events)),
        plain(source.base),
        start.time,
        max(0.0, events[-1].time - start.time),
        len(boots),
        len(lost),
        _workloads(events, places),
        _tests(events, places),
        _signatures(events, places),
    )


def _of(events: Sequence[Event], kind: type[E]) -> Iterator[E]:
    return (event for event in events if isinstance(event, kind))


def _kind(events: Sequence[Event]) -> str:
    if any(_of(events, BisectStart)):
        return "bisect"
    return "replay" if start_of(events).replay_of else "validate" if is_validation(events) else "run"


def _bisected(events: Sequence[Event]) -> str:
    """What a bisect came to, or is about; empty if this is none."""
    ends = [event.reason for event in _of(events, BisectEnd)]
    about = [f"bisect {start.good[0][:12]}..{start.bad[:12]}" for start in _of(events, BisectStart)]
    return next(iter([*ends, *about]), "")


def _verdict(events: Sequence[Event]) -> tuple[str, int | None]:
    if any(_of(events, BisectStart)):  # what its boots show is what it looks for, and nobody's fault
        end = next(_of(events, BisectEnd), None)
        return ("", None) if end is None else ("found" if end.exit == 0 else "inconclusive", end.exit)
    if start_of(events).replay_of:
        return "", None  # it is of one boot, which another run has judged
    if is_validation(events):
        verdict = reports.judge(events)
        return verdict.verdict.value, verdict.exit
    status = judge_kernel(events).exit_status
    return {0: "passed", 1: "failed"}.get(status, "error"), status


def _state(run_dir: Path, events: Sequence[Event]) -> State:
    if any(isinstance(event, RunEnd) for event in events):
        return State.ENDED
    return State.RUNNING if busy(run_dir) else State.STOPPED


def _kernels(events: Sequence[Event]) -> str:
    return ", ".join(dict.fromkeys(kernel.title for kernel in _of(events, ArmKernel)))


def _places(events: Sequence[Event]) -> dict[str, tuple[ArmOnBoard, str]]:
    """By boot: its place, and its variant."""
    kernels: dict[tuple[str, str], KernelFacts] = {}
    for event in events:
        if isinstance(event, ArmKernel):
            kernels[event.arm, ""] = event
        elif isinstance(event, VariantKernel):
            kernels[event.arm, event.variant] = event
    boards = {event.boot: event.name for event in _of(events, BoardUp)}
    found = {}
    for boot in _of(events, BootStart):
        kernel = kernels.get((boot.arm, boot.variant)) or kernels.get((boot.arm, ""))
        key, title = (kernel.key, kernel.title or kernel.release) if kernel else (boot.kernel, "")
        board = boards.get(boot.boot, boot.board)
        found[boot.boot] = (ArmOnBoard(plain(boot.arm), plain(key), plain(title), plain(board)), boot.variant)
    return found


def _workloads(
    events: Sequence[Event], places: Mapping[str, tuple[ArmOnBoard, str]]
) -> dict[tuple[ArmOnBoard, str], Judged]:
    """What was planned and is in no tally yet is lost; but not what the stopping rule left out, or a test skipped."""
    tallies: defaultdict[tuple[ArmOnBoard, str], Judged] = defaultdict(Judged)
    recorded: Counter[tuple[str, str, str]] = Counter()
    planned: dict[tuple[str, str, str], int] = {}
    where: dict[tuple[str, str, str], ArmOnBoard] = {}
    for event in events:
        if not isinstance(event, Iteration | Quota) or event.boot not in places:
            continue
        place, variant = places[event.boot]
        group = (event.arm, variant, event.workload)
        if isinstance(event, Quota):
            planned[group], where[group] = event.arm_total, place
            continue
        tally = tallies[place, plain(label(event.workload, variant))]
        failed = event.outcome is Outcome.FAIL and event.blame is Blame.KERNEL
        if event.terminations > 0 and (failed or event.outcome in (Outcome.PASS, Outcome.DONE)):
            tally.judged += 1
            tally.faulty += failed or event.faulty > 0
        elif event.outcome is not Outcome.SKIP and not event.cut:
            tally.lost += 1
        recorded[group] += 1
    for group, total in planned.items():
        if total > recorded[group]:
            tallies[where[group], plain(label(group[2], group[1]))].lost += total - recorded[group]
    return dict(tallies)


def _tests(
    events: Sequence[Event], places: Mapping[str, tuple[ArmOnBoard, str]]
) -> dict[tuple[ArmOnBoard, str], Judged]:
    tallies: defaultdict[tuple[ArmOnBoard, str], Judged] = defaultdict(Judged)
    tests = list(_of(events, Tested))
    failed = {(test.boot, test.name) for test in tests if test.outcome is Outcome.FAIL and test.blame is Blame.KERNEL}
    for test in tests:
        if test.outcome is Outcome.SKIP or test.boot not in places:
            continue
        if test.outcome is Outcome.PASS and (test.boot, test.name) in failed:
            continue  # of the same boot: it has left something behind
        place, variant = places[test.boot]
        tally = tallies[place, plain(label(test.name, variant))]
        judged = test.outcome is Outcome.PASS or (test.outcome is Outcome.FAIL and test.blame is Blame.KERNEL)
        tally.judged += judged
        tally.faulty += judged and test.outcome is Outcome.FAIL
        tally.lost += not judged
    return dict(tallies)


def _signatures(
    events: Sequence[Event], places: Mapping[str, tuple[ArmOnBoard, str]]
) -> dict[tuple[ArmOnBoard, str, str], SignatureCount]:
    found: dict[tuple[ArmOnBoard, str, str], SignatureCount] = {}
    seen: set[tuple[str, str, str]] = set()
    for event in events:
        if not isinstance(event, Iteration | StrayEvent) or event.boot not in places:
            continue
        if isinstance(event, StrayEvent) and event.expected:
            continue
        place, variant = places[event.boot]
        findings = event.findings if isinstance(event, Iteration) else (event.finding,)
        where = label(event.workload, variant) if isinstance(event, Iteration) else OUTSIDE
        unit = event.id if isinstance(event, Iteration) else event.boot
        for finding in findings:
            signature = plain(finding["signature"])
            own = found.get((place, plain(where), signature))
            if own is None:
                own = SignatureCount(plain(finding["kind"]), headline(finding))
                found[place, plain(where), signature] = own
            if (unit, where, signature) not in seen:
                seen.add((unit, where, signature))
                own.times += 1
    return found

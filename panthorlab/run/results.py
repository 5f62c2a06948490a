# SPDX-License-Identifier: GPL-2.0-or-later
"""A run's events as what verdict and reports take. Pure functions of the record.

Here arms get their meaning: of a comparison, one is *before* and one is *after*.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from panthorlab import __version__
from panthorlab.outcome import Blame, Outcome, Side
from panthorlab.report.coverage import Coverage, PatchCoverage
from panthorlab.report.model import BoardInfo, FailedBuild, PatchInfo, Phase, RunReport
from panthorlab.report.plots import marks_of
from panthorlab.run import record
from panthorlab.run.known import known_of
from panthorlab.run.origin import claim_of, mails_of, repeat_of
from panthorlab.run.record import Event
from panthorlab.run.record.log import start_of
from panthorlab.run.variantresults import infos, kernel_info, left_out, of_variant
from panthorlab.run.variants import label
from panthorlab.verdict.finding import OutsideFinding
from panthorlab.verdict.model import BootResult, Expect, IterationResult, Plan, RunVerdict, TestResult
from panthorlab.verdict.side import KernelRef

Events = Sequence[Event]
E = TypeVar("E", bound=Event)


def _of(events: Events, kind: type[E]) -> Iterator[E]:
    return (event for event in events if isinstance(event, kind))


def iterations(events: Events) -> list[IterationResult]:
    return [
        IterationResult(
            id=one.id,
            side=Side(one.arm),
            boot=one.boot,
            workload=one.workload,
            role=one.role,
            outcome=one.outcome,
            blame=one.blame,
            terminations=one.terminations,
            faulty=one.faulty,
            kinds=frozenset(one.kinds),
            signatures=frozenset(one.signatures),
            declared_kinds=frozenset(one.declared),
            program_failed=one.program_failed,
            message=one.message,
            per_boot=one.per_boot,
            once=frozenset(one.once),
            order=number,
            cut=one.cut,
        )
        for number, one in enumerate(_of(events, record.Iteration))
    ]


def boots(events: Events) -> list[BootResult]:
    """One result per boot; findings outside iterations belong to the boot. Old logs do not tell after which marker.

    A boot whose kernel had proved itself before the lab failed, or before the controller was killed, stays sound for
    the iterations that were complete by then.
    """
    stray: dict[str, list[OutsideFinding]] = defaultdict(list)
    for event in _of(events, record.StrayEvent):
        stray[event.boot].append(_outside(event))
    gaps: dict[str, list[str]] = defaultdict(list)
    for gap in _of(events, record.LogGap):
        gaps[gap.boot].append(gap.after)
    proven = {board.boot: board.name for board in _of(events, record.BoardUp)}
    ends = {end.boot: end for end in _of(events, record.BootEnd)}
    return [
        _boot(start, ends.get(start.boot), proven.get(start.boot), stray[start.boot], gaps[start.boot])
        for start in _of(events, record.BootStart)
    ]


def _outside(stray: record.StrayEvent) -> OutsideFinding:
    marker, timestamp = stray.marker or record.Marker(), stray.finding.get("timestamp")
    return OutsideFinding(
        kind=str(stray.finding["kind"]),
        signature=str(stray.finding["signature"]),
        timestamp=timestamp if isinstance(timestamp, int | float) else None,
        marker=marker.id or "",
        workload=marker.workload or "",
        delay=marker.delay,
        placed=stray.placed,
        expected=stray.expected,
    )


def _boot(
    start: record.BootStart,
    end: record.BootEnd | None,
    board: str | None,
    stray: Sequence[OutsideFinding],
    gaps: Sequence[str],
) -> BootResult:
    outcome = end.outcome if end else Outcome.ERROR
    if outcome is Outcome.ERROR and board is not None:
        outcome = Outcome.DONE
    return BootResult(
        id=start.boot,
        side=Side(start.arm),
        board=board or "",
        outcome=outcome,
        blame=end.blame if end else Blame.LAB,
        booted=board is not None,
        message=end.reason or "" if end else "the controller was killed",
        outside=tuple(stray),
        gaps=tuple(gaps),
    )


def tests(events: Events) -> list[TestResult]:
    return [
        TestResult(
            name=test.name,
            side=Side(test.arm),
            outcome=test.outcome,
            blame=test.blame,
            message=test.message,
            boot=test.boot,
            seconds=test.seconds,
            proof=test.proof,
        )
        for test in _of(events, record.Tested)
    ]


def damaged(events: Events) -> str:
    """What is wrong with the log that these are left of; empty if they are all."""
    return next((event.reason for event in _of(events, record.DamagedEvent)), "")


def unfinished(events: Events) -> tuple[str, int] | None:
    """Why the run has not reached its end, and the exit status of that; None if it has."""
    if damage := damaged(events):
        return damage, 4
    kinds = record.RunStart | record.Resumed | record.Stopped | record.RunEnd
    match [event for event in events if isinstance(event, kinds)][-1]:
        case record.RunEnd():
            return None
        case record.Stopped(reason=reason, exit=status):
            return reason, status
    return "the controller was killed, or still works on it", 130


def plan(events: Events) -> Plan:
    """The stopping rule: the sum of the quotas that the boots' slots were given before they began, and what *before*
    was given later by the rule for it."""
    quotas: dict[Side, dict[str, int]] = {Side.BEFORE: {}, Side.AFTER: {}}
    for quota in _of(events, record.Quota):
        quotas[Side(quota.arm)][quota.workload] = quota.arm_total
    for side, other in ((Side.BEFORE, Side.AFTER), (Side.AFTER, Side.BEFORE)):
        for workload, total in quotas[other].items():  # a boot that died early never came to say what it was to do
            quotas[side].setdefault(workload, total)
    extended = next(_of(events, record.ExtensionEvent), None)
    for workload, more in (extended.iterations if extended else {}).items():
        quotas[Side.BEFORE][workload] = quotas[Side.BEFORE].get(workload, 0) + more
    settings = start_of(events).options
    interrupted = unfinished(events)
    return Plan(
        iterations=quotas,
        expect=settings.expect or Expect.FIX,
        identical=next((event.why for event in _of(events, record.Identical)), ""),
        interrupted=interrupted[0] if interrupted else "",
        known=known_of(settings),
        extended=extended is not None,
    )


def failed_build(events: Events) -> record.BuildFailed | None:
    """That of an *after* that does not build; None if it did, or was built when the run went on."""
    last = next(
        (
            event
            for event in reversed(events)
            if isinstance(event, record.BuildFailed)
            or (isinstance(event, record.ArmKernel) and event.arm == Side.AFTER)
        ),
        None,
    )
    return last if isinstance(last, record.BuildFailed) else None


def kernel_refs(events: Events) -> dict[Side, KernelRef]:
    return {Side(kernel.arm): KernelRef(kernel.key, kernel.build_id) for kernel in _of(events, record.ArmKernel)}


def findings(events: Events) -> list[Mapping[str, object]]:
    """All findings with where they were made, in the order they were recorded: in an iteration, a test's program, or
    between."""
    found: list[Mapping[str, object]] = []
    names = {start.boot: start.variant for start in _of(events, record.BootStart)}
    for event in events:
        if not isinstance(event, record.Iteration | record.StrayEvent):
            continue
        variant = names.get(event.boot, "")
        where = {"side": event.arm, "boot": event.boot, **({"variant": variant} if variant else {})}
        if isinstance(event, record.Iteration):
            where |= {"iteration": event.id, "workload": label(event.workload, variant)}
            found += [{**finding, **where} for finding in event.findings]
        else:
            marker = event.marker or record.Marker()
            program = {"program": marker.id} if marker.id and marker.delay is None else {}
            found.append({**event.finding, **where, **program})
    return found


def _notes(events: Events) -> tuple[str, ...]:
    notes = [note.text for note in _of(events, record.Note)]
    notes += [why for event in events if isinstance(event, record.ExtensionEvent | record.Again) for why in event.why]
    notes += [stop.hint for stop in _of(events, record.Stopped) if stop.hint]
    notes += [f"boot {end.boot}: {end.why}" for end in _of(events, record.BootEnd) if end.reason]
    reasons: dict[str, list[str]] = defaultdict(list)
    for board in _of(events, record.BoardUp):
        if why := board.facts.get("why_this_method"):
            reasons[str(why)].append(board.boot)
    notes += [f"{', '.join(booted)}: {why}" for why, booted in reasons.items()]
    return tuple(dict.fromkeys(notes))


def _methods(events: Events) -> dict[str, str]:
    """By which method each board booted; if by several, which boots by which."""
    by_board: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for board in _of(events, record.BoardUp):
        if method := board.facts.get("boot_method"):
            by_board[board.name][str(method)].append(board.boot)
    return {
        board: next(iter(methods))
        if len(methods) == 1
        else "; ".join(f"{method}: {', '.join(booted)}" for method, booted in methods.items())
        for board, methods in by_board.items()
    }


def _digests(events: Events) -> dict[str, dict[str, str]]:
    """By board, those of its boots in exact time."""
    names = {board.boot: board.name for board in _of(events, record.BoardUp)}
    found: dict[str, dict[str, str]] = {}
    for end in _of(events, record.BootEnd):
        if end.digest is not None and end.boot in names:
            found.setdefault(names[end.boot], {})[end.boot] = end.digest
    return found


def _board(events: Events, planned: str) -> BoardInfo:
    """What it ran on; of several boards, facts in which they differ are told of each."""
    boards = {board.name: dict(board.facts) for board in reversed(list(_of(events, record.BoardUp)))}
    for name, methods in _methods(events).items():
        boards[name]["boot_method"] = methods
        boards[name].pop("why_this_method", None)  # there is a note where there is something to tell
    for name, digests in _digests(events).items():
        boards[name]["digests"] = digests
    if len(boards) < 2:
        return BoardInfo(
            next(iter(boards), planned), _about(events), _emulated(events), next(iter(boards.values()), {})
        )
    facts: dict[str, object] = {}
    for name, own in sorted(boards.items()):
        for key, value in own.items():
            same = all(other.get(key) == value for other in boards.values())
            facts[key if same else f"{name}: {key}"] = value
    return BoardInfo(", ".join(sorted(boards)), _about(events), _emulated(events), facts)


def _emulated(events: Events) -> bool:
    from panthorlab.board.kinds import is_emulated  # boards cost start-up time

    kinds = {str(board.facts.get("type", "")) for board in _of(events, record.BoardUp)}
    return bool(kinds) and all(map(is_emulated, kinds))


def _about(events: Events) -> str:
    """What a reader must know of the boards: how they booted, and whether anybody of the project saw one work."""
    facts = [board.facts for board in _of(events, record.BoardUp)]
    methods = Counter(str(own["boot_method"]) for own in facts if "boot_method" in own)
    about = [f"{method} ×{count}" for method, count in sorted(methods.items())]
    return ", ".join([*(["unverified kind of board"] if any(own.get("unverified") for own in facts) else []), *about])


def coverage(events: Events) -> dict[str, Coverage]:
    """What was measured of each arm, as it was last; empty if nothing was, or was to be."""
    return {
        one.arm: Coverage(
            one.functions,
            one.function_total,
            one.lines,
            one.line_total,
            {name: (suite.functions, suite.lines) for name, suite in one.suites.items()},
            PatchCoverage(one.patch.lines, one.patch.ran, one.patch.never, one.patch.outside) if one.patch else None,
        )
        for one in _of(events, record.CoverageEvent)
    }


def was_measured(events: Events) -> bool:
    """Whether it was to be measured which lines run; in exact time this needs no asking, where the kernels allow it."""
    return start_of(events).options.coverage or any(_of(events, record.CoverageEvent))


def coverage_of_sides(events: Events) -> dict[Side, Coverage]:
    """The same of a comparison."""
    return {Side(arm): one for arm, one in coverage(events).items()}


def report(run_dir: Path, events: Events, verdict: RunVerdict) -> RunReport:
    start, plain = start_of(events), of_variant(events, "")
    source = next(_of(events, record.SourceEvent), record.SourceEvent(base="", patches=()))
    return RunReport(
        run_dir=run_dir,
        verdict=verdict,
        started=datetime.fromtimestamp(start.time, UTC),
        seconds=sum(one.seconds for one in _of(events, record.SessionTime)) or events[-1].time - start.time,
        board=_board(plain if any(_of(plain, record.BoardUp)) else events, start.options.board),
        kernels={Side(kernel.arm): kernel_info(kernel) for kernel in _of(events, record.ArmKernel)},
        variants=infos(events),
        left_out=left_out(events),
        patches=tuple(PatchInfo(item.title, item.state, item.source, item.message_id) for item in source.patches),
        mails=mails_of(source),
        swapped=start.options.swap,
        repeat=repeat_of(start.options, source),
        base=source.base,
        base_commit=source.commit,
        suites=start.suites,
        phases=tuple(Phase(phase.name, phase.seconds) for phase in _of(events, record.PhaseEvent)),
        findings=tuple(findings(events)),
        boots=tuple(boots(plain)),
        ran=tuple(marks_of(iterations(plain))),
        notes=_notes(events),
        command=start.command,
        version=__version__,
        seed=start.options.seed,
        claim=claim_of(start.options),
        coverage=coverage_of_sides(events) if was_measured(events) else None,
        failed_builds={Side.AFTER: FailedBuild(bad.message, bad.arch)} if (bad := failed_build(events)) else {},
    )

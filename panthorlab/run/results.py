# SPDX-License-Identifier: GPL-2.0-or-later
"""A run's events as what verdict and reports take. Pure functions of the event log."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from panthorlab import __version__
from panthorlab.outcome import Blame, Outcome, Role, Side
from panthorlab.report.coverage import Coverage, PatchCoverage
from panthorlab.report.model import BoardInfo, PatchInfo, Phase, RunReport
from panthorlab.run.events import why_ended
from panthorlab.run.known import known_of
from panthorlab.run.variantresults import infos, kernel_info, left_out, of_variant
from panthorlab.run.variants import label
from panthorlab.verdict.finding import OutsideFinding
from panthorlab.verdict.model import BootResult, Expect, IterationResult, Plan, RunVerdict, TestResult
from panthorlab.verdict.side import KernelRef

DEFAULT_CLAIM = "drm/panthor: Evict groups before VM termination"
Events = Sequence[Mapping[str, Any]]


def _of(events: Events, *names: str) -> Iterable[Mapping[str, Any]]:
    return (event for event in events if event["event"] in names)


def _blame(value: str | None) -> Blame | None:
    return Blame(value) if value else None


def iterations(events: Events) -> list[IterationResult]:
    return [
        IterationResult(
            id=event["id"],
            side=Side(event["side"]),
            boot=event["boot"],
            workload=event["workload"],
            role=Role(event["role"]),
            outcome=Outcome(event["outcome"]),
            blame=_blame(event["blame"]),
            terminations=event["terminations"],
            faulty=event["faulty"],
            kinds=frozenset(event["kinds"]),
            signatures=frozenset(event["signatures"]),
            declared_kinds=frozenset(event["declared"]),
            program_failed=event["program_failed"],
            message=event["message"],
            per_boot=event.get("per_boot", False),
            once=frozenset(event.get("once", ())),
            order=number,
            cut=event.get("cut", False),
        )
        for number, event in enumerate(_of(events, "iteration"))
    ]


def boots(events: Events) -> list[BootResult]:
    """One result per boot; findings outside iterations belong to the boot. Old logs do not tell after which marker.

    A boot whose kernel had proved itself before the lab failed, or before the controller was killed, stays sound for
    the iterations that were complete by then.
    """
    stray: dict[str, list[OutsideFinding]] = defaultdict(list)
    for event in _of(events, "stray"):
        stray[event["boot"]].append(_outside(event))
    gaps: dict[str, list[str]] = defaultdict(list)
    for event in _of(events, "log-gap"):
        gaps[event["boot"]].append(event["after"])
    proven = {event["boot"]: event["name"] for event in _of(events, "board")}
    ends = {event["boot"]: event for event in _of(events, "boot-end")}
    return [
        _boot(event, ends.get(event["boot"]), proven.get(event["boot"]), stray[event["boot"]], gaps[event["boot"]])
        for event in _of(events, "boot-start")
    ]


def _outside(event: Mapping[str, Any]) -> OutsideFinding:
    finding, marker = event["finding"], event.get("marker") or {}
    return OutsideFinding(
        kind=finding["kind"],
        signature=finding["signature"],
        timestamp=finding.get("timestamp"),
        marker=marker.get("id") or "",
        workload=marker.get("workload") or "",
        delay=marker.get("delay"),
        placed="marker" in event,
        expected=event.get("expected", False),
    )


def _boot(
    start: Mapping[str, Any], end: Mapping[str, Any] | None, board: str | None, stray: Sequence[OutsideFinding],
    gaps: Sequence[str],
) -> BootResult:
    outcome = Outcome(end["outcome"]) if end else Outcome.ERROR
    if outcome is Outcome.ERROR and board is not None:
        outcome = Outcome.DONE
    return BootResult(
        id=start["boot"],
        side=Side(start["side"]),
        board=board or "",
        outcome=outcome,
        blame=_blame(end["blame"]) if end else Blame.LAB,
        booted=board is not None,
        message=end.get("reason", "") if end else "the controller was killed",
        outside=tuple(stray),
        gaps=tuple(gaps),
    )


def tests(events: Events) -> list[TestResult]:
    return [
        TestResult(
            name=f"{event['suite']}::{event['test']}",
            side=Side(event["side"]),
            outcome=Outcome(event["outcome"]),
            blame=_blame(event["blame"]),
            message=event["message"],
            boot=event["boot"],
            seconds=event["seconds"],
            proof=event.get("proof", False),
        )
        for event in _of(events, "test")
    ]


def damaged(events: Events) -> str:
    """What is wrong with the log that these are left of; empty if they are all."""
    return next((str(event["reason"]) for event in _of(events, "damaged")), "")


def unfinished(events: Events) -> tuple[str, int] | None:
    """Why the run has not reached its end, and the exit status of that; None if it has."""
    if damage := damaged(events):
        return damage, 4
    ends = list(_of(events, "run-start", "resumed", "stopped", "run-end"))
    match ends[-1]:
        case {"event": "run-end"}:
            return None
        case {"event": "stopped", "reason": reason, "exit": status}:
            return reason, status
    return "the controller was killed, or still works on it", 130


def plan(events: Events) -> Plan:
    """The stopping rule: the sum of the quotas that the boots' slots were given before they began, and what *before*
    was given later by the rule for it."""
    quotas: dict[Side, dict[str, int]] = {Side.BEFORE: {}, Side.AFTER: {}}
    for event in _of(events, "quota"):
        quotas[Side(event["side"])][event["workload"]] = event["side_total"]
    for side, other in ((Side.BEFORE, Side.AFTER), (Side.AFTER, Side.BEFORE)):
        for workload, total in quotas[other].items():  # a boot that died early never came to say what it was to do
            quotas[side].setdefault(workload, total)
    extended = next(iter(_of(events, "extension")), None)
    for workload, more in (extended["iterations"] if extended else {}).items():
        quotas[Side.BEFORE][workload] = quotas[Side.BEFORE].get(workload, 0) + more
    start = next(iter(_of(events, "run-start")))
    identical = next((event["why"] for event in _of(events, "identical")), "")
    interrupted = unfinished(events)
    return Plan(
        iterations=quotas,
        expect=Expect(start["options"]["expect"]),
        identical=identical,
        interrupted=interrupted[0] if interrupted else "",
        known=known_of(start["options"]),
        extended=extended is not None,
    )


def failed_build(events: Events) -> str | None:
    """What the compiler said of an *after* that does not build; None if it did, or was built when the run went on."""
    last = next((event for event in reversed(events) if event["event"] == "build-failed" or (
        event["event"] == "kernel" and event["side"] == Side.AFTER)), None)
    return str(last["message"]) if last is not None and last["event"] == "build-failed" else None


def kernel_refs(events: Events) -> dict[Side, KernelRef]:
    return {Side(event["side"]): KernelRef(event["key"], event["build_id"]) for event in _of(events, "kernel")}


def findings(events: Events) -> list[dict[str, Any]]:
    """All findings with where they were made, in the order they were recorded."""
    found: list[dict[str, Any]] = []
    names = {event["boot"]: event.get("variant", "") for event in _of(events, "boot-start")}
    for event in _of(events, "iteration", "stray"):
        variant = names.get(event["boot"], "")
        where = {"side": event["side"], "boot": event["boot"], **({"variant": variant} if variant else {})}
        if event["event"] == "iteration":
            where |= {"iteration": event["id"], "workload": label(event["workload"], variant)}
            found += [{**finding, **where} for finding in event["findings"]]
        else:
            found.append({**event["finding"], **where})
    return found


def _notes(events: Events) -> tuple[str, ...]:
    notes = [event["text"] for event in _of(events, "note")]
    notes += [why for event in _of(events, "extension", "again") for why in event["why"]]
    notes += [event["hint"] for event in _of(events, "stopped") if event["hint"]]
    notes += [
        f"boot {event['boot']}: {why_ended(event)}"
        for event in _of(events, "boot-end")
        if event["outcome"] != Outcome.PASS and event.get("reason")
    ]
    reasons: dict[str, list[str]] = defaultdict(list)
    for event in _of(events, "board"):
        if why := event["facts"].get("why_this_method"):
            reasons[why].append(event["boot"])
    notes += [f"{', '.join(booted)}: {why}" for why, booted in reasons.items()]
    return tuple(dict.fromkeys(notes))


def _methods(events: Events) -> dict[str, str]:
    """By which method each board booted; if by several, which boots by which."""
    by_board: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for event in _of(events, "board"):
        if method := event["facts"].get("boot_method"):
            by_board[event["name"]][method].append(event["boot"])
    return {
        board: next(iter(methods)) if len(methods) == 1
        else "; ".join(f"{method}: {', '.join(booted)}" for method, booted in methods.items())
        for board, methods in by_board.items()
    }


def _board(events: Events, planned: str) -> BoardInfo:
    """What it ran on; of several boards, facts in which they differ are told of each."""
    boards = {event["name"]: dict(event["facts"]) for event in reversed(list(_of(events, "board")))}
    for name, methods in _methods(events).items():
        boards[name]["boot_method"] = methods
        boards[name].pop("why_this_method", None)  # there is a note where there is something to tell
    if len(boards) < 2:
        return BoardInfo(next(iter(boards), planned), _about(events), _emulated(events),
                         next(iter(boards.values()), {}))
    facts: dict[str, Any] = {}
    for name, own in sorted(boards.items()):
        for key, value in own.items():
            same = all(other.get(key) == value for other in boards.values())
            facts[key if same else f"{name}: {key}"] = value
    return BoardInfo(", ".join(sorted(boards)), _about(events), _emulated(events), facts)


def _emulated(events: Events) -> bool:
    from panthorlab.board.kinds import is_emulated  # boards cost start-up time

    kinds = {event["facts"].get("type", "") for event in _of(events, "board")}
    return bool(kinds) and all(map(is_emulated, kinds))


def _about(events: Events) -> str:
    """What a reader must know of the boards: how they booted, and whether anybody of the project saw one work."""
    facts = [event["facts"] for event in _of(events, "board")]
    methods = Counter(own["boot_method"] for own in facts if "boot_method" in own)
    about = [f"{method} ×{count}" for method, count in sorted(methods.items())]
    return ", ".join([*(["unverified kind of board"] if any(own.get("unverified") for own in facts) else []), *about])


def coverage(events: Events) -> dict[Side, Coverage]:
    """What was measured of each side, as it was last; empty if nothing was, or was to be."""
    return {
        Side(event["side"]): Coverage(
            event["functions"], event["function_total"], event["lines"], event["line_total"],
            {name: (suite["functions"], suite["lines"]) for name, suite in event["suites"].items()},
            PatchCoverage(patch["lines"], patch["ran"], tuple(patch["never"]), tuple(patch["outside"]))
            if (patch := event["patch"]) else None,
        )
        for event in _of(events, "coverage")
    }


def _claim(options: Mapping[str, Any]) -> str:
    """The default job is made with a patch that takes the fix out; what it is about is the fix."""
    return DEFAULT_CLAIM if options.get("patch") == [] and not options.get("before") else ""


def report(run_dir: Path, events: Events, verdict: RunVerdict) -> RunReport:
    start = next(iter(_of(events, "run-start")))
    plain = of_variant(events, "")
    source: Mapping[str, Any] = next(iter(_of(events, "source")), {"base": "", "patches": []})
    return RunReport(
        run_dir=run_dir,
        verdict=verdict,
        started=datetime.fromtimestamp(start["time"], UTC),
        seconds=sum(event["seconds"] for event in _of(events, "session")) or events[-1]["time"] - start["time"],
        board=_board(plain if any(_of(plain, "board")) else events, start["options"]["board"]),
        kernels={Side(event["side"]): kernel_info(event) for event in _of(events, "kernel")},
        variants=infos(events),
        left_out=left_out(events),
        patches=tuple(PatchInfo(item["title"], item["state"], item["source"]) for item in source["patches"]),
        base=source["base"],
        base_commit=source.get("commit", ""),
        suites=tuple(start["suites"]),
        phases=tuple(Phase(event["name"], event["seconds"]) for event in _of(events, "phase")),
        findings=tuple(findings(events)),
        boots=tuple(boots(plain)),
        notes=_notes(events),
        command=tuple(start["command"]),
        version=__version__,
        seed=start["options"]["seed"],
        claim=_claim(start["options"]),
        coverage=coverage(events) if start["options"].get("coverage") else None,
        failed_builds={} if (failed := failed_build(events)) is None else {Side.AFTER: failed},
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""Two nights held against each other, by the rules of evidence: the last good night is *before*, this one *after*, and
nobody claims that anything changed. Pure functions of the records of their runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from panthorlab.nightly.model import NewTrouble, NightOutcome
from panthorlab.outcome import Side
from panthorlab.report.text import plain
from panthorlab.run.arms import ALONE
from panthorlab.run.bisect.symptoms import BOOT_FAILED
from panthorlab.run.known import known_of
from panthorlab.run.record import (
    ArmKernel,
    BootEnd,
    Event,
    Iteration,
    LogGap,
    Marker,
    Needs,
    Note,
    OfBoot,
    Quota,
    RunStart,
    StrayEvent,
    Tested,
)
from panthorlab.run.record.log import start_of
from panthorlab.run.reports import judge
from panthorlab.run.summary import judge_kernel
from panthorlab.run.variantresults import planned_tests
from panthorlab.verdict import Expect, KnownFinding, RunVerdict, Verdict
from panthorlab.verdict.finding import NewFinding
from panthorlab.verdict.model import TestVerdict, WorkloadVerdict
from panthorlab.verdict.sightings import DIED, NO_BOOT, PROGRAM_FAILED

EARLIER: Final = "good-"
"""Begins the names of the good night's boots, so that no two have one."""
MOST_REASONS: Final = 12


@dataclass(frozen=True)
class Judgement:
    """What a night's run says, held against a good one. `new`: what that lacks, the worst first."""

    outcome: NightOutcome
    reasons: tuple[str, ...]
    new: tuple[NewTrouble, ...]
    verdict: RunVerdict


def joined(good: Sequence[Event], tonight: Sequence[Event]) -> list[Event]:
    """The events of two runs of one kernel each as those of one comparison, in which boots of this night keep their
    names. What only one of them had to run is not in it."""
    start = start_of(tonight)
    options = replace(start.options, expect=Expect.NO_CHANGE)
    both = _common(good, tonight)
    before = (_placed(event, Side.BEFORE, EARLIER) for event in good if _of_arm(event) and not isinstance(event, Note))
    after = (_placed(event, Side.AFTER, "") for event in tonight if not isinstance(event, RunStart))
    rest = (_cut(event, both) for event in (*before, *after))
    return [replace(start, options=options), *(event for event in rest if event is not None)]


def _of_arm(event: Event) -> bool:
    return isinstance(event, OfBoot) or getattr(event, "arm", None) == ALONE


def _common(good: Sequence[Event], tonight: Sequence[Event]) -> frozenset[str] | None:
    """The workloads and tests that both had to run; None if no boot of this night was whole, so that nobody knows."""
    if not any(isinstance(event, BootEnd) and event.complete for event in tonight):
        return None
    own = [{_name(event) for event in events} | planned_tests(events) for events in (good, tonight)]
    return frozenset(own[0] & own[1])


def _cut(event: Event, both: frozenset[str] | None) -> Event | None:
    """The event as far as it is about what both had to run."""
    if both is None or _name(event) in ("", *both):
        if both is not None and isinstance(event, Needs):
            return replace(event, tests=tuple(need for need in event.tests if need.counted or need.test in both))
        return event
    return None


def _name(event: Event) -> str:
    """Of what an event is about; empty if that is no single workload or test."""
    match event:
        case Iteration() | Quota():
            return event.workload
        case Tested():
            return event.name
    return ""


def _placed(event: Event, side: Side, prefix: str) -> Event:
    """The event as one of this side; what belongs to its boots is called with the prefix."""
    if getattr(event, "arm", None) == ALONE:
        event = replace(event, arm=side.value)  # type: ignore[call-arg]
    if not prefix or not isinstance(event, OfBoot):
        return event
    event = replace(event, boot=prefix + event.boot, slot=prefix + event.slot)
    match event:
        case Iteration():
            return replace(event, id=prefix + event.id)
        case LogGap() if event.after:
            return replace(event, after=prefix + event.after)
        case StrayEvent(marker=Marker(id=str(name)) as marker):
            return replace(event, marker=replace(marker, id=prefix + name))
    return event


def judged(tonight: Sequence[Event], good: Sequence[Event] | None) -> Judgement:
    """`good`: of the run of the last good night; None if there was none: then this night is held against itself, which
    says whether its evidence is sound. Raises LabError if a record contradicts itself."""
    verdict = judge(joined(good if good is not None else tonight, tonight))
    alone = judge_kernel(tonight)
    known = known_of(start_of(tonight).options)
    new = tuple(_new(verdict, known)) if good is not None else ()
    outcome = _outcome(verdict, new, failed=bool(alone.failed), compared=good is not None)
    if outcome is NightOutcome.REGRESSED and not any(one.blamed for one in new):
        new = (NewTrouble("verdict", verdict.verdict, reason=plain(verdict.reasons[0])), *new)
    if outcome is NightOutcome.INCONCLUSIVE and good is not None and not new and _only_less(verdict):
        outcome = judged(tonight, None).outcome
    own = (*alone.errors, *alone.failed)
    reasons = own if good is None or outcome is NightOutcome.FAILING else verdict.reasons
    shown = tuple(dict.fromkeys(map(plain, reasons)))
    return Judgement(outcome, shown[:MOST_REASONS], new, verdict)


def _outcome(verdict: RunVerdict, new: Sequence[NewTrouble], *, failed: bool, compared: bool) -> NightOutcome:
    """`failed`: this night's kernel, by itself, did something wrong that is not known."""
    if verdict.verdict is Verdict.REGRESSED:
        return NightOutcome.REGRESSED
    if verdict.verdict is Verdict.ERROR:
        # a kernel that never came up is not to be compared with itself, and is at fault all the same
        return (
            NightOutcome.FAILING
            if failed and not compared and not any(verdict.boots.values())
            else (NightOutcome.ERROR)
        )
    if new:
        return NightOutcome.INCONCLUSIVE
    if failed:
        return NightOutcome.FAILING
    return NightOutcome.INCONCLUSIVE if verdict.verdict is Verdict.INCONCLUSIVE else NightOutcome.GOOD


def _only_less(verdict: RunVerdict) -> bool:
    """Whether all that is in doubt is if faults of the good night are gone for good: no doubt about this one."""
    workloads = [one for one in verdict.workloads if one.verdict is Verdict.INCONCLUSIVE]
    tests = [one for one in verdict.tests if one.verdict is Verdict.INCONCLUSIVE]
    return bool(workloads) and not tests and all(one.before.faulty > 0 == one.after.faulty for one in workloads)


def _new(verdict: RunVerdict, known: Sequence[KnownFinding]) -> Iterator[NewTrouble]:
    """Blamed before doubtful, findings before tests before rates. Of a kernel that never came up, nothing but that."""
    found = [*_findings(verdict.new_findings, known)]
    if verdict.boots.get(Side.AFTER):
        found += [*_tests(verdict.tests), *_rates(verdict.workloads)]
    return iter(sorted(found, key=lambda one: not one.blamed))


def _findings(news: Sequence[NewFinding], known: Sequence[KnownFinding]) -> Iterator[NewTrouble]:
    """A kind is left out where a signature of it is told with the same numbers."""
    own = [new for new in news if (new.regressed or new.obstacle) and not _is_known(new, known)]
    told = {(new.name.partition(":")[0], new.where, new.after) for new in own if ":" in new.name}
    for new in own:
        if (new.name, new.where, new.after) in told:
            continue
        what, name = ("boot", BOOT_FAILED) if new.name in (NO_BOOT, DIED) else (new.what, new.name)
        yield NewTrouble(what, plain(name), plain(new.where), new.before, new.after, new.regressed, plain(new.reason))


def _is_known(new: NewFinding, known: Sequence[KnownFinding]) -> bool:
    return any(entry.matches(new.where.strip("()"), new.name) for entry in known)


def _tests(tests: Sequence[TestVerdict]) -> Iterator[NewTrouble]:
    for test in tests:
        before, after = test.failed_before, test.failed_after
        worse = test.verdict is Verdict.INCONCLUSIVE and after[0] * before[1] > before[0] * after[1]
        if test.verdict is Verdict.REGRESSED or worse:
            blamed = test.verdict is Verdict.REGRESSED
            reason = plain(f"{test.name}: {test.reason}" + (f": {test.message}" if test.message else ""))
            yield NewTrouble("test", plain(test.name), "", before, after, blamed, reason)


def _rates(workloads: Sequence[WorkloadVerdict]) -> Iterator[NewTrouble]:
    """Workloads that are worse by their rates alone: what they show is not new."""
    for one in workloads:
        if one.verdict is Verdict.REGRESSED and not any(new.regressed for new in one.new):
            numbers = ((one.before.faulty, one.before.iterations), (one.after.faulty, one.after.iterations))
            yield NewTrouble(
                "rate", plain(one.name), plain(one.name), *numbers, True, plain("; ".join(one.reasons[:2]))
            )


def symptom_of(trouble: NewTrouble) -> str:
    """What a bisect searches for to find where this came from, in the words of `run/bisect/symptoms.py`; empty if its
    presence says nothing, as of a rate that is only higher."""
    match trouble.what:
        case "signature" | "boot":
            return trouble.name
        case "kind":
            return f"failed:{trouble.where}" if trouble.name == PROGRAM_FAILED else trouble.name
        case "test":
            return f"test:{trouble.name}"
    return ""


def release_of(events: Sequence[Event]) -> str:
    """The kernel's, as it calls itself; empty if none was built."""
    return next((event.release for event in events if isinstance(event, ArmKernel)), "")

# SPDX-License-Identifier: GPL-2.0-or-later
"""What `panthorlab run` makes of its events: one kernel judged by itself, without another to compare it with."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from panthorlab.board.boardtime import TimeName
from panthorlab.jsonvalue import Json, JsonObject
from panthorlab.outcome import Blame, Outcome, Role
from panthorlab.report import leftout
from panthorlab.report.coverage import driver_text
from panthorlab.report.faults import headline
from panthorlab.run.known import known_of, only_known
from panthorlab.run.record import (
    BoardUp,
    BootEnd,
    BootStart,
    Event,
    Iteration,
    LogGap,
    Marker,
    Note,
    RunEnd,
    StrayEvent,
    Tested,
    boot_of,
)
from panthorlab.run.record.log import start_of
from panthorlab.run.results import coverage, damaged
from panthorlab.run.traces import write_page
from panthorlab.run.variantresults import left_out, of_variant, planned_tests
from panthorlab.run.variantresults import names as variant_names
from panthorlab.run.variants import label
from panthorlab.text import readable
from panthorlab.verdict import KnownFinding
from panthorlab.verdict.sightings import BOOT_IN_LISTS, without_known

SHOWN: Final = 10
LINES: Final = 12
"""Of what is said of one failure, on the terminal: a splat of the kernel has fifty."""
_UNSAID: Final = re.compile(
    r"\s*(Mem abort info|Data abort info|(ESR|EC|SET|EA|FSC|ISV|CM|GCS) = |x\d+ *: |sp : |pstate: "
    r"|(user|swapper) pgtable: |\[[0-9a-f]{16}\] |Hardware name: |Tainted: |Modules linked in: |Code: "
    r"|KTAP version |1\.\.\d+|# info )"
)
"""What says least, when there is no room for all, of a splat (its registers, its page tables) and of KTAP."""
NO_END: Final = "the run did not reach its end"


@dataclass
class SummaryRow:
    """The iterations of one workload. `total` counts terminations, `failed` those that were faulty, at least one of an
    iteration that failed."""

    role: Role
    total: int = 0
    failed: int = 0
    errors: int = 0
    cut: int = 0


@dataclass
class Summary:
    """`failed`: what the kernel did wrong. `errors`: what could not be judged. `notes`: what is nobody's
    fault."""

    rows: dict[str, SummaryRow] = field(default_factory=dict)
    tests: list[Tested] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: list[JsonObject] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        return 4 if self.errors else 1 if self.failed else 0


def judge_kernel(events: Sequence[Event]) -> Summary:
    """What the lab did to a boot that was then done again is a note, not an error."""
    again = _done_again(events)
    boots = {end.boot for end in again}
    kept = [event for event in events if boot_of(event) not in boots or not _is_error(event)]
    known = known_of(start_of(events).options)
    kept = [_labelled(event, names) for event in kept] if (names := _variants(events)) else kept
    notes = [event.text for event in events if isinstance(event, Note)]
    notes += leftout.not_run(left_out(events))
    made = Summary(notes=[*notes, *(f"boot {end.boot}: {end.why}" for end in again)])
    for event in kept:
        match event:
            case Iteration():
                _iteration(made, event, known)
            case Tested():
                _test(made, event)
            case BootEnd() if event.outcome is not Outcome.PASS:
                blamed = made.failed if event.blame is Blame.KERNEL else made.errors
                blamed.append(f"boot {event.boot}: {event.why}")
    _outside(made, kept, known)
    made.errors += [
        f"boot {event.boot}: records of the kernel log were lost outside iterations"
        for event in kept
        if isinstance(event, LogGap)
    ]
    if damage := damaged(events):
        made.errors.append(damage)
    elif not any(isinstance(event, RunEnd) for event in kept):
        made.errors.append(NO_END)
    elif not made.failed:
        made.errors += _missed(events)
    _skipped(made)
    if not made.rows and not made.errors and not made.failed and not any(map(_ran, made.tests)):
        made.errors.append("nothing ran")
    return made


def _is_error(event: Event) -> bool:
    return isinstance(event, Iteration | Tested | BootEnd) and event.outcome is Outcome.ERROR


def _missed(events: Sequence[Event]) -> list[str]:
    """Tests of the plan without a result, where no kernel died that would explain it."""
    errors = []
    for variant in ("", *variant_names(events)):
        ran = {event.name for event in of_variant(events, variant) if isinstance(event, Tested)}
        errors += [
            f"test {label(name, variant)}: planned, and never ran"
            for name in sorted(planned_tests(events, variant) - ran)
        ]
    return errors


def _variants(events: Sequence[Event]) -> dict[str, str]:
    """Of each boot that is not a plain one, the variant."""
    return {event.boot: event.variant for event in events if isinstance(event, BootStart) and event.variant}


def _labelled(event: Event, variants: Mapping[str, str]) -> Event:
    """As it is shown: results of a variant have its name."""
    variant = variants.get(boot_of(event), "")
    if not variant:
        return event
    match event:
        case StrayEvent():
            marker = event.marker or Marker()
            return replace(event, marker=replace(marker, workload=label(marker.workload or "boot", variant)))
        case Iteration():
            return replace(event, workload=label(event.workload, variant))
        case Tested():
            return replace(event, test=label(event.test, variant))
    return event


def _ran(test: Tested) -> bool:
    return test.outcome is not Outcome.SKIP


def _skipped(made: Summary) -> None:
    """What did not run, with its reason, once for all tests that share it."""
    reasons: dict[str, list[str]] = {}
    for test in made.tests:
        if not _ran(test):
            reasons.setdefault(test.message.partition("\n")[0], []).append(test.name)
    made.notes += [
        f"skipped: {names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}: {reason}"
        for reason, names in reasons.items()
    ]


def _iteration(made: Summary, one: Iteration, known: Sequence[KnownFinding]) -> None:
    row = made.rows.setdefault(one.workload, SummaryRow(one.role))
    row.total += one.terminations
    made.findings += one.findings
    text = f"{one.id}: {one.message}"
    if one.outcome is Outcome.FAIL and only_known(one, known):
        made.notes.append(f"{one.id}: known: {one.message}")
        return
    row.failed += max(one.faulty, 1) if one.outcome is Outcome.FAIL else 0
    row.errors += one.outcome is Outcome.ERROR
    row.cut += one.cut
    if one.outcome is Outcome.ERROR:
        made.errors.append(text)
    elif one.outcome is Outcome.FAIL and one.role is not Role.WATCH:
        made.failed.append(text)


def _test(made: Summary, test: Tested) -> None:
    made.tests.append(test)
    text = f"{test.name}: {test.message}"
    if test.outcome is Outcome.ERROR:
        made.errors.append(text)
    elif test.outcome is Outcome.FAIL:
        made.failed.append(text)


def _outside(made: Summary, events: Sequence[Event], known: Sequence[KnownFinding]) -> None:
    """Findings outside iterations count like those in them: only what a watch workload declares, right after one of
    its iterations, what a test provoked, and what is known, is not blamed."""
    iterations = [event for event in events if isinstance(event, Iteration)]
    watched = {one.workload: frozenset(one.declared) for one in iterations if one.role is Role.WATCH}
    declared: dict[str, frozenset[str]] = {}
    for one in iterations:
        declared[one.workload] = declared.get(one.workload, frozenset()) | frozenset(one.declared)
    of_claims = frozenset[str]().union(*(declared[one.workload] for one in iterations if one.role is Role.CLAIM))
    blamed: Counter[tuple[str, str, str]] = Counter()
    spared: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], object] = {}
    for stray in events:
        if not isinstance(stray, StrayEvent):
            continue
        made.findings.append(stray.finding)
        if stray.expected:
            continue
        after, kind, signature = stray.after, str(stray.finding["kind"]), str(stray.finding["signature"])
        places = [BOOT_IN_LISTS, *([after] if after in declared else [])]
        left, _ = without_known(
            places, frozenset({kind}), frozenset({signature}), known, declared.get(after, of_claims)
        )
        where = f"after {after}" if after else "before any iteration"
        same = f"outside iterations, {where}", headline(stray.finding), signature
        first.setdefault(same, stray.finding.get("line"))
        (spared if not left or kind in watched.get(after, ()) else blamed)[same] += 1
    for counter, lines in ((blamed, made.failed), (spared, made.notes)):
        lines += [f"{same[0]}: {count} × {same[1]} (line {first[same]}, {same[2]})" for same, count in counter.items()]


def summary(run_dir: Path, events: Sequence[Event], *, as_json: bool) -> int:
    """One line per workload and failed test. Returns the exit status."""
    made = judge_kernel(events)
    if as_json:
        print(json.dumps(_json(made, run_dir, events), indent=1))
    else:
        print(readable("\n".join(_lines(made, run_dir, events))))
    return made.exit_status


def _lines(made: Summary, run_dir: Path, events: Sequence[Event]) -> Iterator[str]:
    for name, row in made.rows.items():
        spoiled = f", {row.errors} without evidence" if row.errors else ""
        cut = f", {row.cut} left out after that" if row.cut else ""
        yield f"{row.role:7} {name:28} {row.failed}/{row.total} failed{spoiled}{cut}"
    passed = sum(test.outcome is Outcome.PASS for test in made.tests)
    yield f"tests: {passed} of {len(made.tests)} passed"
    for kind, lines in (("FAILED", made.failed), ("ERROR", made.errors), ("note", made.notes)):
        shown = _alike(lines)
        for line in shown[:SHOWN]:
            yield f"{kind} {line}"
        if len(shown) > SHOWN:
            yield f"… and {len(shown) - SHOWN} more"
    for one in coverage(events).values():
        yield f"coverage: {driver_text(one)}; per suite and function: {run_dir / 'coverage'}"
    if page := write_page(run_dir, events):
        yield f"timeline of a fault: {page}"
    if ran := _repeatable(events):
        yield f"again: panthorlab replay {shlex.quote(f'{run_dir}:{ran}')}"
    yield f"run: {run_dir}"


def _alike(texts: Sequence[str]) -> list[str]:
    """Each once, shortened, with how often it was said: several boots tell the same."""
    times = Counter(text.partition("\n")[0] for text in texts)
    first = {text.partition("\n")[0]: text for text in reversed(texts)}
    return [_short(first[head], times[head]) for head in times]


def _short(text: str, times: int) -> str:
    head, *rest = text.splitlines()
    told = [line for line in rest if not _UNSAID.match(line)][: LINES - 1]
    more = [f"  … {len(rest) - len(told)} more lines, in pytest.log and kmsg.log of the boot"]
    return "\n".join([head + f" ({times} times)" * (times > 1), *told, *more * (len(told) < len(rest))])


def _repeatable(events: Sequence[Event]) -> str:
    """The first iteration or test that failed in exact time; empty if none has."""
    exact = {one.boot for one in events if isinstance(one, BoardUp) and one.facts.get("time") == TimeName.EXACT}
    for event in events:
        match event:
            case Iteration(outcome=Outcome.FAIL, boot=boot, role=role) if boot in exact and role is not Role.WATCH:
                return event.id
            case Tested(outcome=Outcome.FAIL, boot=boot, last=last) if boot in exact and last:
                return event.name
    return ""


def _json(made: Summary, run_dir: Path, events: Sequence[Event]) -> dict[str, Json]:
    return {
        "exit": made.exit_status,
        "run": str(run_dir),
        "suites": start_of(events).suites,
        "failed": made.failed,
        "errors": made.errors,
        "notes": made.notes,
        "workloads": {
            name: {"iterations": row.total, "failed": row.failed, "errors": row.errors, "cut": row.cut}
            for name, row in made.rows.items()
        },
        "not_run": left_out(events),
        "tests": [json_of_test(test) for test in made.tests],
        "findings": made.findings,
        "coverage": next(
            (
                {
                    "functions": one.functions,
                    "function_total": one.function_total,
                    "lines": one.lines,
                    "line_total": one.line_total,
                    "suites": {
                        name: {"functions": functions, "lines": lines}
                        for name, (functions, lines) in one.suites.items()
                    },
                }
                for one in coverage(events).values()
            ),
            None,
        ),
    }


def json_of_test(test: Tested) -> dict[str, str]:
    """A test in the JSON of a run."""
    return {"suite": test.suite, "test": test.test, "outcome": test.outcome, "message": test.message}


def _done_again(events: Sequence[Event]) -> list[BootEnd]:
    """The ends of boots that the lab failed, and whose slot was then completed by another one."""
    ends = [event for event in events if isinstance(event, BootEnd)]
    complete = {end.slot for end in ends if end.complete}
    return [end for end in ends if not end.complete and end.blame is not Blame.KERNEL and end.slot in complete]

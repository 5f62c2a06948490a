# SPDX-License-Identifier: GPL-2.0-or-later
"""What `panthorlab run` makes of its events: one kernel judged by itself, without another to compare it with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from panthorlab.outcome import Blame, Outcome
from panthorlab.report.coverage import driver_text
from panthorlab.report.faults import headline
from panthorlab.report.leftout import told
from panthorlab.run.events import Event, why_ended
from panthorlab.run.known import known_of, only_known
from panthorlab.run.results import coverage, damaged
from panthorlab.run.variantresults import left_out, of_variant, planned_tests
from panthorlab.run.variantresults import names as variant_names
from panthorlab.run.variants import label
from panthorlab.verdict import Known
from panthorlab.verdict.sightings import BOOT_IN_LISTS, without_known

SHOWN: Final = 10


@dataclass
class Row:
    """The iterations of one workload. `total` counts terminations."""

    role: str
    total: int = 0
    failed: int = 0
    errors: int = 0
    cut: int = 0


@dataclass
class Summary:
    """`failed`: what the kernel did wrong. `errors`: what could not be judged. `notes`: what is told and not blamed."""

    rows: dict[str, Row] = field(default_factory=dict)
    tests: list[Event] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        return 4 if self.errors else 1 if self.failed else 0


def judge_kernel(events: Sequence[Event]) -> Summary:
    """What the lab did to a boot that was then done again is no error, but told."""
    again = _done_again(events)
    boots = {event["boot"] for event in again}
    kept = [event for event in events if event.get("boot") not in boots or event.get("outcome") != Outcome.ERROR]
    known = known_of(events[0].get("options", {}))
    kept = [_labelled(event, names) for event in kept] if (names := _variants(events)) else kept
    notes = [event["text"] for event in events if event["event"] == "note"]
    notes += told(left_out(events))
    made = Summary(notes=[*notes, *(f"boot {event['boot']}: {why_ended(event)}" for event in again)])
    for event in kept:
        match event["event"]:
            case "iteration":
                _iteration(made, event, known)
            case "test":
                _test(made, event)
            case "boot-end" if event["outcome"] != Outcome.PASS:
                blamed = made.failed if event["blame"] == "kernel" else made.errors
                blamed.append(f"boot {event['boot']}: {why_ended(event)}")
    _outside(made, kept, known)
    made.errors += [f"boot {event['boot']}: records of the kernel log were lost outside iterations"
                    for event in kept if event["event"] == "log-gap"]
    if damage := damaged(events):
        made.errors.append(damage)
    elif not any(event["event"] == "run-end" for event in kept):
        made.errors.append("the run did not reach its end")
    elif not made.failed:
        made.errors += _missed(events)
    _skipped(made)
    if not made.rows and not made.errors and not made.failed and not any(map(_ran, made.tests)):
        made.errors.append("nothing ran")
    return made


def _missed(events: Sequence[Event]) -> list[str]:
    """Tests of the plan without a result, where no kernel died that would explain it."""
    errors = []
    for variant in ("", *variant_names(events)):
        ran = {f"{e['suite']}::{e['test']}" for e in of_variant(events, variant) if e["event"] == "test"}
        errors += [f"test {label(name, variant)}: planned, and never ran"
                   for name in sorted(planned_tests(events, variant) - ran)]
    return errors


def _variants(events: Sequence[Event]) -> dict[str, str]:
    """Of each boot that is not a plain one, the variant."""
    starts = [event for event in events if event["event"] == "boot-start"]
    return {event["boot"]: event["variant"] for event in starts if event.get("variant")}


def _labelled(event: Event, variants: Mapping[str, str]) -> Event:
    """As it is told: results of a variant have its name."""
    variant = variants.get(event.get("boot", ""), "")
    if not variant:
        return event
    if event["event"] == "stray":
        marker = event.get("marker") or {}
        return {**event, "marker": {**marker, "workload": label(marker.get("workload") or "boot", variant)}}
    name = {"iteration": "workload", "test": "test"}.get(event["event"])
    return {**event, name: label(event[name], variant)} if name else event


def _ran(test: Event) -> bool:
    return bool(test["outcome"] != Outcome.SKIP)


def _skipped(made: Summary) -> None:
    """What did not run is told with its reason, once for all that share it."""
    reasons: dict[str, list[str]] = {}
    for test in made.tests:
        if not _ran(test):
            reasons.setdefault(str(test["message"]).partition("\n")[0], []).append(f"{test['suite']}::{test['test']}")
    made.notes += [f"skipped: {names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}: {reason}"
                   for reason, names in reasons.items()]


def _iteration(made: Summary, event: Event, known: Sequence[Known]) -> None:
    row = made.rows.setdefault(event["workload"], Row(event["role"]))
    row.total += event["terminations"]
    made.findings += event["findings"]
    if event["outcome"] == Outcome.FAIL and only_known(event, known):
        made.notes.append(f"{event['id']}: known: {event['message']}")
        return
    row.failed += event["outcome"] == Outcome.FAIL
    row.errors += event["outcome"] == Outcome.ERROR
    row.cut += event.get("cut", False)
    text = f"{event['id']}: {event['message']}"
    if event["outcome"] == Outcome.ERROR:
        made.errors.append(text)
    elif event["outcome"] == Outcome.FAIL and event["role"] != "watch":
        made.failed.append(text)


def _test(made: Summary, event: Event) -> None:
    made.tests.append(event)
    text = f"{event['suite']}::{event['test']}: {event['message']}"
    if event["outcome"] == Outcome.ERROR:
        made.errors.append(text)
    elif event["outcome"] == Outcome.FAIL:
        made.failed.append(text)


def _outside(made: Summary, events: Sequence[Event], known: Sequence[Known]) -> None:
    """Findings outside iterations count like those in them: only what a watch workload declares, right after one of
    its iterations, what a test provoked, and what is known, is not blamed."""
    watched = {event["workload"]: frozenset(event["declared"]) for event in events
               if event["event"] == "iteration" and event["role"] == "watch"}
    declared: dict[str, frozenset[str]] = {}
    for event in events:
        if event["event"] == "iteration":
            declared[event["workload"]] = declared.get(event["workload"], frozenset()) | frozenset(event["declared"])
    of_claims = frozenset[str]().union(*(
        declared[event["workload"]] for event in events if event["event"] == "iteration" and event["role"] == "claim"
    ))
    blamed: Counter[tuple[str, str, str]] = Counter()
    told: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], object] = {}
    for event in events:
        if event["event"] != "stray":
            continue
        finding, after = event["finding"], (event.get("marker") or {}).get("workload") or ""
        made.findings.append(finding)
        if event.get("expected", False):
            continue
        kind = frozenset({finding["kind"]})
        places = [BOOT_IN_LISTS, *([after] if after in declared else [])]
        left, _ = without_known(
            places, kind, frozenset({finding["signature"]}), known, declared.get(after, of_claims),
        )
        spared = not left or finding["kind"] in watched.get(after, ())
        where = f"after {after}" if after else "before any iteration"
        same = f"outside iterations, {where}", headline(finding), finding["signature"]
        first.setdefault(same, finding.get("line"))
        (told if spared else blamed)[same] += 1
    for counter, lines in ((blamed, made.failed), (told, made.notes)):
        lines += [f"{same[0]}: {count} × {same[1]} (line {first[same]}, {same[2]})" for same, count in counter.items()]


def summary(run_dir: Path, events: Sequence[Event], *, as_json: bool) -> int:
    """One line per workload and failed test. Returns the exit status."""
    made = judge_kernel(events)
    if as_json:
        print(json.dumps(_json(made, run_dir, events), indent=1))
        return made.exit_status
    for name, row in made.rows.items():
        spoiled = f", {row.errors} without evidence" if row.errors else ""
        cut = f", {row.cut} left out after that" if row.cut else ""
        print(f"{row.role:7} {name:28} {row.failed}/{row.total} failed{spoiled}{cut}")
    passed = sum(test["outcome"] == Outcome.PASS for test in made.tests)
    print(f"tests: {passed} of {len(made.tests)} passed")
    for kind, lines in (("FAILED", made.failed), ("ERROR", made.errors), ("note", made.notes)):
        for line in lines[:SHOWN]:
            print(f"{kind} {line}")
        if len(lines) > SHOWN:
            print(f"… and {len(lines) - SHOWN} more")
    for one in coverage(events).values():
        print(f"coverage: {driver_text(one)}; per suite and function: {run_dir / 'coverage'}")
    print(f"run: {run_dir}")
    return made.exit_status


def _json(made: Summary, run_dir: Path, events: Sequence[Event]) -> dict[str, Any]:
    return {
        "exit": made.exit_status,
        "run": str(run_dir),
        "suites": events[0]["suites"],
        "failed": made.failed,
        "errors": made.errors,
        "notes": made.notes,
        "workloads": {
            name: {"iterations": row.total, "failed": row.failed, "errors": row.errors, "cut": row.cut}
            for name, row in made.rows.items()
        },
        "not_run": left_out(events),
        "tests": [{key: test[key] for key in ("suite", "test", "outcome", "message")} for test in made.tests],
        "findings": made.findings,
        "coverage": next(({
            "functions": one.functions, "function_total": one.function_total, "lines": one.lines,
            "line_total": one.line_total,
            "suites": {name: {"functions": functions, "lines": lines}
                       for name, (functions, lines) in one.suites.items()},
        } for one in coverage(events).values()), None),
    }


def _done_again(events: Sequence[Event]) -> list[Event]:
    """The ends of boots that the lab failed, and whose slot was then completed by another one."""
    ends = [event for event in events if event["event"] == "boot-end"]
    complete = {event["slot"] for event in ends if event["complete"]}
    return [event for event in ends
            if not event["complete"] and event["blame"] != Blame.KERNEL and event["slot"] in complete]

# SPDX-License-Identifier: GPL-2.0-or-later
"""Verdict and reports of a run, made from its events alone: run again, they say the same."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from panthorlab.errors import LabError, UsageError
from panthorlab.files import write_whole
from panthorlab.outcome import Side
from panthorlab.report import console, html, json_report, junit, kcidb, mail
from panthorlab.report.coverage import unproved
from panthorlab.report.faults import by_telling
from panthorlab.report.model import RunReport
from panthorlab.run import results, variantresults
from panthorlab.run.record import Event, Identical, RunEnd
from panthorlab.run.traces import timeline_of
from panthorlab.verdict import (
    Expect,
    Extension,
    RunVerdict,
    Verdict,
    build_failed,
    compare,
    decided,
    extension,
    in_doubt,
    watched,
    with_variants,
)

GOOD: Final = frozenset({Verdict.FIXED, Verdict.CLEAN, Verdict.UNCHANGED})
"""Verdicts that speak for a patch, if it ran."""


def judge(events: Sequence[Event]) -> RunVerdict:
    """The verdict of a run as far as its events go. Raises LabError if they contradict each other."""
    verdict = with_variants(*_parts(events), alone=variantresults.variants_only(events))
    if verdict.verdict in GOOD and (why := _unproved(events)):
        verdict = replace(verdict, reasons=(why, *verdict.reasons))
    unfinished = results.unfinished(events)
    return replace(verdict, exit=unfinished[1]) if unfinished else verdict


def _parts(events: Sequence[Event]) -> tuple[RunVerdict, dict[str, RunVerdict]]:
    """The verdict of the plain boots, and of each variant. Raises LabError as `judge`."""
    try:
        return _plain(variantresults.of_variant(events, "")), {
            name: _variant(events, name) for name in variantresults.names(events)
        }
    except ValueError as error:  # so the verdict's own models refuse what cannot be
        raise LabError(f"the event log contradicts itself: {error}", hint="start the run again") from error


def _plain(events: Sequence[Event]) -> RunVerdict:
    """The verdict of the plain boots."""
    plan, kernels = results.plan(events), results.kernel_refs(events)
    plan = replace(plan, tests=variantresults.planned_tests(events))
    failed = results.failed_build(events)
    if failed is not None and not results.damaged(events):
        return build_failed(Side.AFTER, failed.message, plan, kernels)
    if variantresults.variants_only(events) and not plan.identical and not plan.interrupted:
        none = Verdict.CLEAN if plan.expect is Expect.NO_CHANGE else Verdict.INCONCLUSIVE
        return decided(none, ("no claim workload ran: no test runs on the plain kernels",), plan, kernels)
    return compare(
        iterations=results.iterations(events),
        boots=results.boots(events),
        tests=results.tests(events),
        plan=plan,
        kernels=kernels,
    )


def _variant(events: Sequence[Event], name: str) -> RunVerdict:
    """The verdict of one variant by itself: nobody has claimed that something changes there."""
    own = variantresults.of_variant(events, name)
    plan = replace(
        results.plan(own),
        expect=Expect.NO_CHANGE,
        identical=variantresults.identical(events, name),
        extended=True,
        tests=variantresults.planned_tests(events, name),
    )
    failed = variantresults.failed_build(events, name)
    if failed is not None:
        return build_failed(Side(failed.arm), failed.message, plan, {})
    return compare(
        iterations=watched(results.iterations(own)),
        boots=results.boots(own),
        tests=results.tests(own),
        plan=plan,
        kernels=variantresults.kernel_refs(events, name) or results.kernel_refs(events),
    )


def _unproved(events: Sequence[Event]) -> str:
    """Why a good verdict says nothing of the patch; empty if it does, or was not measured."""
    if not results.was_measured(events):
        return ""
    if any(isinstance(event, Identical) for event in events):
        return "nothing was booted, so no line of the patch ran"
    return unproved(results.coverage_of_sides(events))


def extension_of(events: Sequence[Event]) -> Extension:
    """What *before* is still to run beyond its plan, if these are all events of the plan; nothing if the run is
    decided, or if what it has is not sound."""
    ended = [*variantresults.of_variant(events, ""), RunEnd()]
    if variantresults.variants_only(events) or _plain(ended).verdict in (Verdict.ERROR, Verdict.REGRESSED):
        return Extension()
    return extension(results.iterations(ended), results.boots(ended), results.plan(ended))


def doubts_of(events: Sequence[Event]) -> dict[str, tuple[str, ...]]:
    """By variant ("" for the plain boots): the tests that more boots of both sides may decide, if these are all events
    of the plan; nothing if the run is decided. What is asked after a suite, and is none of its tests, cannot run by
    itself."""
    ended = [*events, RunEnd()]
    plain, variants = _parts(ended)
    whole = with_variants(plain, variants, alone=variantresults.variants_only(ended))
    if whole.verdict in (Verdict.ERROR, Verdict.REGRESSED):
        return {}
    doubts = {name: in_doubt(own.tests) for name, own in {"": plain, **variants}.items()}
    asked = variantresults.needs(ended)
    known = {need.test for need in asked.tests} if asked else {test for tests in doubts.values() for test in tests}
    return {name: own for name, tests in doubts.items() if (own := tuple(test for test in tests if test in known))}


def write(run_dir: Path, events: Sequence[Event], verdict: RunVerdict, *, as_json: bool) -> int:
    """Write `result.json`, `junit.xml` and `report.html` beside the log, and the summary (or the JSON) to stdout.

    Returns the exit status: the verdict's, or 4 if not all could be written; then stderr says which.
    """
    report = results.report(run_dir, events, verdict)
    drawn = timeline_of(run_dir, by_telling(report))
    made: dict[str, Callable[[RunReport], str]] = {
        "result.json": json_report.render,
        "junit.xml": junit.render,
        "report.html": lambda whole: html.render(whole, drawn),
    }
    trouble = {}
    for name, render in made.items():
        try:
            write_whole(run_dir / name, render(report))
        except OSError as error:
            trouble[name] = error.strerror or str(error)
    if trouble:
        what = "reports could not be written: " + "; ".join(f"{name}: {why}" for name, why in trouble.items())
        print(
            f"panthorlab: {what}\n"
            f"  hint: when there is room, and you may write there, `panthorlab report {shlex.quote(str(run_dir))}`",
            file=sys.stderr,
            flush=True,
        )
        failed = replace(
            verdict,
            verdict=Verdict.ERROR,
            exit=LabError.exit_status,
            reasons=(f"{what}; the verdict is `{verdict.verdict}`", *verdict.reasons),
        )
        report = replace(report, verdict=failed)
    if as_json:
        print(json_report.render(report))
    else:
        columns = console.columns_of(sys.stdout)
        print(console.render(report, colour=console.use_colour(sys.stdout), columns=columns))
    return report.verdict.exit


def kcidb_of(run_dir: Path, events: Sequence[Event], verdict: RunVerdict) -> str:
    """The run in KCIDB's I/O schema. Nothing is submitted."""
    return kcidb.render(results.report(run_dir, events, verdict))


def mail_of(run_dir: Path, events: Sequence[Event], verdict: RunVerdict, identity: mail.Identity | None) -> bytes:
    """The draft of an answer to the patch's mail. Nothing is sent. Raises UsageError if there is nothing to answer."""
    report = results.report(run_dir, events, verdict)
    try:
        return mail.render(report, identity)
    except ValueError as error:
        raise UsageError(f"{run_dir}: {error}", hint="--mail is for `panthorlab validate PATCH`") from error

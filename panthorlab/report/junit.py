# SPDX-License-Identifier: GPL-2.0-or-later
"""A run as JUnit XML.

`<failure>` is only the verdict and what *after* did wrong; what *before* does wrong is expected and stands in the
properties. `<error>` is what the lab spoiled, or what was interrupted. What the evidence does not decide (inconclusive,
unchanged though a fix was expected), what fails on both sides, or remains in a watch workload, is `<skipped>` with its
numbers: no pass, not blamed on the patch, and not taken for trouble of the lab. So CI systems count the three apart,
as the exit statuses 1, 4 and 3 do.
"""

from __future__ import annotations

import re

from panthorlab.outcome import Outcome, Role, Side
from panthorlab.report.coverage import driver_text, patch_text
from panthorlab.report.faults import FindingFields, headline, owner, place
from panthorlab.report.junitxml import JunitCase, Suite, to_xml
from panthorlab.report.model import RunReport
from panthorlab.report.text import counts, fact, interval, p_value, plain
from panthorlab.verdict.model import RunVerdict, TestVerdict, Verdict, WorkloadVerdict

_BLAMES = frozenset({Verdict.REGRESSED, Verdict.NOT_FIXED, Verdict.REDUCED})
_GOOD = frozenset({Verdict.FIXED, Verdict.CLEAN})
MAX_FINDINGS = 20
"""Findings quoted in one test case."""


def render(report: RunReport) -> str:
    """The XML document, as text to be written in UTF-8."""

    def suite(name: str, cases: list[JunitCase], properties: dict[str, str]) -> Suite:
        return Suite(f"panthorlab.{name}", cases, properties, report.started, report.board.name)

    verdict = report.verdict
    suites = (
        suite("verdict", [_verdict(report)], _properties(report)),
        suite("workloads", [_workload(report, workload) for workload in verdict.workloads], _expected(verdict)),
        suite("tests", [_test(report, test) for test in verdict.tests], {}),
        suite("not-run", [_left_out(report, test, why) for test, why in report.left_out.items()], {}),
    )
    return to_xml([suite for suite in suites if suite.cases])


def _classname(report: RunReport, *parts: str) -> str:
    """Dots make packages in Jenkins, so names get none of their own."""
    return ".".join(["panthorlab", *(re.sub(r"[.\s]+", "_", plain(part)) for part in (report.board.name, *parts))])


def _verdict(report: RunReport) -> JunitCase:
    verdict = report.verdict
    what = f"{verdict.verdict}: {verdict.reasons[0]}" if verdict.reasons else str(verdict.verdict)
    return JunitCase(
        _classname(report),
        "verdict",
        report.seconds,
        failure=what if verdict.exit == 1 else "",
        error=what if verdict.exit not in (0, 1, 3) else "",
        skipped=what if verdict.exit == 3 else "",
        detail="\n".join(
            [*verdict.reasons, *(found.reason for found in verdict.surprises), *report.coverage_lines, *report.notes]
        ),
        kind=verdict.verdict,
    )


def _numbers(workload: WorkloadVerdict) -> str:
    return (
        f"before {counts(workload.before)} ({interval(workload.before)}), after {counts(workload.after)} "
        f"({interval(workload.after)}), p fewer {p_value(workload.p_fewer)}, more {p_value(workload.p_more)}, "
        f"missable {workload.missable_rate:.2%}"
    )


def _workload(report: RunReport, workload: WorkloadVerdict) -> JunitCase:
    reason = f"{workload.verdict}: {workload.reasons[0] if workload.reasons else ''}"
    claim = workload.role is Role.CLAIM
    wrong = workload.verdict is Verdict.REGRESSED or (claim and workload.verdict in _BLAMES)
    unknown = workload.verdict is Verdict.ERROR
    after = [f for f in report.findings if f.get("workload") == workload.name and f.get("side") == Side.AFTER]
    return JunitCase(
        _classname(report, workload.role),
        workload.name,
        failure=reason if wrong else "",
        error=reason if unknown and not wrong else "",
        skipped="" if wrong or unknown or workload.verdict in _GOOD else f"{workload.role}, {reason}",
        detail="\n".join([_numbers(workload), *workload.reasons, *_quoted(after)]),
        kind=workload.verdict,
    )


def _quoted(findings: list[FindingFields]) -> list[str]:
    """Each kind of finding on *after* once in full, and how many there are."""
    by_signature: dict[object, list[FindingFields]] = {}
    for finding in findings:
        by_signature.setdefault(finding.get("signature") or finding.get("kind"), []).append(finding)
    return [
        f"\n{len(same)} × {headline(same[0])} ({place(same[0])}) {owner(same[0])}\n{same[0].get('text') or ''}"
        for same in list(by_signature.values())[:MAX_FINDINGS]
    ]


def _test(report: RunReport, test: TestVerdict) -> JunitCase:
    module, _, name = test.name.rpartition("::")
    skipped = ""
    if test.verdict in (Verdict.NOT_FIXED, Verdict.INCONCLUSIVE):
        skipped = test.reason
    elif test.verdict is Verdict.UNCHANGED or test.after is Outcome.SKIP:
        skipped = test.message or test.reason
    return JunitCase(
        _classname(report, "test", *re.sub(r"\.py\b", "", module).replace("::", "/").split("/")),
        name,
        test.seconds,
        failure=test.reason if test.verdict is Verdict.REGRESSED else "",
        error=test.reason if test.verdict is Verdict.ERROR else "",
        skipped=skipped if test.verdict is not Verdict.ERROR else "",
        detail=test.message,
        kind=test.verdict,
    )


def _left_out(report: RunReport, name: str, why: str) -> JunitCase:
    module, _, test = name.rpartition("::")
    return JunitCase(_classname(report, "not-run", module), test, skipped=why)


def _properties(report: RunReport) -> dict[str, str]:
    """What was tested, and on what."""
    found = {
        "verdict": report.verdict.verdict,
        "exit": str(report.verdict.exit),
        "run": str(report.run_dir),
        "base": report.base,
        "base_commit": report.base_commit,
        "board": report.board.name,
        "panthorlab": report.version,
        "missable_rate": f"{report.verdict.missable_rate:.6g}",
        "p_fewer": p_value(report.verdict.p_fewer),
        "p_more": p_value(report.verdict.p_more),
    }
    for number, patch in enumerate(report.patches, 1):
        found[f"patch.{number}"] = f"{patch.title} ({patch.state})"
    for side, kernel in report.kernels.items():
        found |= {
            f"{side}.kernel": kernel.key,
            f"{side}.release": kernel.release,
            f"{side}.build_id": kernel.build_id or "",
            f"{side}.toolchain": kernel.toolchain,
        }
        found |= {f"{side}.{name}.build_id": build_id for name, build_id in report.telling_modules(side).items()}
    for side, one in (report.coverage or {}).items():
        found |= {f"{side}.coverage": driver_text(one), f"{side}.patch_coverage": patch_text(side, one.patch)}
    found |= {f"board.{name}": fact(value) for name, value in report.board.facts.items()}
    return {name: plain(value) for name, value in found.items() if value}


def _expected(verdict: RunVerdict) -> dict[str, str]:
    """The faults of *before*: expected, so properties."""
    found = {f"before.{w.name}": f"{counts(w.before)} faulty, 95 % {interval(w.before)}" for w in verdict.workloads}
    return {plain(name): plain(value) for name, value in found.items()}

# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings for people: which one to show when there is room for one, and its fields in words."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from panthorlab.outcome import Outcome, Role, Side
from panthorlab.report.model import RunReport
from panthorlab.report.text import plain
from panthorlab.verdict.model import TestVerdict

FIELDS = (
    "kind",
    "driver",
    "device",
    "timestamp",
    "as",
    "va",
    "raw_status",
    "exception_type",
    "exception",
    "access",
    "source_id",
    "pid",
    "comm",
    "owner",
    "signature",
    "line",
    "text",
)
"""The keys of a finding in JSON; absent fields are null."""

FindingFields = Mapping[str, object]


def telling(report: RunReport) -> FindingFields | None:
    """The finding that explains the verdict best."""
    return next(iter(by_telling(report)), None)


def by_telling(report: RunReport) -> list[FindingFields]:
    """All findings, those first that explain the verdict best.

    What is new on *after*, else what a claim workload shows on *after*, else on *before*, else any at all.
    """
    new = {finding.name for finding in report.verdict.new_findings if finding.regressed}
    claims = {workload.name for workload in report.verdict.workloads if workload.role is Role.CLAIM}

    def rank(finding: FindingFields) -> int:
        after = finding.get("side") == Side.AFTER
        if after and (finding.get("signature") in new or finding.get("kind") in new):
            return 0
        if finding.get("workload") in claims:
            return 1 if after else 2
        return 3 if after else 4

    return sorted(report.findings, key=rank)


def headline(finding: FindingFields) -> str:
    """`mmu-fault: AS1 VA 0x0000800000003000 TRANSLATION_FAULT_3 WRITE source 0x7CD0`, as far as known."""
    labels = (("as", "AS"), ("va", "VA "), ("exception", ""), ("access", ""), ("source_id", "source "))
    parts = [f"{label}{finding[key]}" for key, label in labels if finding.get(key) is not None]
    if not parts:
        text = str(finding.get("text") or "").strip()
        parts = text.splitlines()[:1]
    return plain(f"{finding.get('kind') or 'finding'}: {' '.join(parts)}")


def place(finding: FindingFields) -> str:
    """Where it was found: `before, exit, iteration b1-17`."""
    shown = [str(finding[key]) for key in ("side", "workload") if finding.get(key) is not None]
    if finding.get("iteration") is not None:
        shown.append(f"iteration {finding['iteration']}")
    elif finding.get("boot") is not None:
        shown.append(f"boot {finding['boot']}")
    return plain(", ".join(shown))


def once_more(report: RunReport, finding: FindingFields) -> str:
    """The command that repeats the iteration of a finding, or the program of a test that it came of; empty if that
    cannot be had: it is for exact time."""
    ran = finding.get("iteration") or finding.get("program")
    if report.board.facts.get("time") != "exact" or ran is None:
        return ""
    return plain(f"panthorlab replay {report.run_dir}:{ran}")


def again(report: RunReport, test: TestVerdict) -> str:
    """The same of a test that fails on a side, on the plain kernel."""
    failed = Outcome.FAIL in (test.before, test.after) and not test.proof
    if report.board.facts.get("time") != "exact" or test.variant or not failed:
        return ""
    return plain(f"panthorlab replay {shlex.quote(f'{report.run_dir}:{test.name}')}")


def repeating(report: RunReport) -> tuple[str, ...]:
    """Two commands: to have the run again, and to see one of its faults happen. The second may be missing."""
    first = plain(shlex.join(report.command)) if report.command else ""
    finding = telling(report)
    second = "" if finding is None else once_more(report, finding) or _traced(report, finding)
    return tuple(filter(None, (first, second)))


def _traced(report: RunReport, finding: FindingFields) -> str:
    """A short run with a trace, on the kernel that has the fault; for emulated boards."""
    if not report.board.emulated or finding.get("side") is None or finding.get("variant"):
        return ""
    prefix = str(finding.get("workload") or "").partition("/")[0]
    suite = next((name for name in report.suites if prefix and name.startswith(prefix)), None)
    kernel = shlex.quote(f"{report.run_dir}:{finding['side']}")
    chosen = f" --suite {shlex.quote(suite)}" if suite else ""
    return plain(f"panthorlab run --kernel {kernel}{chosen} --iterations 5 --boots 1 --param gpu.trace=on")


def owner(finding: FindingFields) -> str:
    """What the address belongs to, or whose the fault is."""
    whose = " ".join(str(finding[key]) for key in ("comm", "pid") if finding.get(key) is not None)
    what = finding.get("owner")
    if what is None and finding.get("va") is not None:
        what = "unknown object"
    return plain(" of ".join(str(part) for part in (what, whose) if part))

# SPDX-License-Identifier: GPL-2.0-or-later
"""Judge one iteration from its evidence. A pure function: the rules of evidence (docs/evidence.md) in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from panthorlab.jsonvalue import JsonObject
from panthorlab.kmsg.markers import Window
from panthorlab.kmsg.model import Finding
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.ktap import Report
from panthorlab.run.record import Iteration
from panthorlab.run.workload import Workload
from panthorlab.verdict.sightings import WAITED

TEXT_LIMIT = 4000


@dataclass(frozen=True)
class Evidence:
    """What was seen of one iteration.

    `report`: what `iterate` printed, None if it was cut off. `window`: its part of the kernel log, None if the log has
    no end of it. `boot_id`: the boot that both must be of. `findings`: what the kernel said in it, each with what its
    address belongs to. `hazards`: what the board itself said against the evidence. `late`: that the host kept the GPU
    waiting, which spoils what is about time. `died`: why the board died meanwhile, and whose fault that was.
    `once`: the kinds of which this kernel tells once per boot.
    """

    id: str
    report: Report | None
    window: Window | None
    boot_id: str
    findings: Sequence[Finding]
    hazards: Sequence[str] = ()
    late: Sequence[str] = ()
    died: tuple[str, Blame] | None = None
    once: frozenset[str] = frozenset()


def judge(workload: Workload, evidence: Evidence) -> Iteration:
    """One iteration, as it goes on record."""
    findings = evidence.findings
    kinds = {finding.kind.value for finding in findings}
    terminations = evidence.report.terminations if evidence.report else 1
    declared = [finding for finding in findings if finding.kind in workload.finds]
    outcome, blame, message = _outcome(workload, evidence, kinds)
    return Iteration(
        id=evidence.id,
        workload=workload.name,
        role=workload.role,
        outcome=outcome,
        blame=blame,
        message=message,
        terminations=terminations,
        faulty=min(len(declared), terminations),
        kinds=tuple(sorted(kinds)),
        signatures=tuple(sorted({finding.signature for finding in findings})),
        declared=workload.finds,
        per_boot=workload.counted_per_boot(evidence.once),
        once=tuple(sorted(evidence.once)),
        program_failed=bool(evidence.report and not evidence.report.ok),
        us=evidence.report.us if evidence.report else None,
        findings=tuple(as_json(finding) for finding in findings),
    )


def _outcome(workload: Workload, evidence: Evidence, kinds: set[str]) -> tuple[Outcome, Blame | None, str]:
    if evidence.died is not None and evidence.died[1] is Blame.KERNEL:
        return Outcome.FAIL, Blame.KERNEL, evidence.died[0]
    holes = _holes(evidence)
    undeclared = kinds.difference(workload.finds)
    if undeclared and undeclared <= WAITED:
        holes += [f"{', '.join(sorted(undeclared))} while the host was overloaded: {note}" for note in evidence.late]
    if holes:
        return Outcome.ERROR, Blame.LAB, "; ".join(holes)
    if kinds:
        return Outcome.FAIL, Blame.KERNEL, ", ".join(sorted(kinds))
    assert evidence.report is not None  # noqa: S101 - _holes has seen to it
    if not evidence.report.ok:
        return Outcome.FAIL, Blame.KERNEL, evidence.report.why
    return Outcome.PASS, None, ""


def _holes(evidence: Evidence) -> list[str]:
    """Why the evidence cannot be used, in words."""
    holes = []
    if evidence.died is not None:
        holes.append(evidence.died[0])
    if evidence.report is None:
        holes.append("the program's report was cut off")
    if evidence.window is None:
        holes.append("its end marker is missing in the kernel log")
    elif not evidence.window.complete:
        holes.append(f"the kernel log is not whole: {evidence.window.reason}")
    boots = {part.boot or "unnamed" for part in (evidence.report, evidence.window) if part is not None}
    if others := boots - {evidence.boot_id}:
        holes.append(f"it ran on another boot: {', '.join(sorted(others))}, not {evidence.boot_id}")
    holes += evidence.hazards
    return holes


def as_json(finding: Finding) -> JsonObject:
    """A finding as it is kept in events, its text bounded."""
    return {**finding.to_json(), "text": finding.text[:TEXT_LIMIT]}

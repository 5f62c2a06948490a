# SPDX-License-Identifier: GPL-2.0-or-later
"""What came of programs on a booted board, as suites see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from panthorlab.errors import EvidenceError
from panthorlab.kmsg.model import Finding
from panthorlab.outcome import Outcome
from panthorlab.run.ktap import Report, info
from panthorlab.run.record import Iteration
from panthorlab.run.workload import Workload


@dataclass(frozen=True)
class Iterated:
    """What came of a workload's iterations on this boot."""

    workload: Workload
    events: Sequence[Iteration]

    def expect_clean(self) -> None:
        """Fail the test if an iteration was faulty or could not be judged; a watch workload only expects to fail."""
        import pytest

        bad = [event for event in self.events if event.outcome is not Outcome.PASS]
        if not bad:
            return
        errors = sum(event.outcome is Outcome.ERROR for event in bad)
        text = (
            f"{self.workload.name}: {len(bad) - errors} of {len(self.events)} iterations failed, {errors} without "
            f"evidence; first: {bad[0].id}: {bad[0].message}"
        )
        if self.workload.role == "watch":
            pytest.xfail(text)
        if errors:
            raise EvidenceError(text)
        pytest.fail(text, pytrace=False)


@dataclass(frozen=True)
class ProgramResult:
    """One program's run outside the counted iterations."""

    report: Report
    findings: Sequence[Finding]

    @property
    def info(self) -> dict[str, str]:
        """`# info key=value` facts that it printed."""
        return info(self.report.lines)

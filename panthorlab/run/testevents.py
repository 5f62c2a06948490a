# SPDX-License-Identifier: GPL-2.0-or-later
"""What a pytest test that has ended says of the kernel: outcome, whose fault, exit status."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import pytest

from panthorlab.errors import BootError, EvidenceError, LabError, PanthorlabError, UsageError
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.record import Tested

_ADDRESS: Final = re.compile(r"(?<= object) at 0x[0-9a-f]+(?=>)|(?<=\.\.\.)[^.<>]*[0-9a-f]{6,}(?=>)")
"""Of an object of ours, which pytest shows when an assertion fails, also shortened: another in each run."""


def parts_of(error: BaseException) -> Sequence[BaseException]:
    """pytest has several errors in one if more than one fixture fails in its clean-up."""
    if isinstance(error, BaseExceptionGroup):
        return [part for one in error.exceptions for part in parts_of(one)]
    return [error]


def status_of(error: BaseException) -> int:
    """panthorlab's exit status for a test that ended by `error`."""
    statuses = [_status_of(part) for part in parts_of(error)]
    return next((status for status in statuses if status != BootError.exit_status), statuses[0])


def _status_of(error: BaseException) -> int:
    if isinstance(error, pytest.UsageError):
        return UsageError.exit_status
    if isinstance(error, AssertionError | pytest.fail.Exception):
        return BootError.exit_status
    return error.exit_status if isinstance(error, PanthorlabError) else LabError.exit_status


def test_event(name: str, call: pytest.CallInfo[None], report: pytest.TestReport, last: str) -> Tested:
    """The event of a test called SUITE::TEST. `last`: see `Tested`."""
    outcome, blame = _judge(call.excinfo, report)
    message = "" if report.passed else _text(call.excinfo.value) if call.excinfo else str(report.longrepr)
    message = _ADDRESS.sub("", message)
    suite, _, test = name.partition("::")
    return Tested(
        suite=suite,
        test=test,
        outcome=outcome,
        blame=blame,
        message=message[:4000],
        seconds=round(report.duration, 3),
        last=last if call.when != "setup" else "",  # before it, the programs are those of other tests
    )


def _text(error: BaseException) -> str:
    """Of several, what each says."""
    return "\n".join(map(str, parts_of(error)))


def _judge(
    excinfo: pytest.ExceptionInfo[BaseException] | None, report: pytest.TestReport
) -> tuple[Outcome, Blame | None]:
    if report.passed:
        return Outcome.PASS, None
    if report.skipped:
        return Outcome.SKIP, Blame.LAB
    return outcome_of(excinfo.value if excinfo else None)


def outcome_of(error: BaseException | None) -> tuple[Outcome, Blame | None]:
    """Only a check that did not hold, and an error that says so, is the kernel's fault; of several, each must be."""
    found = [_outcome_of(part) for part in ([None] if error is None else parts_of(error))]
    return next((one for one in found if one != (Outcome.FAIL, Blame.KERNEL)), found[0])


def _outcome_of(error: BaseException | None) -> tuple[Outcome, Blame | None]:
    if isinstance(error, LabError | EvidenceError):
        return Outcome.ERROR, Blame.LAB
    if isinstance(error, AssertionError | pytest.fail.Exception):
        return Outcome.FAIL, Blame.KERNEL
    if isinstance(error, PanthorlabError):
        return Outcome.FAIL, Blame(error.blame)
    return Outcome.ERROR, Blame.TEST

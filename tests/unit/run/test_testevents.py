# SPDX-License-Identifier: GPL-2.0-or-later
"""The event of a test: the same for the same test, whatever process it ran in."""

from __future__ import annotations

import pytest

from panthorlab.errors import LabError, UsageError
from panthorlab.outcome import Blame, Outcome
from panthorlab.run import testevents


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("assert <Session object at 0x7efc1878ed10>.struck", "assert <Session object>.struck"),
        ("== {<bound metho...fb87cabe550>>}", "== {<bound metho...>>}"),
        ("read of GPU_ID at 0x3fc while the clock stood", "read of GPU_ID at 0x3fc while the clock stood"),
        (
            "Unhandled Page fault in AS1 at VA 0x0000800000003000",
            "Unhandled Page fault in AS1 at VA 0x0000800000003000",
        ),
    ],
)
def test_addresses_of_this_process_are_not_told(said: str, told: str) -> None:
    def fail() -> None:
        raise AssertionError(said)

    call = pytest.CallInfo.from_call(fail, "call")
    report = pytest.TestReport("t", ("f", 0, "t"), {}, "failed", None, "call")
    assert testevents.test_event("suite::test", call, report, "").message == told


@pytest.mark.parametrize(
    ("errors", "outcome", "status"),
    [
        ([AssertionError("a VM is left"), pytest.fail.Exception("a warning")], (Outcome.FAIL, Blame.KERNEL), 1),
        ([AssertionError("a VM is left"), LabError("the board is gone")], (Outcome.ERROR, Blame.LAB), 4),
        ([AssertionError("a VM is left"), KeyError("a bug of the suite")], (Outcome.ERROR, Blame.TEST), 4),
        ([AssertionError("a VM is left"), UsageError("no such mode")], (Outcome.FAIL, Blame.TEST), 2),
    ],
)
def test_several_errors_of_a_clean_up_are_each_judged(
    errors: list[Exception], outcome: tuple[Outcome, Blame], status: int
) -> None:
    """pytest puts those of several fixtures into one."""
    group = BaseExceptionGroup("errors while tearing down <Function test_a>", errors)

    def clean_up() -> None:
        raise group

    call = pytest.CallInfo.from_call(clean_up, "teardown")
    report = pytest.TestReport("t", ("f", 0, "t"), {}, "failed", None, "teardown")
    event = testevents.test_event("suite::test", call, report, "a1.1.4-1")
    assert (event.outcome, event.blame) == outcome
    assert testevents.status_of(group) == status
    assert "a VM is left\n" in event.message
    assert event.last == "a1.1.4-1"


def test_what_ran_before_a_test_that_could_not_begin_is_not_its_own() -> None:
    call = pytest.CallInfo.from_call(lambda: pytest.skip("no"), "setup")
    report = pytest.TestReport("t", ("f", 0, "t"), {}, "skipped", None, "setup")
    assert testevents.test_event("suite::test", call, report, "a1.1.4-1").last == ""

# SPDX-License-Identifier: GPL-2.0-or-later
"""What suites ask a GPU to do wrong: armed within, for no later test, and skipped where no GPU can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from panthorlab.errors import BootError, LabError, UsageError
from panthorlab.gpu.misbehave import MISDEEDS, parse
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.job import Job
from panthorlab.run.record import Behave, Misbehave, OfBoot
from panthorlab.run.session import Session
from panthorlab.run.testevents import outcome_of

ALL = [misdeed.name for misdeed in MISDEEDS]


class Board:
    """Arms what the emulated GPU would."""

    def __init__(self, *injections: str) -> None:
        self.injections = frozenset(injections)
        self.armed: list[str] = []

    def inject(self, rule: str) -> None:
        if not self.injections:
            raise UsageError(f"this board cannot produce {rule}")
        try:
            parse(rule)
        except ValueError as error:
            raise UsageError(str(error)) from None
        self.armed.append(rule)

    def behave(self) -> None:
        self.armed.clear()


class GoneBoard(Board):
    """Its kernel has panicked: QEMU has ended, and the GPU model with it, or is about to."""

    def behave(self) -> None:
        raise LabError("the GPU model ended before it took `behave`")


def _session(tmp_path: Path, board: Any, sent: list[OfBoot]) -> Session:
    job = Job("b", "k", "after", "after1", "after1.1", 0, 1, str(tmp_path), str(tmp_path), (), None, 1)
    nothing: Any = None
    return Session(job, nothing, board, nothing, sent.append)


@pytest.mark.parametrize("name", ALL)
def test_each_misdeed_is_armed_within_alone_and_skipped_where_no_gpu_can(tmp_path: Path, name: str) -> None:
    board, sent = Board(*ALL), list[OfBoot]()
    with _session(tmp_path, board, sent).misbehaving(name, "mcu-hang,nth=2"):
        assert board.armed == [name, "mcu-hang,nth=2"]
    assert board.armed == []
    assert [type(event) for event in sent] == [Misbehave, Misbehave, Behave]
    real = Board()
    with pytest.raises(pytest.skip.Exception, match=name), _session(tmp_path, real, []).misbehaving(name):
        pytest.fail("nothing was armed")


@pytest.mark.parametrize("wrong", ["hallt-lost", "mcu-hang,slot=99", "flush-lost,ms=5"])
def test_a_rule_that_is_none_skips_no_test_and_leaves_none_armed(tmp_path: Path, wrong: str) -> None:
    board = Board(*ALL)
    session = _session(tmp_path, board, [])
    with pytest.raises(UsageError), session.misbehaving("mcu-hang,times=0", wrong):
        pytest.fail("nothing was armed")
    assert board.armed == [], "it would strike in the tests behind this one"


def test_a_kernel_that_dies_meanwhile_is_what_the_test_has_failed_by(tmp_path: Path) -> None:
    """Whether the model is still there then is a matter of milliseconds."""
    sent, error = list[OfBoot](), BootError("kernel panic")
    session = _session(tmp_path, GoneBoard(*ALL), sent)
    with pytest.raises(BootError) as died, session.misbehaving("mcu-hang"):
        raise error
    assert outcome_of(died.value) == (Outcome.FAIL, Blame.KERNEL)
    assert session.died is error
    assert isinstance(sent[-1], Behave)


def test_a_model_that_ends_under_a_living_kernel_is_the_labs_fault(tmp_path: Path) -> None:
    with pytest.raises(LabError), _session(tmp_path, GoneBoard(*ALL), []).misbehaving("mcu-hang"):
        pass

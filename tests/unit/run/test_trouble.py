# SPDX-License-Identifier: GPL-2.0-or-later
"""A GPU that does wrong: what a known bug of the driver excuses, and what nothing does."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from panthorlab.board.api import RemoteFileError
from panthorlab.errors import EvidenceError, LabError
from panthorlab.kmsg import Kind
from panthorlab.run.session import Session
from panthorlab.run.testevents import status_of
from panthorlab.run.trouble import AUTOSUSPEND, LOCKED_REGION, REFUSED, Trouble, awake, provoke

LOST = Trouble(("flush-lost",), frozenset({"power-error"}))
BORNE = Trouble(("flush-late,ms=5",))


class Fake:
    """A session on a kernel that reports the trouble, and whose jobs fail after it, with findings of kind `later`."""

    def __init__(self, later: str, image: bytes) -> None:
        self._later, self._image = later, image
        self._kinds: list[str] = []
        self._wrong = self._recovered = False
        self._struck = 0

    def findings(self) -> list[Any]:
        return [SimpleNamespace(kind=Kind(kind), text=kind) for kind in self._kinds]

    def finding_count(self) -> int:
        return len(self._kinds)

    @contextmanager
    def findings_expected(self, _kinds: set[str]) -> Iterator[Callable[[], list[Any]]]:
        yield self.findings

    @contextmanager
    def misbehaving(self, *_rules: str) -> Iterator[None]:
        self._wrong = True
        yield
        self._wrong = False

    def struck(self, _name: str) -> int:
        return self._struck

    def job(self, mode: str, *_arguments: str, **_options: object) -> None:
        if self._wrong:
            self._struck += 1
            self._kinds.append("power-error")
        elif mode == "suspend-loop" and not self._recovered:
            self._kinds.append(self._later)
            raise AssertionError("suspend-loop: not ok")

    def program(self, *_argv: str, **_options: object) -> Any:
        self._recovered = True
        return SimpleNamespace(report=SimpleNamespace(ok=True, why="", lines=()), info={"bind": "0"})

    def driver_contains(self, text: bytes) -> bool:
        return text in self._image


def test_a_lock_that_outlives_the_reset_is_known() -> None:
    fake = Fake("job-timeout", LOCKED_REGION)
    with pytest.raises(pytest.xfail.Exception, match="0036"):
        provoke(cast(Session, fake), LOST)
    assert fake._recovered, "the next test would find the GPU as it is"


@pytest.mark.parametrize(
    ("later", "image", "trouble"),
    [
        ("job-timeout", b"of 6.12", LOST),  # a driver that locks nothing
        ("power-error", LOCKED_REGION, LOST),  # something else
        ("job-timeout", LOCKED_REGION, BORNE),  # no reset was due
    ],
)
def test_nothing_else_is_excused(later: str, image: bytes, trouble: Trouble) -> None:
    with pytest.raises(AssertionError, match="not ok"):
        provoke(cast(Session, Fake(later, image)), trouble)


DEVICE = "fb000000.gpu"
PATH = AUTOSUSPEND.format(device=DEVICE)
KERNEL, LAB = 1, 4


class Sysfs:
    """A board whose kernel knows one file. `refusals`: what the operation with this number says, from 1."""

    def __init__(self, refusals: Mapping[int, Exception]) -> None:
        self.content = b"50\n"
        self._refusals, self._count = refusals, 0

    def run(self, argv: list[str], **_options: object) -> Any:
        assert argv[-1] == "bound"
        return SimpleNamespace(stdout=f"{DEVICE} panthor\n".encode())

    def _operation(self, path: str) -> None:
        assert path == PATH
        self._count += 1
        if self._count in self._refusals:
            raise self._refusals[self._count]

    def get(self, path: str) -> bytes:
        self._operation(path)
        return self.content

    def put(self, data: bytes, path: str) -> None:
        self._operation(path)
        self.content = data


def session_on(board: Sysfs) -> Session:
    return cast(Session, SimpleNamespace(board=SimpleNamespace(shell=board, work_dir="/run/p")))


def refusal(number: int) -> RemoteFileError:
    return RemoteFileError(f"cannot write {PATH} on the board: {errno.errorcode.get(number, number)}", errno=number)


READ, WRITTEN, RESTORED = 1, 2, 3


def test_the_gpu_stays_awake_and_then_sleeps_as_usual() -> None:
    board = Sysfs({})
    with awake(session_on(board)):
        assert board.content == b"10000"
    assert board.content == b"50\n"


@pytest.mark.parametrize("operation", [READ, WRITTEN, RESTORED])
@pytest.mark.parametrize("number", sorted(REFUSED))
def test_what_the_device_refuses_is_the_kernels_fault(operation: int, number: int) -> None:
    """A driver that has given the GPU up no longer has it go to sleep by itself: the file says EIO."""
    session = session_on(Sysfs({operation: refusal(number)}))
    with pytest.raises(AssertionError, match=errno.errorcode[number]) as caught, awake(session):
        pass
    assert status_of(caught.value) == KERNEL


@pytest.mark.parametrize("operation", [READ, WRITTEN, RESTORED])
@pytest.mark.parametrize(
    "error",
    [
        LabError("the board does not answer"),
        refusal(errno.ENOENT),
        refusal(errno.EACCES),
        refusal(errno.ENOMEM),
        refusal(-signal.SIGKILL),
    ],
    ids=str,
)
def test_what_is_no_word_of_the_device_is_the_labs(operation: int, error: LabError) -> None:
    with pytest.raises(LabError) as caught, awake(session_on(Sysfs({operation: error}))):
        pass
    assert caught.value is error
    assert status_of(caught.value) == LAB


@pytest.mark.parametrize("first", [AssertionError("a job hangs"), EvidenceError("a hole"), pytest.fail.Exception("no")])
def test_what_failed_first_is_what_counts(first: BaseException) -> None:
    with pytest.raises(type(first)) as caught, awake(session_on(Sysfs({RESTORED: refusal(errno.EIO)}))):
        raise first
    assert caught.value is first
    assert "EIO" in caught.value.__notes__[0]


def test_a_device_that_is_half_gone_is_told_by_what_failed_first() -> None:
    first = AssertionError("gpu-bind: exit status -1")
    with pytest.raises(AssertionError) as caught, awake(session_on(Sysfs({RESTORED: refusal(errno.ENOENT)}))):
        raise first
    assert caught.value is first
    assert "ENOENT" in caught.value.__notes__[0]


def test_a_board_that_is_lost_meanwhile_is_not_the_kernels_fault() -> None:
    lost = LabError("the board does not answer")
    with pytest.raises(LabError) as caught, awake(session_on(Sysfs({RESTORED: lost}))):
        raise AssertionError("a job hangs")
    assert caught.value is lost


def test_what_is_skipped_is_not_where_the_device_refuses() -> None:
    with pytest.raises(AssertionError, match="EIO"), awake(session_on(Sysfs({RESTORED: refusal(errno.EIO)}))):
        pytest.skip("no occasion")

# SPDX-License-Identifier: GPL-2.0-or-later
"""One driver has two GPUs: what is done to one must not be felt on the other, and what they share must work on both.

What a driver keeps once for all GPUs, and should keep for each, shows on no board with one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from panthorlab.run.held import read_gpus
from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES

pytestmark = [
    pytest.mark.deep,
    pytest.mark.gpu("count=2"),
    pytest.mark.driver("vm", "groups", "heaps", "power", "recovery"),
]
CLASHES = ("already present", "cannot create duplicate filename", "already in debugfs")
"""What the kernel says of a name that is given to two things."""


@pytest.fixture(autouse=True)
def nothing_is_left_on_either(session: Session) -> Iterator[None]:
    """After each test neither GPU has anything of processes that are gone."""
    yield
    if session.died is None:
        for gpu, left in session.holdings.of_each().items():
            assert not left, f"the driver still holds {left} on {gpu}"


def test_each_has_its_own(session: Session) -> None:
    session.check("gpu-pair", "--mode", "both", "--count", "40", timeout=60)
    gpus = read_gpus(session.board.shell.get)
    assert len(gpus) == 2, f"debugfs knows {sorted(gpus)}"


@pytest.mark.parametrize("number", ["0", "1"])
def test_either_works_by_itself(session: Session, number: str) -> None:
    session.job("suspend-loop", "--device", number, "--count", "2")
    session.job("sync-wait", "--device", number)
    session.check("gpu-bind", "--mode", "idle", "--device", number, "--count", "1", timeout=60)


def test_no_name_is_given_twice(session: Session) -> None:
    """Neither in debugfs nor in sysfs, when the second GPU came, and when each was bound again."""
    lines = session.board.shell.get("/dev/kmsg").decode("utf-8", "replace").splitlines()
    assert not (said := [line for line in lines if any(words in line for words in CLASHES)]), "\n".join(said)


def test_one_goes_while_the_other_works(session: Session) -> None:
    session.check("gpu-pair", "--mode", "unbind", "--count", "2", timeout=120)


def test_reset_of_one(session: Session) -> None:
    """CS_UNRECOVERABLE makes the driver reset that GPU; the other one must not be reset, nor stand still."""
    rules = ("cs-fatal,exception=0x41", "reset-late,ms=1,times=0", "reset-late,ms=1,times=0,gpu=1")
    before = len(session.board.struck())
    with session.findings_expected({"cs-fatal", *CONSEQUENCES}), session.misbehaving(*rules):
        session.check("gpu-pair", "--mode", "reset", timeout=60)
    struck = session.board.struck()[before:]
    resets = [text for text in struck if text.startswith("reset-late")]
    assert any(text.startswith("cs-fatal") for text in struck), "no stream broke off"
    assert any("gpu=1" not in text for text in resets), "the first GPU was not reset"
    assert not any("gpu=1" in text for text in resets), "the second GPU was reset, too"


def test_buffers_of_one_are_used_by_the_other(session: Session) -> None:
    session.check("gpu-pair", "--mode", "buffers", "--count", "3", timeout=60)


def test_jobs_of_one_wait_for_the_other(session: Session) -> None:
    session.check("gpu-pair", "--mode", "fences", "--count", "3", timeout=60)


def test_one_goes_that_waits_and_is_waited_for(session: Session) -> None:
    """What it waits for comes when it has gone: drivers start the job all the same, warn, and so end it
    (docs/findings/0013). A job that is under way when its GPU goes is asked for by none: 6.12.117 never ends it
    (docs/findings/0037), and leaves nothing of the boot to be judged."""
    with session.findings_expected({"warning"}):
        session.check("gpu-pair", "--mode", "fence-gone", timeout=60)


def test_a_job_that_is_waited_for_fails(session: Session) -> None:
    with session.findings_expected({"cs-fatal"}) as found:
        session.check("gpu-pair", "--mode", "fence-failed", timeout=60)
    assert found(), "no job has failed"

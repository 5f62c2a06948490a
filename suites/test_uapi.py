# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver refuses what it must, grants what it may, answers what is so, and loses no memory over it.

Each check is a call that works but for one field; that it works without is proved before and after (docs/guest.md).
"""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session
from panthorlab.run.trouble import rebind

pytestmark = pytest.mark.driver("csif", "vm", "groups", "heaps")


def test_wrong_arguments_are_refused(session: Session) -> None:
    session.check("gpu-uapi", "--mode", "arguments")


def test_high_priority_needs_a_right(session: Session) -> None:
    session.check("gpu-uapi", "--mode", "permissions")


def test_priorities_told_are_granted(session: Session) -> None:
    """And bytes of the answer that mean nothing say nothing of the kernel's stack."""
    if session.check("gpu-uapi", "--mode", "priorities").info["told"] == "0":
        pytest.skip("this driver does not tell which priorities it grants")


def test_refused_calls_lose_no_memory(session: Session) -> None:
    if session.has_config("CONFIG_KASAN"):
        pytest.skip(
            "KASAN keeps back what was freed, and makes thousands of calls take long: lost-memory does this there"
        )
    session.check("gpu-uapi", "--mode", "leaks", timeout=120)  # as long as that only if something is lost


def test_only_what_is_there_can_be_mapped(session: Session) -> None:
    session.check("gpu-uapi", "--mode", "mappings")


def test_calls_that_work_answer_what_is_so(session: Session) -> None:
    session.check("gpu-uapi", "--mode", "answers")


def test_jobs_still_work(session: Session) -> None:
    session.job("store")


@pytest.mark.driver("power")
def test_no_call_keeps_the_gpu_awake(session: Session) -> None:
    session.job("suspend-loop", "--count", "1")


def test_no_call_keeps_the_driver_on_its_gpu(session: Session) -> None:
    """A call that returns without leaving the part in which the device must not go away would, for ever."""
    rebind(session)

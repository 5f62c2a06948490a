# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs as clients have them: streams of thousands of instructions, hundreds of jobs in a row whose fences nobody asks
for, streams that call each other as deep as they may."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

FENCES = 4
"""For which a buffer has room though nobody asks: the kernel makes room for as many at least."""

pytestmark = [pytest.mark.driver("vm", "groups")]


def test_streams_of_a_page_and_more(session: Session) -> None:
    session.job("long-stream")


def test_job_for_each_queue_in_one_call(session: Session) -> None:
    """None of them ends before the call, and the VM has a buffer that can be shared."""
    info = session.job("together").info
    assert int(info["queues"]) > FENCES, f"{info['queues']} queues"
    assert info["broken"] == "0", f"{info['broken']} jobs have not stored"


def test_hundreds_of_jobs_in_a_row(session: Session) -> None:
    """The ring buffer begins anew some twenty times."""
    session.job("wrap", timeout=40)


@pytest.mark.driver("vm", "groups", "power")
def test_streams_that_call_each_other_sleep_and_return(session: Session) -> None:
    session.job("calls")

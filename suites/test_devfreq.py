# SPDX-License-Identifier: GPL-2.0-or-later
"""The load that the driver tells devfreq, from which a governor makes the GPU's frequency: it is high while jobs run,
and low while none does. An emulated board has one frequency only, so the load itself is looked at: the kernel traces it
each time that it asks for it, every 50 ms while the GPU is awake. A kernel with lockdep has tracing in any case.
"""

from __future__ import annotations

import re
from typing import Final

import pytest

from panthorlab.errors import EvidenceError
from panthorlab.run.fuzz import must_be_borne
from panthorlab.run.session import Session
from panthorlab.run.tracepoints import Tracing
from panthorlab.run.trouble import awake

pytestmark = [pytest.mark.driver("vm", "groups", "power"), pytest.mark.kernel("prove-locking")]
ASKED: Final = "devfreq_monitor"
_LOAD: Final = re.compile(r"dev_name=(?P<device>\S+)\s.*\sload=(?P<load>\d+)\s*")
LEAST: Final = 4
"""So often devfreq must have asked, or nothing is proved."""
HIGH: Final = 70
LOW: Final = 30
JOBS: Final = ("--count", "12", "--loops", "1500000")


@pytest.fixture
def traced(session: Session) -> Tracing:
    return Tracing(session, "devfreq")


def loads(traced: Tracing) -> list[int]:
    """In percent, of the times that devfreq has asked; but for the first, when something else was before."""
    told = []
    for event in traced.events(ASKED):
        found = _LOAD.fullmatch(event.text)
        if found is None:
            raise EvidenceError(f"not an event of devfreq: {event.text[:200]!r}")
        told.append(int(found["load"]))
    assert len(told) > LEAST, f"devfreq has asked {len(told)} times"
    return told[1:]


def test_gpu_that_works_is_loaded(session: Session, traced: Tracing) -> None:
    """Also by jobs that come one after the other: between them the GPU is idle for less than a millisecond."""
    with traced.on(ASKED):
        session.job("load", *JOBS, timeout=60)
        told = loads(traced)[:-1]  # the last one may be of the time after it
    assert sum(told) >= HIGH * len(told), f"jobs all the time, and a load of {told} percent"


def test_gpu_that_is_awake_and_idle_is_not_loaded(session: Session, traced: Tracing) -> None:
    with awake(session):
        session.job("store")
        with traced.on(ASKED):
            must_be_borne(session, "sleep ms=600")
            told = loads(traced)
    assert sum(told) <= LOW * len(told), f"no job, and a load of {told} percent"

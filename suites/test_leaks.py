# SPDX-License-Identifier: GPL-2.0-or-later
"""Making and destroying loses nothing: no memory over many rounds of each kind, no VM and no buffer at the end."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session
from panthorlab.run.trouble import KILLED, RESIDUAL

pytestmark = [pytest.mark.driver("vm", "groups", "heaps"), pytest.mark.usefixtures("nothing_left")]
HUNGRY = "tiler-chunk,times=0"
THERE = "lost-memory does the same on a kernel with kmemleak, and asks it afterwards"


def not_twice(session: Session) -> None:
    """Each takes ten to thirty seconds on such a kernel, whose other detectors look on there as well."""
    if session.has_config("CONFIG_DEBUG_KMEMLEAK"):
        pytest.skip(THERE)


def test_files_of_debugfs_and_proc_are_read_meanwhile(session: Session) -> None:
    not_twice(session)
    with session.misbehaving(HUNGRY), session.findings_expected(RESIDUAL):
        session.check("gpu-heap", "--mode", "walk")


def test_rounds_lose_no_memory(session: Session) -> None:
    """The last results are rounds that do keep something, however little, and must be found out. KASAN keeps back what
    was freed: there the rounds are made for its own eyes, and `lost-memory` looks for losses."""
    not_twice(session)
    lenient = ("--lenient",) if session.has_config("CONFIG_KASAN") else ()
    with session.misbehaving(HUNGRY), session.findings_expected({"heap-error", *KILLED}):
        session.check("gpu-leak", *lenient, timeout=60)

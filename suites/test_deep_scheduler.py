# SPDX-License-Identifier: GPL-2.0-or-later
"""Scheduling that takes long to see: the job time-out, races of calls and readers."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

pytestmark = [pytest.mark.driver("vm", "groups"), pytest.mark.deep]


def test_jobs_that_end_in_time_are_not_timed_out(session: Session) -> None:
    session.check("gpu-sched", "--mode", "long", timeout=60)


def test_groups_come_and_go_by_guessed_handles(session: Session) -> None:
    """Shows a use after free on a kernel with KASAN; a reference too few also on others."""
    session.check("gpu-sched", "--mode", "handles", timeout=60)
    session.job("store")


def test_names_are_read_while_groups_come_and_go(session: Session) -> None:
    session.check("gpu-sched", "--mode", "walk", timeout=60)

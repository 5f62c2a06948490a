# SPDX-License-Identifier: GPL-2.0-or-later
"""Scheduling that takes long to see: the job time-out, a slot that cannot be set up, races of calls and readers."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

pytestmark = [pytest.mark.driver("vm", "groups"), pytest.mark.deep]

# What a driver may say when an address space cannot be set up. 6.12 and 7.3 also warn on the way to the reset.
TROUBLE = {"power-error", "firmware-error", "gpu-reset", "job-timeout", "warning"}


def test_jobs_that_end_in_time_are_not_timed_out(session: Session) -> None:
    session.check("gpu-sched", "--mode", "long", timeout=60)


def test_group_that_gets_no_address_space_runs_after_the_reset(session: Session) -> None:
    """Enabling the address space fails, so its group must not be started; after the reset it must."""
    with session.misbehaving("as-stuck,space=user,ms=100000"), session.findings_expected(TROUBLE) as found:
        result = session.check("gpu-sched", "--mode", "patient", timeout=90)
        told = {finding.kind.value for finding in found()}
        session.job("store", timeout=60, retries=3)
    assert "power-error" in told, f"the driver said nothing of it: {sorted(told)}"
    assert result.info["fence_status"] == "1", f"the job ended with {result.info['fence_status']}"


def test_groups_come_and_go_by_guessed_handles(session: Session) -> None:
    """Shows a use after free on a kernel with KASAN; a reference too few also on others."""
    session.check("gpu-sched", "--mode", "handles", timeout=60)
    session.job("store")


def test_names_are_read_while_groups_come_and_go(session: Session) -> None:
    session.check("gpu-sched", "--mode", "walk", timeout=60)

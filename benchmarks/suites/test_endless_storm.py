# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupts of the firmware without end, and a reset that would end them (docs/findings/0061).

Not among the suites yet: a driver that waits for the end of the storm does not reset the GPU. Wants two processors: the
interrupt's thread takes one.
"""

from __future__ import annotations

from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES


def test_reset_does_not_wait_for_its_end(session: Session) -> None:
    """A stream dies of CS_UNRECOVERABLE, for which the driver resets the GPU; the second job comes after that."""
    rules = ("irq-storm,line=job,ms=0,times=0", "cs-fatal,exception=0x41", "reset-late,ms=1,times=0")
    with session.findings_expected({"cs-fatal", *CONSEQUENCES}):
        with session.misbehaving(*rules):
            storms, resets = session.struck("irq-storm"), session.struck("reset-late")
            for _ in range(2):
                session.job("store", timeout=60, must_pass=False)
            assert session.struck("irq-storm") > storms, "no storm"
            assert session.struck("reset-late") > resets, "the GPU was not reset"
        session.job("store", timeout=60, retries=3)

# SPDX-License-Identifier: GPL-2.0-or-later
"""A handle is used by one thread while another one destroys what it stands for.

The calls are interrupted by a thread of higher priority on the same CPU (docs/guest.md, gpu-race); what they return
tells that this struck on both sides of the window. What went wrong in it KASAN sees, or the count of references.
"""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session


@pytest.mark.parametrize("mode", ["group", "vm"])
def test_object_is_destroyed_while_it_is_looked_up(session: Session, mode: str) -> None:
    session.check("gpu-race", "--mode", mode, timeout=60)


def test_group_that_is_half_made_is_not_destroyed(session: Session) -> None:
    """The GPU says late that groups have started: meanwhile others stay half made."""
    with session.misbehaving("state-late,state=start,ms=40,times=0"):
        before = session.struck("state-late")
        session.check("gpu-race", "--mode", "create", timeout=60)
        assert session.struck("state-late") > before

# SPDX-License-Identifier: GPL-2.0-or-later
"""A part of a buffer that another GPU has made is unmapped. Not among the suites yet: 7.3.4 oopses, and leaves nothing
of the boot to be judged (docs/findings/0042)."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session


@pytest.mark.gpu("count=2")
def test_a_part_of_an_imported_buffer_is_unmapped(session: Session) -> None:
    session.check("gpu-pair", "--mode", "holes", "--count", "2", timeout=60)
    session.job("store")

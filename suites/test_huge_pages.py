# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts of mappings whose memory is pages of 2 MiB, which the page table has in one entry each, are unmapped."""

from __future__ import annotations

import pytest

from panthorlab.errors import EvidenceError
from panthorlab.run.session import Session

pytestmark = [
    pytest.mark.driver("vm", "groups"),
    pytest.mark.kernel("huge-pages"),
    pytest.mark.usefixtures("nothing_left"),
]


def test_part_of_a_huge_page_is_unmapped(session: Session) -> None:
    result = session.check("gpu-vm", "--mode", "huge-pages", timeout=60)
    if int(result.info["huge_kib"]) == 0:
        raise EvidenceError("no buffer got a huge page")

# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts of mappings whose memory is pages of 2 MiB, which the page table has in one entry each, are unmapped."""

from __future__ import annotations

from typing import Final

import pytest

from panthorlab.errors import EvidenceError
from panthorlab.run.session import Session

pytestmark = [pytest.mark.driver("vm", "groups"), pytest.mark.kernel("huge-pages")]
ASKS: Final = b"Using Transparent Hugepage"
"""What a driver says that asks for them; for others it is the kernel's policy that the program sets."""


def test_part_of_a_huge_page_is_unmapped(session: Session) -> None:
    result = session.check("gpu-vm", "--mode", "huge-pages", timeout=60)
    if int(result.info["huge_kib"]) > 0:
        return
    if session.driver_contains(ASKS):
        raise EvidenceError("the driver asks for huge pages, and no buffer got one")
    pytest.skip("this driver does not ask for huge pages, and the kernel gave its buffers none")

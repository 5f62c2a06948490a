# SPDX-License-Identifier: GPL-2.0-or-later
"""IGT's tests of sync objects on the driver's node. They need a kernel with `kernel_configs/igt.config`."""

from __future__ import annotations

from pathlib import Path

import pytest

from panthorlab.run.igt import IgtExpectations, read_tests, run_test
from panthorlab.run.session import Session

pytestmark = [pytest.mark.driver("csif", "vm", "groups", "heaps"), pytest.mark.overlay("igt")]
LISTS = Path(__file__).parent / "igt"


@pytest.mark.parametrize("test", read_tests(LISTS / "sync-testlist.txt"))
def test_sync(test: str, session: Session) -> None:
    if not session.has_config("CONFIG_SW_SYNC"):
        pytest.skip("the kernel lacks CONFIG_SW_SYNC: build it with --config igt")
    run_test(session, test, IgtExpectations.of_board(LISTS, session.board.name))

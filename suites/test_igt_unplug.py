# SPDX-License-Identifier: GPL-2.0-or-later
"""IGT's tests that take the driver off its GPU. The GPU works again after each, else those behind it prove nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from panthorlab.run.igt import IgtExpectations, read_tests, run_test
from panthorlab.run.session import Session

pytestmark = [pytest.mark.driver("csif", "vm", "groups", "heaps"), pytest.mark.overlay("igt")]
LISTS = Path(__file__).parent / "igt"


@pytest.fixture
def gpu_back(session: Session) -> Iterator[None]:
    yield
    session.job("store")


@pytest.mark.usefixtures("gpu_back")
@pytest.mark.parametrize("test", read_tests(LISTS / "unplug-testlist.txt"))
def test_unplug(test: str, session: Session) -> None:
    run_test(session, test, IgtExpectations.of_board(LISTS, session.board.name))

# SPDX-License-Identifier: GPL-2.0-or-later
"""Controls: the same program where no fault can be the bug's. If one faults, the board or its GPU is broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from panthorlab.outcome import Role
from panthorlab.run.session import Iterated
from panthorlab.run.workload import Workload

pytestmark = pytest.mark.driver("vm", "groups", "heaps")
CONTROLS = (
    Workload("heap-exit/no-heap-set", ("heap-exit", "--mode", "no-heap-set"), Role.CONTROL, iterations=80),
    Workload("heap-exit/idle-exit", ("heap-exit", "--mode", "idle-exit"), Role.CONTROL, iterations=20),
    Workload("heap-exit/destroy-wait", ("heap-exit", "--mode", "destroy-wait"), Role.CONTROL, iterations=20),
)


@pytest.mark.parametrize("case", CONTROLS, ids=lambda case: case.name.partition("/")[2])
def test_no_fault(case: Workload, iterate: Callable[[Workload], Iterated]) -> None:
    iterate(case).expect_clean()

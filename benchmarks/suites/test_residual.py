# SPDX-License-Identifier: GPL-2.0-or-later
"""The residual (docs/findings/0020): several clients at once, as claims, so that a patch against it gets a verdict.

Every kernel that has "drm/panthor: Evict groups before VM termination" still faults here.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from panthorlab.run.session import Iterated
from panthorlab.run.workload import Workload

CLAIMS = (
    Workload("residual/clients", ("heap-exit", "--mode", "clients"), iterations=72, deadline=60.0),
    Workload("residual/vms", ("heap-exit", "--mode", "vms"), iterations=60, deadline=20.0),
)


@pytest.mark.parametrize("case", CLAIMS, ids=lambda case: case.name.partition("/")[2])
def test_no_fault(case: Workload, iterate: Callable[[Workload], Iterated]) -> None:
    iterate(case).expect_clean()

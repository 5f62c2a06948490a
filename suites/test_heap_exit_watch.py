# SPDX-License-Identifier: GPL-2.0-or-later
"""Watch: harder ways to leave a tiler heap behind. Not what the patch promises, never hidden: the residual."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from panthorlab.outcome import Role
from panthorlab.run.session import Iterated
from panthorlab.run.workload import Workload

pytestmark = pytest.mark.driver("vm", "groups", "heaps")


def watch(
    mode: str, *options: str, iterations: int = 20, deadline: float = 20.0, expect_signal: int = 0, bulk: int = 1
) -> Workload:
    return Workload(
        f"heap-exit/{mode}",
        ("heap-exit", "--mode", mode, *options),
        Role.WATCH,
        iterations=iterations,
        deadline=deadline,
        expect_signal=expect_signal,
        bulk=bulk,
    )


WATCHES = (
    watch("groups", "--groups", "4"),
    watch("heaps", "--heaps", "8"),
    watch("chunks", "--chunks", "8"),
    watch("slots", "--groups", "12"),
    watch("vms"),
    watch("fork-storm"),
    watch("fd-inherit"),
    watch("fd-pass"),
    watch("heap-destroy"),
    watch("vm-destroy-live", iterations=10),
    # 16 rounds of 2 x 10 heap-bound terminations: fixed kernels were seen to fault in 3-15 % of them.
    watch("clients", "--terminations", "10", iterations=16, deadline=60.0, bulk=2),
)


@pytest.mark.parametrize("case", WATCHES, ids=lambda case: case.name.partition("/")[2])
def test_no_fault(case: Workload, iterate: Callable[[Workload], Iterated]) -> None:
    iterate(case).expect_clean()

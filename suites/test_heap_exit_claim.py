# SPDX-License-Identifier: GPL-2.0-or-later
"""Claim: a process with one group, one bound heap and one chunk ends abruptly, and no GPU fault follows.

This is what "drm/panthor: Evict groups before VM termination" is about, in each way a process can end.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from panthorlab.run.session import Iterated
from panthorlab.run.workload import Workload

pytestmark = pytest.mark.driver("vm", "groups", "heaps")
CLAIMS = (
    Workload("heap-exit/exit", ("heap-exit", "--mode", "exit")),
    Workload("heap-exit/sigkill", ("heap-exit", "--mode", "sigkill"), expect_signal=signal.SIGKILL),
    Workload("heap-exit/sigsegv", ("heap-exit", "--mode", "sigsegv"), expect_signal=signal.SIGSEGV),
    Workload("heap-exit/exec", ("heap-exit", "--mode", "exec")),
    Workload("heap-exit/destroy", ("heap-exit", "--mode", "destroy")),
)


@pytest.mark.parametrize("case", CLAIMS, ids=lambda case: case.name.partition("/")[2])
def test_no_fault(case: Workload, iterate: Callable[[Workload], Iterated]) -> None:
    iterate(case).expect_clean()

# SPDX-License-Identifier: GPL-2.0-or-later
"""The residual (docs/findings/0020) in as little as it takes: three clients, of which two die once with a bound heap.

For `panthorlab explore`: each seed shows it or not, and few latencies decide that.
"""

from __future__ import annotations

from collections.abc import Callable

from panthorlab.run.session import Iterated
from panthorlab.run.workload import Workload

CASE = Workload("residual/short", ("heap-exit", "--mode", "clients", "--terminations", "1"), iterations=72)


def test_no_fault(iterate: Callable[[Workload], Iterated]) -> None:
    iterate(CASE).expect_clean()

# SPDX-License-Identifier: GPL-2.0-or-later
"""One abrupt end of a process in each boot: what shows a fault in a part of the boots, for `bisect_history.py`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from panthorlab.run.session import Iterated
from panthorlab.run.workload import Workload

pytestmark = pytest.mark.driver("vm", "groups", "heaps")


def test_exit(iterate: Callable[[Workload], Iterated]) -> None:
    """The claim is what the bisect is asked for: a boot has the fault or not."""
    iterate(Workload("heap-exit/exit", ("heap-exit", "--mode", "exit"))).expect_clean()

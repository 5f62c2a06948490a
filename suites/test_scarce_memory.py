# SPDX-License-Identifier: GPL-2.0-or-later
"""An allocation fails, each one of a call once: the call fails, too, or has done what it says, and works afterwards.

What is known to go wrong then (docs/findings/0001, 0050 to 0053) is spared; `benchmarks/suites/test_scarce_unspared.py`
does also that.
"""

from __future__ import annotations

import pytest

from panthorlab.run.memleak import expect_nothing_lost
from panthorlab.run.session import Session

pytestmark = [pytest.mark.driver("vm", "groups", "heaps"), pytest.mark.kernel("failslab")]
LATE = "late"
PROBES, DEBUG_PROBES, DEBUG_CALLS = 60, 12, 3
"""Of some three hundred allocations of a probe so many fail, half of them the first ones, and others with each seed of
the run; on a debug kernel, where each takes a quarter of a second, a few of each call."""
NO_PROBE = {"probe-error", "firmware-error", "power-error"}
NO_SCHEDULER = "warning:panthor:drm-sched:drm_sched_init"
"""What the scheduler says of a VM or group that is then refused."""


def walk(session: Session, mode: str, *arguments: str, kinds: frozenset[str] = frozenset()) -> None:
    """`gpu-scarce --mode MODE`; what never failed has shown nothing. `kinds`: of findings that say just that."""
    seed = str(session.job_description.seed)
    if session.has_config("CONFIG_KASAN"):
        arguments += ("--most", str(DEBUG_PROBES if mode == "probe" else DEBUG_CALLS))
    with session.findings_expected({"warning", *kinds}) as found:
        info = session.check("gpu-scarce", "--mode", mode, "--seed", seed, *arguments, timeout=120).info
    other = [f.text for f in found() if f.kind == "warning" and not f.signature.startswith(NO_SCHEDULER)]
    assert not other, "\n".join(other)
    failed = {name: text for name, text in info.items() if text.count("/") == 2 and not text.startswith("0/")}
    if not failed and mode == LATE:
        pytest.skip("this driver has none of the later calls that want memory")
    assert failed, "no call has asked for memory"


def test_driver_is_put_on_its_gpu_without_memory(session: Session) -> None:
    walk(session, "probe", "--most", str(PROBES), kinds=frozenset(NO_PROBE))


@pytest.mark.parametrize("mode", ["maps", "points", "objects", LATE, "files"])
def test_calls_without_memory(session: Session, mode: str) -> None:
    walk(session, mode)


def test_what_is_in_use_is_taken_away_without_memory(session: Session) -> None:
    session.check("gpu-scarce", "--mode", "ends", timeout=120)


@pytest.mark.kernel("failslab", "kmemleak")
def test_nothing_is_lost(session: Session) -> None:
    """Of all that was tried before."""
    expect_nothing_lost(session)

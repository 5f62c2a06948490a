# SPDX-License-Identifier: GPL-2.0-or-later
"""As the suite `scarce-memory`, but what that spares fails, too. Not among the suites: 6.12.117 and 7.3.4 die of it
(docs/findings/0001, 0050, 0052), or warn (0051). What devfreq makes of it (0053) is spared here, too."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

pytestmark = [pytest.mark.driver("vm", "groups", "heaps"), pytest.mark.kernel("failslab")]
NO_SCHEDULER = "warning:panthor:drm-sched:drm_sched_init"


@pytest.mark.parametrize("mode", ["points", "objects", "files", "ends"])
def test_calls_without_memory(session: Session, mode: str) -> None:
    with session.findings_expected({"warning"}) as found:
        session.check("gpu-scarce", "--mode", mode, "--unsparing", timeout=120)
    other = [f.text for f in found() if not f.signature.startswith(NO_SCHEDULER)]
    assert not other, "\n".join(other)


def test_driver_is_put_on_its_gpu_without_memory(session: Session) -> None:
    with session.findings_expected({"probe-error"}):
        session.check("gpu-scarce", "--mode", "probe", "--call", "probe-device", "--unsparing", timeout=120)

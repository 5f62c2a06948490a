# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver is a module, and is unloaded and loaded again: after work, while somebody has the GPU open, and when it or
its firmware has failed. Nothing may be left, and it must work again."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES, RESIDUAL

pytestmark = [
    pytest.mark.driver("vm", "groups", "heaps", "power", "recovery"),
    pytest.mark.deep,
    pytest.mark.kernel("panthor-module"),
    pytest.mark.board("emulated"),
]
LATE = {"firmware-error", "job-timeout", *RESIDUAL}
"""What a process that is killed in the middle of its work may cause until the driver is unloaded."""


def test_after_work(session: Session) -> None:
    """Jobs, heaps, a process killed with all it has: no memory is lost, however often."""
    with session.findings_expected(LATE):
        session.check("gpu-module", "--mode", "reload", "--count", "12", timeout=120)


def test_refused_while_it_is_in_use(session: Session) -> None:
    """By a process that works, an open file, a mapping; and not any more when that is gone."""
    with session.findings_expected(LATE):
        session.check("gpu-module", "--mode", "held", timeout=60)


def test_refused_while_a_buffer_is_shared(session: Session) -> None:
    result = session.program("gpu-module", "--mode", "shared", timeout=60)
    if result.info.get("references") == "0" and session.kernel.release.startswith("6.12."):
        pytest.xfail("docs/findings/0035: a shared buffer does not keep panthor loaded")
    assert result.report.ok, "\n".join((result.report.why, *result.report.lines))


@pytest.mark.parametrize("rule", ["mcu-hang", "flush-lost", "state-lost,state=suspend"])
def test_after_the_gpu_has_failed(session: Session, rule: str) -> None:
    """Dead firmware, and what makes the driver reset the GPU: it is unloaded with the trouble under way."""
    name = rule.partition(",")[0]
    before = session.struck(name)
    also = {"warning", "probe-error", *RESIDUAL}
    with session.misbehaving(rule), session.findings_expected({*CONSEQUENCES, *also}) as found:
        session.job("suspend-loop", "--count", "1", timeout=60, must_pass=False)
        assert session.struck(name) > before, f"no occasion for {rule}"
        result = session.program("gpu-module", "--mode", "once", timeout=60)
        kinds = {finding.kind.value for finding in found()}
    if not result.report.ok and "probe-error" in kinds:
        session.check("gpu-bind", "--mode", "replug", timeout=60)
        pytest.xfail("docs/findings/0010: a GPU that once did not wake up, or go to sleep, is never probed again")
    assert result.report.ok, "\n".join((result.report.why, *result.report.lines))
    assert kinds & CONSEQUENCES, f"the driver said nothing of {rule}: {sorted(kinds)}"
    assert "probe-error" not in kinds, "the driver is loaded, and has complained when it probed"
    session.job("suspend-loop", "--count", "2", timeout=60)


def test_after_a_reset(session: Session) -> None:
    with session.findings_expected({*CONSEQUENCES, *RESIDUAL}) as found:
        session.job("spin", timeout=40)
        assert any(finding.kind == "job-timeout" for finding in found()), "no job has timed out"
        session.check("gpu-module", "--mode", "once", timeout=60)

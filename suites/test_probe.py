# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver probes, is the one that was built, and says what the GPU is."""

from __future__ import annotations

import re

from panthorlab.run.session import Session


def test_booted_kernel_is_the_built_one(session: Session) -> None:
    """build-id of vmlinux and of every loaded module that was built (checked again, after probe)."""
    session.verify_identity()


def test_render_node_answers(session: Session) -> None:
    info = session.job("info").info
    assert int(info["gpu_id"], 16) >> 28 >= 10, f"not a CSF GPU: {info}"
    assert int(info["csg_slots"]) >= 3
    assert int(info["cs_slots"]) >= 1


def test_probe_left_no_finding(session: Session) -> None:
    """Nothing between boot and the first workload is a fault, splat or time-out."""
    found = [finding for finding in session.findings() if finding.kind != "leak"]
    assert not found, "\n".join(finding.text for finding in found)


def test_probe_messages(session: Session) -> None:
    text = session.kernel_log()
    assert re.search(r"panthor .*\[drm\] .*mali-g\d+ id 0x", text, re.IGNORECASE)
    assert re.search(r"Initialized panthor \d+\.\d+\.\d+", text)

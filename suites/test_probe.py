# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver probes, is the one that was built, and says what the GPU is."""

from __future__ import annotations

import re

import pytest

from panthorlab.run.session import Session

pytestmark = pytest.mark.driver("probe")


def test_booted_kernel_is_the_built_one(session: Session) -> None:
    """build-id of vmlinux and of every loaded module that was built (checked again, after probe)."""
    session.verify_identity()


def test_render_node_answers(session: Session) -> None:
    info = session.gpu_info()
    assert int(info["gpu_id"], 16) >> 28 >= 10, f"not a CSF GPU: {info}"


@pytest.mark.driver("csif")
def test_interface_is_told(session: Session) -> None:
    info = session.gpu_info()
    assert int(info["csg_slots"]) >= 3
    assert int(info["cs_slots"]) >= 1


def test_probe_left_no_finding(session: Session) -> None:
    """Nothing between boot and the first workload is a fault, splat or time-out."""
    found = [finding for finding in session.findings() if finding.kind != "leak"]
    assert not found, "\n".join(finding.text for finding in found)


def test_probe_messages(session: Session) -> None:
    text = session.kernel_log()
    assert re.search(rf"{session.driver.name} .*mali-g\d+ (?:gpu_)?id 0x", text, re.IGNORECASE)
    # to user space every one of these drivers is "panthor"
    assert re.search(r"Initialized panthor \d+\.\d+\.\d+", text)

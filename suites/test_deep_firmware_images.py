# SPDX-License-Identifier: GPL-2.0-or-later
"""Firmware images with words changed at random: whatever the driver makes of one, it lives, and the next works."""

from __future__ import annotations

import pytest

from panthorlab.board.api import RemoteFileError
from panthorlab.board.onboard import FIRMWARE
from panthorlab.gpu.fw import corpus
from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES

pytestmark = [pytest.mark.driver("probe"), pytest.mark.deep]

PACK = "/tmp/panthorlab-images"  # noqa: S108 - the board's
COUNT = 200


def test_random_changes(session: Session) -> None:
    if not session.can_inject("interface"):
        pytest.skip("changed firmware can do anything; it is tried on emulated GPUs only")
    try:
        good = session.board.shell.get(FIRMWARE)
    except RemoteFileError as error:
        pytest.skip(f"the board's firmware cannot be read: {error}")
    images = corpus.fuzzed(good, session.job_description.seed, COUNT)
    session.board.shell.put(corpus.pack((f"random-{i}", data) for i, data in enumerate(images)), PACK)
    with session.findings_expected({*CONSEQUENCES, "probe-error", "mmu-fault"}):
        result = session.program("gpu-bind", "--mode", "images", "--images", PACK, timeout=500)
    tried = [key for key in result.info if key.startswith("image.random-")]
    assert len(tried) == COUNT, f"{len(tried)} of {COUNT} images were tried: {result.report.why}"
    assert result.report.subtests[-1][0], f"the board's own image does not work any more: {result.report.why}"

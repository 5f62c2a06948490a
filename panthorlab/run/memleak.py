# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that the driver has lost: kmemleak's reports of objects that it made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from panthorlab.errors import EvidenceError
from panthorlab.kmsg.model import Finding
from panthorlab.kmsg.patterns import Kind
from panthorlab.kmsg.scan import scan_bytes

if TYPE_CHECKING:
    from panthorlab.run.session import Session

SCAN_TIME: Final = 60.0
"""Seconds for two scans and the age that a lost object must have."""
SHOWN: Final = 5


def read_lost(lines: Iterable[str]) -> tuple[list[Finding], int]:
    """From what `memleak` printed: the objects that the driver made, and how many others made."""
    text = "\n".join(line.removeprefix("# ") for line in lines if line.startswith("# "))
    lost = [finding for finding in scan_bytes(text.encode()) if finding.kind is Kind.LEAK]
    mine = [finding for finding in lost if finding.driver is not None]
    return mine, len(lost) - len(mine)


def expect_nothing_lost(session: Session) -> None:
    """Have kmemleak look for what was lost since it was last asked, in this test or before. Takes some seconds.

    Raises AssertionError if the driver has lost memory, EvidenceError if kmemleak does not work.
    """
    with session.findings_expected({Kind.LEAK}):  # whose it is, is judged here
        result = session.program("memleak", timeout=SCAN_TIME)
    if not result.report.ok:
        raise EvidenceError(f"kmemleak cannot be asked: {'; '.join((result.report.why, *result.report.lines))}")
    mine, others = read_lost(result.report.lines)
    if others:
        session.note(f"kmemleak reports {others} lost objects that are not the driver's")
    if mine:
        shown = "\n".join(f"{finding.signature}\n{finding.text}" for finding in mine[:SHOWN])
        raise AssertionError(f"the driver has lost {len(mine)} objects, among them:\n{shown}")

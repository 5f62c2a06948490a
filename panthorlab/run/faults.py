# SPDX-License-Identifier: GPL-2.0-or-later
"""Stores that must fault: where the guest tried them, and where the kernel says that one did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from panthorlab.kmsg.model import Finding

STORE_FAULTS: Final = frozenset({"mmu-fault", "cs-fault", "cs-fatal"})
"""What a store to where nothing may be written makes the kernel say."""
_NAME: Final = "fault"


def must_have_faulted(info: Mapping[str, str], findings: Iterable[Finding], *, alone: bool = False) -> None:
    """Fail the test unless each address that a program stored to, of which there must be one, is among those of the
    MMU's faults. The program tells it as `# info fault…=0x…`: scene_must_fault(). `alone`: there are no others."""
    stored = {int(va, 16) for name, va in info.items() if name.startswith(_NAME)}
    faulted = {int(finding.va, 16) for finding in findings if finding.kind == "mmu-fault" and finding.va}
    if not stored:
        raise AssertionError("no store was tried")
    if missing := stored - faulted:
        raise AssertionError(f"no fault at {_listed(missing)}")
    if alone and (others := faulted - stored):
        raise AssertionError(f"faults at {_listed(others)}, where nothing was stored")


def _listed(addresses: Iterable[int]) -> str:
    return ", ".join(map(hex, sorted(addresses)))

# SPDX-License-Identifier: GPL-2.0-or-later
"""How a boot ended, for the record."""

from __future__ import annotations

from panthorlab.board.api import RunDigest
from panthorlab.errors import BootError, PanthorlabError
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.record import BootEnd


def end_well(digest: RunDigest | None, *, complete: bool, spent: str = "") -> BootEnd:
    """The end of a boot that nothing has ended. `digest`: what went on in it, in exact time. `spent`: why the rest of
    its tests runs in another one."""
    return BootEnd(
        complete=complete,
        booted=True,
        outcome=Outcome.PASS,
        blame=None,
        reason=spent,
        digest=digest.sha256 if digest else None,
        instructions=digest.instructions if digest else None,
    )


def end_by(error: PanthorlabError, *, booted: bool) -> BootEnd:
    """The end of a boot that `error` has ended."""
    kernel = isinstance(error, BootError)
    return BootEnd(
        complete=False,
        booted=booted,
        outcome=Outcome.FAIL if kernel else Outcome.ERROR,
        blame=Blame.KERNEL if kernel else Blame.LAB,
        reason=str(error),
        hint=error.hint,
        final=error.final,
    )


def end_unbooted(reason: str) -> BootEnd:
    """The end of a boot that was not needed, nor is any other of its slot."""
    return BootEnd(complete=True, booted=False, outcome=Outcome.PASS, blame=None, reason=reason)

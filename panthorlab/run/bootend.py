# SPDX-License-Identifier: GPL-2.0-or-later
"""How a boot ended, for the record."""

from __future__ import annotations

from collections.abc import Mapping

from panthorlab.board.api import RunDigest
from panthorlab.errors import BootError, EvidenceError, PanthorlabError
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


def check_asked(params: Mapping[str, str], digest: RunDigest | None) -> None:
    """Raise EvidenceError if a boot was not the run that was asked for. `params`: of the GPU model; `digest`: what went
    on in it, in exact time."""
    why = never_reached(params, digest)
    if why:
        error = EvidenceError(why, hint="was it found with this kernel, these suites, iterations and options?")
        error.final = True
        raise error


def never_reached(params: Mapping[str, str], digest: RunDigest | None) -> str:
    """Which overrides of latencies have not come into effect by the end of a boot; empty if all have."""
    if digest is not None:
        return f"the override of {digest.unreached} was never reached: no such event came" if digest.unreached else ""
    asked = params.get("exact.override", "")
    return f"the override of {asked} was never reached: the board does not live in exact time" if asked else ""


def end_unbooted(reason: str) -> BootEnd:
    """The end of a boot that was not needed, nor is any other of its slot."""
    return BootEnd(complete=True, booted=False, outcome=Outcome.PASS, blame=None, reason=reason)

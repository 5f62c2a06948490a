# SPDX-License-Identifier: GPL-2.0-or-later
"""One check of this machine, as `panthorlab doctor` prints it; each package lists its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from panthorlab.errors import PanthorlabError


@dataclass(frozen=True)
class Result:
    """What a check found: `detail`; if not `ok`, `hint` says how to mend it."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


Check = Callable[[], Result]


def check(name: str, probe: Callable[[], str], hint: str = "") -> Check:
    """A check that is good unless `probe` raises; the error's own hint is used if `hint` is empty."""

    def run() -> Result:
        try:
            return Result(name, True, probe())
        except PanthorlabError as error:
            return Result(name, False, str(error), hint or error.hint or "")

    return run

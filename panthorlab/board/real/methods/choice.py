# SPDX-License-Identifier: GPL-2.0-or-later
"""Which boot method a boot takes: the one asked for, or the quickest that is provably enough."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from panthorlab.board.methods import AUTO, METHODS, Method
from panthorlab.board.real.parts import Booting, BootMethod, Rig
from panthorlab.errors import UsageError


@dataclass(frozen=True)
class ChosenMethod:
    """`method`, which is that of `row`, and why not a quicker one (`note`, empty if there is nothing to tell)."""

    row: Method
    method: BootMethod
    note: str = ""


def make(row: Method) -> BootMethod:
    """A new one, for one boot."""
    module, _, name = row.code.partition(":")
    made: BootMethod = getattr(importlib.import_module(f"panthorlab.board.real.methods.{module}"), name)()
    return made


def choose(rig: Rig, booting: Booting, *, method: str) -> ChosenMethod:
    """The method for this boot; `method` is `auto` or one of the board's. Raises UsageError if none will do.

    One that exchanges modules needs a kernel that runs already, so a fresh boot takes the first other method; so does a
    kernel to which more has changed than the module, and one that is refused for what is found on the board.
    """
    rows = [METHODS[name] for name in rig.file.boot.methods]
    offered = [row for row in rows if not row.exchanges]
    quicker = [row for row in rows if row.exchanges and method in (AUTO, row.name)]
    notes = []
    for row in () if booting.fresh else quicker:
        candidate = make(row)
        why_not = candidate.refuse(rig, booting)
        if why_not is None:
            return ChosenMethod(row, candidate)
        notes.append(f"no {row.name.replace('-', ' ')}: {why_not}")
    refusals = []
    for row in offered if method == AUTO or METHODS[method].exchanges else [METHODS[method]]:
        candidate = make(row)
        why_not = candidate.refuse(rig, booting)
        if why_not is None:
            return ChosenMethod(row, candidate, "; ".join(notes))
        refusals.append(f"{row.name}: {why_not}")
    raise UsageError(f"board {rig.name} cannot boot this kernel. {'; '.join(refusals)}")

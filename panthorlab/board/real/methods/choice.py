# SPDX-License-Identifier: GPL-2.0-or-later
"""The choice of a boot method: the requested one, or the quickest that is provably sufficient."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from panthorlab.board.methods import AUTO, METHODS, Method
from panthorlab.board.real.parts import Booting, BootMethod, Rig
from panthorlab.errors import UsageError


@dataclass(frozen=True)
class ChosenMethod:
    """`method`: an instance of `row`'s method. `note`: why not a quicker one, empty if there is no reason to report."""

    row: Method
    method: BootMethod
    note: str = ""


def make(row: Method) -> BootMethod:
    """A new instance, for one boot."""
    module, _, name = row.code.partition(":")
    made: BootMethod = getattr(importlib.import_module(f"panthorlab.board.real.methods.{module}"), name)()
    return made


def choose(rig: Rig, booting: Booting, *, method: str) -> ChosenMethod:
    """The method for this boot; `method` is `auto` or one of the board's. Raises UsageError if none will do.

    A method that replaces modules needs a running kernel. So a fresh boot uses the first other method, as do a kernel
    that differs in more than the module and one that is refused because of the state of the board.
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

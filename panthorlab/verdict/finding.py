# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings as a comparison sees them: outside iterations, known beforehand, new on *after*."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutsideFinding:
    """One finding blamed on the kernel outside any iteration: between two, after the last, or in a plain test."""

    kind: str
    signature: str = ""
    timestamp: float | None = None
    """Seconds of the kernel's clock."""
    marker: str = ""
    """The nearest marker before it: the id of the iteration or program that had ended; empty if there was none."""
    workload: str = ""
    """What that was an iteration of."""
    delay: float | None = None
    """Seconds after that marker; None if unknown, or if it was found while that program ran."""
    placed: bool = True
    """Whether it is known after which marker it came; old logs do not tell."""
    expected: bool = False
    """A plain test provoked it on purpose with the program that the marker names: it says nothing of the patch."""

    @property
    def place(self) -> str:
        """Where it was, in words."""
        after = f" ({self.workload})" if self.workload and self.workload != self.marker else ""
        if not self.marker:
            where = "before any marker" if self.placed else "after which marker is not on record"
            return where if self.timestamp is None else f"at {self.timestamp:.3f} s, {where}"
        if self.delay is None:
            return f"in {self.marker}{after}"
        late = f"{self.delay * 1000:.0f} ms" if self.delay < 1 else f"{self.delay:.1f} s"
        return f"{late} after the end of {self.marker}{after}"


@dataclass(frozen=True, slots=True)
class KnownFinding:
    """An entry of a list of known findings: reported and never blamed.

    `pattern`: a regular expression that must match the whole of `WORKLOAD@KIND` or `WORKLOAD@SIGNATURE`. `source` is
    the entry's FILE:LINE, `about` what the comments above it say.
    """

    pattern: re.Pattern[str]
    source: str = ""
    about: str = ""

    def matches(self, place: str, name: str) -> bool:
        return self.pattern.fullmatch(f"{place}@{name}") is not None


@dataclass(frozen=True, slots=True)
class NewFinding:
    """A kind or signature blamed on the kernel and what became of it from *before* to *after*."""

    what: str
    """`kind` or `signature`."""
    name: str
    where: str
    """The workload, or `(boot)` for findings that come after no iteration."""
    before: tuple[int, int]
    """(iterations or boots with it, all of them)."""
    after: tuple[int, int]
    regressed: bool
    reason: str
    obstacle: bool = False
    """Not blamed, but `fixed` and `clean` cannot be said with it."""
    p: float | None = None
    """p of the hypothesis that *after* has it no more often than *before*; None where no number decides."""


@dataclass(frozen=True, slots=True)
class Surprise:
    """A change from *before* to *after* that the patch does not claim. It weighs nothing: what is worse has its verdict
    besides, and what seems better may be a fault that is no longer noticed."""

    where: str
    """The workload or test, or `(boot)`."""
    what: str
    """A kind of finding; `faulty` for the rate of a workload, `test` for a test that failed."""
    before: tuple[int, int]
    """(how often, of how many)."""
    after: tuple[int, int]
    fewer: bool
    p: float | None
    """p of the hypothesis that nothing has changed in this direction; None for tests."""
    reason: str


def unblamed(news: Iterable[NewFinding]) -> tuple[str, ...]:
    """The reasons of those that neither are blamed nor in the way; a signature is left out where its kind is named."""
    own = [new for new in news if not new.regressed and not new.obstacle]
    kinds = {(new.name, new.where, new.before, new.after) for new in own if new.what == "kind"}
    return tuple(
        new.reason
        for new in own
        if new.what == "kind" or (new.name.partition(":")[0], new.where, new.before, new.after) not in kinds
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""What came of a night: for its reports, and for whoever is told of it. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from panthorlab.jsonvalue import JsonObject
from panthorlab.run.record.codec import decode, encode


class NightOutcome(StrEnum):
    """What a night says of one kernel, best first. Of a whole night: the worst of its kernels."""

    GOOD = "good"
    """All was judged, and no fault was seen but known ones."""
    UNCHANGED = "unchanged"
    """The branch is where the last judged night left it: nothing was built or booted."""
    FAILING = "failing"
    """It has faults that are not known, and none of them is new."""
    INCONCLUSIVE = "inconclusive"
    """It shows something new, too seldom to blame the kernel."""
    REGRESSED = "regressed"
    """It is worse than in the last good night."""
    ERROR = "error"
    """Lab or infrastructure: nothing can be said, or the night's time was up."""

    @property
    def badness(self) -> int:
        """0 is best."""
        return list(NightOutcome).index(self)


EXIT: Final = {
    NightOutcome.GOOD: 0,
    NightOutcome.UNCHANGED: 0,
    NightOutcome.FAILING: 1,
    NightOutcome.INCONCLUSIVE: 3,
    NightOutcome.REGRESSED: 1,
    NightOutcome.ERROR: 4,
}


@dataclass(frozen=True)
class TreeCommit:
    """`id`: all digits. `subject`: untrusted, one line."""

    id: str
    subject: str = ""

    @property
    def short(self) -> str:
        """Twelve digits, as the kernel's `Fixes:` has them."""
        return self.id[:12]


@dataclass(frozen=True)
class NewTrouble:
    """Something that is wrong with a kernel. `what`: `signature` or `kind` of a finding, `test`, `rate` (a workload
    that fails more often), `boot`, `build`, or `verdict` (what has no other name); `name`: which; `where`: the
    workload, or `(boot)`. `before` and `after`: how often, of how many, in the last good night and in this one.
    `blamed`: by the rules of evidence; if not, it was seen too seldom to say. `reason`: a sentence."""

    what: str
    name: str
    where: str = ""
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    blamed: bool = True
    reason: str = ""


@dataclass(frozen=True)
class Expectation:
    """An entry of the lists of known findings, and how often it came on a board: in `seen` of `judged` iterations or
    boots of so many `nights`, this one among them. `tonight`: the same of this night alone. `interval`: Wilson's, 95 %,
    of the rate. `source`: FILE:LINE."""

    pattern: str
    source: str
    board: str
    seen: int
    judged: int
    interval: tuple[float, float]
    nights: int = 1
    tonight: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Culprit:
    """What a bisect came to. `signature`: what it searched for; `explains`: what else came with it. `commits`: one if
    it is named, several that cannot be told apart, or none. `verified`: the culprit shows it; its parent, and the tip
    without it, do not. `reason`, `checks`: sentences. `directory`: of the bisect, empty if none began. `night`: that
    found it; of a fault that stands, an earlier one. `ended`: if not, the next night goes on with it."""

    signature: str
    commits: tuple[TreeCommit, ...]
    verified: bool
    reason: str
    checks: tuple[str, ...] = ()
    explains: tuple[str, ...] = ()
    directory: str = ""
    night: str = ""
    ended: bool = True


@dataclass(frozen=True)
class KernelNight:
    """A night of one kernel: `tree`, `branch` and `config` by name; `name` is all three. `url`: of the tree.

    `attempted` iterations and tests, of which `judged` and `lost` (to the lab). `new`: what the last good night lacks,
    `passes`: entries of the lists of known findings that were expected and did not come, in sentences. `compared`: the
    last good night, empty if there was none, and `good`, its commit. `directory`: of what ran, absolute; empty if
    nothing did. `standing`: of an unchanged branch, what the night said that judged it.
    """

    name: str
    tree: str
    branch: str
    config: str
    url: str
    outcome: NightOutcome
    commit: TreeCommit | None = None
    reasons: tuple[str, ...] = ()
    attempted: int = 0
    judged: int = 0
    lost: int = 0
    new: tuple[NewTrouble, ...] = ()
    known: tuple[Expectation, ...] = ()
    passes: tuple[str, ...] = ()
    culprits: tuple[Culprit, ...] = ()
    compared: str = ""
    good: TreeCommit | None = None
    standing: NightOutcome | None = None
    kernel: str = ""
    boards: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    seconds: float = 0.0
    directory: str = ""

    @property
    def culprit(self) -> Culprit | None:
        """The first bisect that named one commit."""
        return next((one for one in self.culprits if len(one.commits) == 1), None)

    @property
    def state(self) -> NightOutcome:
        """What it counts as: an unchanged branch that was bad is as bad as it was."""
        return max(self.outcome, self.standing or self.outcome, key=lambda one: one.badness)

    @property
    def exit(self) -> int:
        """Exit status."""
        return EXIT[self.state]


@dataclass(frozen=True)
class Night:
    """`name`: of the night, DATE-TIME. `title`: of nightly.yaml. `started`: Unix time. `directory`: absolute, has
    `night.json` and `night.html`."""

    name: str
    title: str
    started: float
    seconds: float
    directory: str
    kernels: tuple[KernelNight, ...]
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> NightOutcome:
        """The worst."""
        return max((one.state for one in self.kernels), key=lambda one: one.badness, default=NightOutcome.ERROR)

    @property
    def exit(self) -> int:
        """Exit status: error before kernel before inconclusive."""
        found = {one.exit for one in self.kernels}
        return next((status for status in (4, 1, 3) if status in found), 0 if found else 4)

    @property
    def attempted(self) -> int:
        return sum(one.attempted for one in self.kernels)

    @property
    def judged(self) -> int:
        return sum(one.judged for one in self.kernels)

    @property
    def lost(self) -> int:
        return sum(one.lost for one in self.kernels)


def to_json(night: Night) -> JsonObject:
    """A night as `night.json` has it; what can be derived is in it, too."""
    whole = ("outcome", "exit", "attempted", "judged", "lost")
    return {
        **_object(night),
        **{name: encode(getattr(night, name)) for name in whole},
        "kernels": [kernel_json(one) for one in night.kernels],
    }


def kernel_json(kernel: KernelNight) -> JsonObject:
    """One of its kernels."""
    return {**_object(kernel), "culprit": encode(kernel.culprit), "exit": kernel.exit}


def night_of(data: JsonObject) -> Night:
    """The inverse of `to_json`. Raises `ShapeError` for what is none."""
    return decode(Night, data)


def _object(value: Night | KernelNight) -> JsonObject:
    made = encode(value)
    assert isinstance(made, dict)  # noqa: S101 - it is a dataclass
    return made

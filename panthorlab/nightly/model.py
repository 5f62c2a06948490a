# SPDX-License-Identifier: GPL-2.0-or-later
"""What came of a night: for its reports, and for whoever is told of it. Data only, of the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Final


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
class Commit:
    """`id`: all digits. `subject`: untrusted, one line."""

    id: str
    subject: str = ""

    @property
    def short(self) -> str:
        """Twelve digits, as the kernel's `Fixes:` has them."""
        return self.id[:12]


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong with a kernel. `what`: `signature` or `kind` of a finding, `test`, `rate` (a workload
    that fails more often), `boot` or `build`; `name`: which; `where`: the workload, or `(boot)`. `before` and `after`:
    how often, of how many, in the last good night and in this one. `blamed`: by the rules of evidence; if not, it was
    seen too seldom to say. `reason`: a sentence."""

    what: str
    name: str
    where: str = ""
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    blamed: bool = True
    reason: str = ""


@dataclass(frozen=True)
class Expectation:
    """An entry of the lists of known findings and how often it was seen: in `seen` of `judged` iterations or boots,
    in how many `nights`, this one among them. `tonight`: the same of this night alone. `interval`: Wilson's, 95 %, of
    the rate. `source`: FILE:LINE."""

    pattern: str
    source: str
    seen: int
    judged: int
    interval: tuple[float, float]
    nights: int = 1
    tonight: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Culprit:
    """What a bisect came to. `signature`: what it searched for; `explains`: what else came with it. `commits`: one if
    it is named, several that cannot be told apart, or none. `verified`: the culprit shows it; its parent, and the tip
    without it, do not. `reason`, `checks`: sentences. `directory`: of the bisect. `night`: that found it; of a fault
    that stands, an earlier one."""

    signature: str
    commits: tuple[Commit, ...]
    verified: bool
    reason: str
    checks: tuple[str, ...] = ()
    explains: tuple[str, ...] = ()
    directory: str = ""
    night: str = ""


@dataclass(frozen=True)
class KernelNight:
    """A night of one kernel: `tree`, `branch` and `config` by name; `name` is all three. `url`: of the tree.

    `attempted` iterations and tests, of which `judged` and `lost` (to the lab). `new`: what the last good night lacks,
    `passes`: entries of the lists of known findings that were expected and did not come, in sentences. `compared`: the
    last good night and its commit; None: there was none. `directory`: of what ran, absolute; empty if nothing did.
    `standing`: of an unchanged branch, what the night said that judged it.
    """

    name: str
    tree: str
    branch: str
    config: str
    url: str
    outcome: NightOutcome
    commit: Commit | None = None
    reasons: tuple[str, ...] = ()
    attempted: int = 0
    judged: int = 0
    lost: int = 0
    new: tuple[Trouble, ...] = ()
    known: tuple[Expectation, ...] = ()
    passes: tuple[str, ...] = ()
    culprits: tuple[Culprit, ...] = ()
    compared: tuple[str, Commit] | None = None
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
    def exit(self) -> int:
        """Exit status; an unchanged branch is as good as it was."""
        return EXIT[self.standing or self.outcome]


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
        return max((one.outcome for one in self.kernels), key=lambda one: one.badness, default=NightOutcome.ERROR)

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


def to_json(night: Night) -> dict[str, Any]:
    """A night as `night.json` has it; what can be derived is in it, too."""
    whole = {name: getattr(night, name) for name in ("outcome", "exit", "attempted", "judged", "lost")}
    return {**asdict(night), **whole, "kernels": [kernel_json(one) for one in night.kernels]}


def kernel_json(kernel: KernelNight) -> dict[str, Any]:
    """One of its kernels."""
    compared = {"night": kernel.compared[0], "commit": asdict(kernel.compared[1])} if kernel.compared else None
    culprit = asdict(kernel.culprit) if kernel.culprit else None
    return {**asdict(kernel), "compared": compared, "culprit": culprit, "exit": kernel.exit}


def kernel_of(data: Mapping[str, Any]) -> KernelNight:
    """The inverse of `kernel_json`. Raises KeyError, TypeError or ValueError for what is none."""
    known = {field.name for field in fields(KernelNight)}
    given = {name: value for name, value in data.items() if name in known}
    compared = given["compared"]
    return KernelNight(
        **{
            **given,
            "outcome": NightOutcome(given["outcome"]),
            "standing": NightOutcome(given["standing"]) if given["standing"] else None,
            "commit": Commit(**given["commit"]) if given["commit"] else None,
            "compared": (compared["night"], Commit(**compared["commit"])) if compared else None,
            "new": tuple(
                Trouble(**{**one, "before": _pair(one["before"]), "after": _pair(one["after"])}) for one in given["new"]
            ),
            "known": tuple(
                Expectation(**{**one, "interval": _pair(one["interval"]), "tonight": _pair(one["tonight"])})
                for one in given["known"]
            ),
            "culprits": tuple(
                Culprit(
                    **{
                        **one,
                        "commits": tuple(Commit(**commit) for commit in one["commits"]),
                        "checks": tuple(one["checks"]),
                        "explains": tuple(one["explains"]),
                    }
                )
                for one in given["culprits"]
            ),
            **{name: tuple(given[name]) for name in ("reasons", "passes", "boards", "suites")},
        }
    )


def night_of(data: Mapping[str, Any]) -> Night:
    """The inverse of `to_json`."""
    own = {name: data[name] for name in ("name", "title", "started", "seconds", "directory")}
    return Night(**own, kernels=tuple(map(kernel_of, data["kernels"])), notes=tuple(data["notes"]))


def _pair(value: Any) -> Any:
    first, second = value
    return first, second

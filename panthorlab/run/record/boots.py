# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of a single boot: from its start to its end, what ran on it, and what its kernel said meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from panthorlab.outcome import Blame, Outcome, Role
from panthorlab.run.record.base import OfBoot
from panthorlab.run.record.codec import Count, FindingJson, Seconds


@dataclass(frozen=True, kw_only=True)
class BootStart(OfBoot, event="boot-start"):
    """An attempt at a slot begins. `kernel`: its key in the store. `variant`: empty for the plain boots."""

    PLACE = ("boot", "arm", "slot")
    kernel: str = ""
    board: str = ""
    variant: str = ""


@dataclass(frozen=True, kw_only=True)
class BootEnd(OfBoot, event="boot-end"):
    """`complete`: the slot needs no further boot. `booted`: the kernel came up and proved itself. `reason`, `hint`: why
    it did not end well, and what to do. `final`: a further attempt would end the same. `digest`: in exact time, SHA-256
    of all that went on, and `instructions` of the guest; of equal boots equal."""

    PLACE = ("boot", "arm", "slot")
    complete: bool
    outcome: Outcome
    blame: Blame | None
    booted: bool = False
    reason: str | None = ""
    hint: str | None = None
    final: bool = False
    digest: str | None = None
    instructions: int | None = None

    @property
    def why(self) -> str:
        """The reason, and what to do next if that is known; empty if it was well."""
        return (self.reason or "") + (f"\n  hint: {self.hint}" if self.hint else "")


@dataclass(frozen=True, kw_only=True)
class BoardUp(OfBoot, event="board"):
    """A board is up, and its kernel is proved to be the one that was built."""

    PLACE = ("boot",)
    name: str
    facts: Mapping[str, object]
    boot_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Quota(OfBoot, event="quota"):
    """Iterations of a workload that are planned for this boot, and for all boots of its arm."""

    workload: str
    arm_total: Count
    role: Role = Role.CLAIM
    planned: Count = 0


@dataclass(frozen=True, kw_only=True)
class Iteration(OfBoot, event="iteration"):
    """One iteration as it was judged.

    `terminations`: heap-bound group terminations it caused, of which `faulty` are counted as faulty. `kinds` and
    `signatures`: of its findings; `declared`: the kinds that make it faulty. `per_boot`: boots are what counts of them;
    `once`: the kinds of which this kernel tells once per boot. `us`: microseconds, None if it was cut off. `cut`: it
    never ran, by the stopping rule.
    """

    id: str
    workload: str
    role: Role
    outcome: Outcome
    blame: Blame | None
    message: str
    terminations: Count
    faulty: Count
    kinds: tuple[str, ...]
    signatures: tuple[str, ...]
    declared: tuple[str, ...]
    program_failed: bool
    findings: tuple[FindingJson, ...]
    per_boot: bool = False
    once: tuple[str, ...] = ()
    us: Count | None = None
    cut: bool = False


@dataclass(frozen=True)
class Marker:
    """The end marker that came last before a finding, or that of the program that was running; `delay`: seconds since
    then, None if unknown."""

    id: str | None = None
    workload: str | None = None
    delay: float | None = None


@dataclass(frozen=True, kw_only=True)
class StrayEvent(OfBoot, event="stray"):
    """A finding outside all iterations. `placed`: it is known after which `marker` it came, if after any. `expected`: a
    test provoked it on purpose."""

    finding: FindingJson
    marker: Marker | None = None
    placed: bool = True
    expected: bool = False

    @property
    def after(self) -> str:
        """The workload that had run before; empty if none had."""
        return (self.marker.workload if self.marker else None) or ""


@dataclass(frozen=True, kw_only=True)
class LogGap(OfBoot, event="log-gap"):
    """The kernel log lost records outside iterations, `after` the end marker of this one; empty: before any."""

    after: str


@dataclass(frozen=True, kw_only=True)
class Tested(OfBoot, event="test"):
    """A test that counts nothing has ended. `proof`: it is no test of a suite, but what its counts rest on. `last`: the
    program that failed it, or else the last that it ran, as the kernel log's markers name it; empty if none."""

    suite: str
    test: str
    outcome: Outcome
    blame: Blame | None
    message: str
    seconds: Seconds
    proof: bool = False
    last: str = ""

    @property
    def name(self) -> str:
        """SUITE::TEST."""
        return f"{self.suite}::{self.test}"


@dataclass(frozen=True, kw_only=True)
class Misbehave(OfBoot, event="misbehave"):
    """From here on the emulated GPU does wrong what `rule` says."""

    rule: str


@dataclass(frozen=True, kw_only=True)
class Behave(OfBoot, event="behave"):
    """From here on it does no wrong any more."""


@dataclass(frozen=True, kw_only=True)
class Doing(OfBoot, event="progress"):
    """What a boot is doing now: for people who wait, not for the log."""

    text: str


@dataclass(frozen=True, kw_only=True)
class BootStep(OfBoot, event="step"):
    """A step of a boot has ended (`board/steps.py`). `begin`, `end`: Unix time. `message`: why it failed."""

    name: str
    begin: Seconds
    end: Seconds
    seconds: Seconds
    outcome: Outcome
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Note(OfBoot, event="note"):
    """What a reader must know, and nobody is to blame for; of a boot, or of the run."""

    PLACE = ()
    text: str

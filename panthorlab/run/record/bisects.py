# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of a bisect: what was asked for, what each boot said, what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from panthorlab.run.record.base import Event
from panthorlab.run.record.codec import Count


@dataclass(frozen=True, kw_only=True)
class BisectStart(Event, event="bisect"):
    """`good`, `bad`: ids of commits of `repository`. `signature`: as it was given; empty: to be chosen. `limit`: boots
    of a commit at most. `fragments`: of every kernel. `old`, `new`: what is good and bad are called. `tree`: the
    commit in whose private tree all are built; empty: the bad one."""

    repository: str
    good: tuple[str, ...]
    bad: str
    signature: str = ""
    limit: Count = 0
    fragments: tuple[str, ...] = ()
    old: str = "good"
    new: str = "bad"
    tree: str = ""


@dataclass(frozen=True, kw_only=True)
class BisectSignature(Event, event="bisect-signature"):
    """What is searched for from here on. `others`: what the bad end has shown besides."""

    signature: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BisectTest(Event, event="bisect-test"):
    """What is booted next, and why. `candidates`: commits that may be the culprit, `likely`: the most likely ones with
    their probabilities."""

    commit: str
    boots: Count
    why: str
    candidates: Count = 0
    likely: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BisectBuilt(Event, event="bisect-built"):
    """A kernel is there. `seconds`: what it took; 0: it was in the store."""

    commit: str
    key: str
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class BisectBoot(Event, event="bisect-boot"):
    """What a boot has said. `symptoms`: all signatures, and tests and workloads that failed without; `blamed`: those
    that are the kernel's fault. `error`: why it cannot be judged, if that is no fault of the kernel's; else empty."""

    commit: str
    number: Count
    symptoms: tuple[str, ...]
    blamed: tuple[str, ...]
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class BisectSkip(Event, event="bisect-skip"):
    """A commit that cannot be tested."""

    commit: str
    why: str


@dataclass(frozen=True, kw_only=True)
class BisectEnd(Event, event="bisect-end"):
    """`culprits`: one, or those that could not be told apart, or none. `checks`: what was verified, in sentences.
    `exit`: the status of the command. `reason`: what the search came to, in a sentence."""

    culprits: tuple[str, ...]
    checks: tuple[str, ...]
    reason: str
    exit: Count
    hint: str = ""

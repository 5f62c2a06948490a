# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of a run as a whole: how it was started and ended, what it decided, what it measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from panthorlab.run.record.base import Event
from panthorlab.run.record.codec import Count, Seconds
from panthorlab.run.record.plans import Need
from panthorlab.run.record.settings import Settings


@dataclass(frozen=True, kw_only=True)
class RunStart(Event, event="run-start"):
    """The first event of every log. `version`: of the record, see `versions`. `command`, `directory`: as it was
    started. `replay_of`: the iteration, as RUN:ITERATION, of which this is a replay."""

    options: Settings
    suites: tuple[str, ...]
    command: tuple[str, ...] = ()
    directory: str = ""
    version: Count = 1
    replay_of: str = ""


@dataclass(frozen=True, kw_only=True)
class Resumed(Event, event="resumed"):
    """The run goes on. `version`: of the record from here on."""

    version: Count = 1


@dataclass(frozen=True, kw_only=True)
class RunEnd(Event, event="run-end"):
    """All that was planned is done."""


@dataclass(frozen=True, kw_only=True)
class Stopped(Event, event="stopped"):
    """The run goes no further for now: why, what to do, and the exit status of that."""

    reason: str
    hint: str | None
    exit: Count


@dataclass(frozen=True, kw_only=True)
class DamagedEvent(Event, event="damaged"):
    """In no log, but at the end of what could be read of one that is damaged."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class SessionTime(Event, event="session"):
    """How long the run was worked on, from its start or from where it was resumed."""

    seconds: Seconds


@dataclass(frozen=True, kw_only=True)
class PhaseEvent(Event, event="phase"):
    """A part of the run is over, however it ended."""

    name: str
    seconds: Seconds


@dataclass(frozen=True, kw_only=True)
class Needs(Event, event="needs"):
    """What the tests of the run's suites need, as it was at the start. `overlays_known`: also which overlay."""

    tests: tuple[Need, ...]
    overlays_known: bool = True


@dataclass(frozen=True, kw_only=True)
class Moved(Event, event="moved"):
    """A slot runs on another board from here on: its own has died."""

    slot: str
    board: str
    arm: str = ""


@dataclass(frozen=True, kw_only=True)
class ExtensionEvent(Event, event="extension"):
    """What an arm runs beyond its plan: iterations by workload, `boots` in which tests run again, too."""

    iterations: Mapping[str, Count]
    why: tuple[str, ...]
    arm: str
    boots: Count = 0


@dataclass(frozen=True, kw_only=True)
class Again(Event, event="again"):
    """Tests in doubt, by variant ("": in the plain boots), that run in more boots of all arms."""

    tests: Mapping[str, tuple[str, ...]]
    why: tuple[str, ...]


@dataclass(frozen=True)
class SuiteRan:
    """Functions and lines of the driver that a suite ran."""

    functions: Count
    lines: Count


@dataclass(frozen=True)
class PatchRan:
    """How many of the patch's lines ran, of how many; the places of those that `never` did, and those that lie
    `outside` of what is measured."""

    lines: Count
    ran: Count
    never: tuple[str, ...]
    outside: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CoverageEvent(Event, event="coverage"):
    """What of the driver ran in the boots of an arm."""

    arm: str
    functions: Count
    function_total: Count
    lines: Count
    line_total: Count
    suites: Mapping[str, SuiteRan]
    patch: PatchRan | None

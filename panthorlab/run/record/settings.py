# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run was asked for, as its log keeps it: all that resuming it, judging it and reporting it need."""

from __future__ import annotations

from dataclasses import dataclass

from panthorlab.board.boardtime import TimeName
from panthorlab.board.methods import AUTO
from panthorlab.run.record.codec import Seconds
from panthorlab.verdict.model import Expect


@dataclass(frozen=True)
class KnownEntry:
    """A line of a list of known findings: its pattern, its FILE:LINE, and what the comments above it say."""

    pattern: str
    source: str
    about: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of `validate` and `run`, by their names on the command line; here with the defaults of logs that do
    not have them yet.

    `board` is for people, `boards` for the run. `expect` is None, and `kernel` given, in a run of `panthorlab run`.
    `time`: None: as the boards' files say. `patch`: where they can be read as long as the run's directory is
    there; None: not on record. `workload`: those that run; none: all. `strategy`: how an exploration draws latencies;
    none: the run is none. `between`: events between which one of them aims.
    """

    board: str = ""
    boards: tuple[str, ...] = ()
    tag: str | None = None
    boot_method: str = AUTO
    time: TimeName | None = None
    wait: Seconds | None = 0.0
    jobs: int = 1
    suite: tuple[str, ...] = ()
    deep: bool = False
    param: tuple[str, ...] = ()
    overlay: str | None = None
    known: tuple[KnownEntry, ...] = ()
    coverage: bool = False
    boots: int = 1
    iterations: int | None = None
    seed: int = 1
    time_limit: Seconds | None = None
    kernel: str = ""
    driver: str | None = None
    expect: Expect | None = None
    before: str | None = None
    after: str | None = None
    base: str | None = None
    patch: tuple[str, ...] | None = None
    patch_version: int | None = None
    revert: bool = False
    swap: bool = False
    config: tuple[str, ...] = ()
    no_jail: bool = False
    workload: tuple[str, ...] = ()
    strategy: tuple[str, ...] = ()
    between: tuple[str, ...] = ()

    @property
    def board_names(self) -> tuple[str, ...]:
        """The boards of the run, as they were named; runs of earlier versions had one."""
        return self.boards or (self.board,)

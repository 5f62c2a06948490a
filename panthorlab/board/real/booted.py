# SPDX-License-Identifier: GPL-2.0-or-later
"""A real board that runs the kernel under test."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from panthorlab.board.api import Hazard
from panthorlab.board.boardtime import HOST, BoardTime
from panthorlab.board.gpu_events import GpuEvents
from panthorlab.board.real.blame import settle, why_silent
from panthorlab.board.real.parts import Rig, SecureShell
from panthorlab.board.real.watch import Watch
from panthorlab.errors import LabError, PanthorlabError, UsageError

_LAST_GASP: Final = 1.0
"""Seconds to wait for the last output of a dying kernel over SSH."""


class BootedRealBoard:
    """See `BootedBoard`. When the connection breaks, the board is diagnosed and recovered once; all waiters wait for
    that and get the same error."""

    def __init__(self, rig: Rig, watch: Watch, gpu_events: GpuEvents | None) -> None:
        """Not connected yet, see `attach`."""
        self._rig, self._watch, self._gpu_events = rig, watch, gpu_events
        self._connection: tuple[SecureShell, str] | None = None
        self._facts: dict[str, object] = {}
        self._held = ExitStack()
        self._lock = threading.Lock()
        self._cause: PanthorlabError | None = None
        self._closed = False
        self.log_start = 0
        """See `BootedBoard.log_start`."""

    def attach(self, shell: SecureShell, boot_id: str) -> None:
        """Set the connection to the kernel under test, and the boot-id."""
        self._connection = shell, boot_id
        self._watch.on_death = lambda: shell.abandon(_LAST_GASP)

    def describe(self, facts: Mapping[str, object]) -> None:
        """Set the facts about this boot for the report."""
        self._facts |= facts

    def hold(self, held: ExitStack) -> None:
        """Set the resources to return to the lab on `close`."""
        self._held = held

    @property
    def name(self) -> str:
        return self._rig.name

    @property
    def shell(self) -> SecureShell:
        return self._attached()[0]

    @property
    def boot_id(self) -> str:
        return self._attached()[1]

    def _attached(self) -> tuple[SecureShell, str]:
        if self._connection is None:
            raise LabError(f"board {self.name} is not connected yet")
        return self._connection

    @property
    def time(self) -> BoardTime:
        return HOST

    def digest(self) -> None:
        return None

    @property
    def slowness(self) -> float:
        return self._rig.file.time_limits.slowness

    @property
    def work_dir(self) -> str:
        assert self._rig.file.ssh is not None  # noqa: S101 - a rig has all its sections
        return self._rig.file.ssh.work_dir

    @property
    def console_log(self) -> Path:
        return self._rig.console.log

    def last_words(self) -> bytes:
        """This kernel's output on the console, and what pstore kept of it."""
        kept = sorted((self._rig.log_dir / "recovery" / "pstore").glob("*.txt"))
        return b"\n".join([self._watch.words(), *(path.read_bytes() for path in kept)])

    def hazards(self) -> Sequence[Hazard]:
        return self._gpu_events.hazards() if self._gpu_events else []

    def facts(self) -> Mapping[str, object]:
        return dict(self._facts)

    @property
    def injections(self) -> frozenset[str]:
        return frozenset()

    def behave(self) -> None:
        """Does nothing, because a real board has no injections."""

    def struck(self) -> Sequence[str]:
        return []

    def misuses(self) -> Sequence[str]:
        return []

    def inject(self, failure: str) -> None:
        raise UsageError(
            f"board {self.name} cannot produce `{failure}`: its GPU is a real one",
            hint="run it on an emulated board; a suite asks `session.can_inject`, or skips by `session.misbehaving`",
        )

    def check_alive(self) -> None:
        """See `BootedBoard.check_alive`."""
        if self._cause is not None:
            raise self._cause
        self._rig.check_lease()
        if self._watch.dead:
            raise self.diagnose()
        if not self.shell.ping(self._rig.file.time_limits.answer):
            raise self.diagnose()

    def diagnose(self) -> PanthorlabError:
        """The error by which the board was lost. Recovers the board first, which takes as long."""
        with self._lock:
            if self._cause is None:
                if self._closed:
                    self._cause = LabError(f"board {self.name} was closed")
                else:
                    boot_id = self._connection[1] if self._connection else ""
                    try:
                        self._cause = settle(self._rig, why_silent(self._rig, self._watch, boot_id), self._watch)
                    except BaseException as error:  # no second try on a board in an unknown state
                        self._cause = LabError(f"the recovery of board {self.name} was cut short: {error!r}")
                        raise
            return self._cause

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._connection is not None:
            self._connection[0].close()
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of a boot on any kind of board: when each began, how long it took, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from panthorlab.errors import BootError
from panthorlab.outcome import Outcome

_LONGEST: Final = 500


class StepName(StrEnum):
    """The possible steps, in boot order; a board skips those that do not apply."""

    LEASE = "lease"
    """The board is leased, and its labgrid place acquired."""
    CONSOLE = "console"
    """The console is being read, and the power switch responds."""
    METHOD = "method"
    """A boot method is chosen, which may involve queries to the board."""
    KNOWN_GOOD = "known-good"
    """The board runs its known-good system, from which the boot method starts."""
    POWER = "power"
    """The board is powered and its console shows output; on an emulated board, GPU model and QEMU have started."""
    FIRMWARE = "firmware"
    """The firmware accepts commands."""
    LOAD = "load"
    """The kernel (or its modules) are loaded, ready to be started."""
    HANDOVER = "handover"
    """The kernel under test has control: it has printed its first line, or the previous kernel is gone."""
    SHELL = "shell"
    """Commands can be run."""
    KERNEL = "kernel"
    """The running kernel is the requested one."""
    WORKLOADS = "workloads"
    """The guest programs are on the board."""
    DRIVER = "driver"
    """The modules are loaded, and the GPU driver has probed."""
    IDENTITY = "identity"
    """Build-ids prove that the kernel and all its modules are those that were built."""


@dataclass(frozen=True)
class Step:
    """A step that has ended. `begin`: Unix time in seconds. `outcome`: PASS; FAIL if the kernel is at fault; else
    ERROR. `message`: first line of the reason if it is not PASS."""

    name: StepName
    begin: float
    seconds: float
    outcome: Outcome
    message: str = ""

    @property
    def end(self) -> float:
        """Unix time in seconds."""
        return self.begin + self.seconds


OnStep = Callable[[Step], None]


def unheard(_step: Step) -> None:
    """The `on_step` callback that does nothing."""


class Steps:
    """Calls `on_step` for each step when it ends, with success or an exception."""

    def __init__(self, on_step: OnStep = unheard) -> None:
        self._on_step = on_step

    @contextmanager
    def __call__(self, name: StepName) -> Iterator[None]:
        """The body of the context is the step `name`."""
        with self.split(name):
            yield

    @contextmanager
    def split(
        self, name: StepName, then: StepName | None = None, at: Callable[[], float | None] = lambda: None
    ) -> Iterator[None]:
        """The body of the context is the step `name`, and from host time `at` (CLOCK_MONOTONIC), which is known only
        afterwards, the step `then`. `at` gives None if the second step was not reached."""
        began = time.monotonic()
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            end, middle = time.monotonic(), at() if then is not None else None
            if then is None or (middle is None and error is not None):
                self._tell(name, began, end, error)
            else:
                middle = min(max(began, end if middle is None else middle), end)
                self._tell(name, began, middle, None)
                self._tell(then, middle, end, error)

    def _tell(self, name: StepName, began: float, end: float, error: BaseException | None) -> None:
        outcome = Outcome.PASS if error is None else Outcome.FAIL if isinstance(error, BootError) else Outcome.ERROR
        lines = (str(error) or type(error).__name__).splitlines() if error is not None else []
        begin = time.time() - (time.monotonic() - began)
        self._on_step(Step(name, begin, end - began, outcome, lines[0][:_LONGEST] if lines else ""))

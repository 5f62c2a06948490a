# SPDX-License-Identifier: GPL-2.0-or-later
"""Every step of a boot, whatever the kind of board: when it began, how long it took, and how it ended."""

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
    """What a step can be, in the order of a boot; a board leaves out what it does not do."""

    LEASE = "lease"
    """The board, and its labgrid place, are ours."""
    CONSOLE = "console"
    """Its console is read, and its power switch answers."""
    METHOD = "method"
    """A boot method is chosen, which may ask the board."""
    KNOWN_GOOD = "known-good"
    """It runs its known-good system, from which the method starts."""
    POWER = "power"
    """It was switched on and speaks; an emulated one: model and QEMU are started."""
    FIRMWARE = "firmware"
    """Its firmware takes commands."""
    LOAD = "load"
    """The kernel (or its modules) are where they are started from."""
    HANDOVER = "handover"
    """The kernel under test has control: it has said its first line, or its predecessor is gone."""
    SHELL = "shell"
    """Commands can be run."""
    KERNEL = "kernel"
    """What runs is the kernel that was asked for."""
    WORKLOADS = "workloads"
    """The guest programs are on the board."""
    DRIVER = "driver"
    """Its modules are loaded, and its GPU has probed."""
    IDENTITY = "identity"
    """The kernel and all of its modules are proved to be those that were built."""


@dataclass(frozen=True)
class Step:
    """One that has ended. `begin`: Unix time in seconds. `outcome`: PASS; FAIL if the kernel is to blame; else ERROR.
    `message`: the first line of why it is not PASS."""

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
    """Where steps go that nobody asked for."""


class Steps:
    """Tells `on_step` of each step when it ends, however it does."""

    def __init__(self, on_step: OnStep = unheard) -> None:
        self._on_step = on_step

    @contextmanager
    def __call__(self, name: StepName) -> Iterator[None]:
        """What is done within is the step `name`."""
        with self.split(name):
            yield

    @contextmanager
    def split(
        self, name: StepName, then: StepName | None = None, at: Callable[[], float | None] = lambda: None
    ) -> Iterator[None]:
        """What is done within is the step `name`, and from the host time `at` (CLOCK_MONOTONIC), which one knows only
        afterwards, the step `then`. None: it has not come so far."""
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

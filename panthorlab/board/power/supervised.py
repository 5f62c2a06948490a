# SPDX-License-Identifier: GPL-2.0-or-later
"""A supervised switch: minimum off-time, state read back, and no board is left off.

Success is confirmed by reading the state: relays stick, PDUs switch late, responses get lost.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Self

from panthorlab.board.power.file import UNVERIFIED, PowerSection
from panthorlab.board.power.memory import OffMemory
from panthorlab.board.power.switch import NeedsPersonError, Switch, SwitchError
from panthorlab.errors import LabError

ROUNDS = 2  # a switch that reports success without effect gets one retry
POLL = 0.25  # seconds between looks at the state


class SupervisedPower:
    """See `Power`. A context manager: at its end it switches the board on again if it had switched it off."""

    def __init__(
        self, switch: Switch, *, board: str, section: PowerSection, memory: Path, progress: Callable[[str], None]
    ) -> None:
        self._switch, self._board, self._progress = switch, board, progress
        self._off_time, self._settle = section.off_time, section.settle
        self._memory = OffMemory(memory)
        self._owner: int | None = None  # process that switched off and must switch on again
        if isinstance(section, UNVERIFIED):
            progress(f"{board}: the power driver `{section.driver}` is unverified: written from documentation only")

    def on(self) -> None:
        """Wait for the minimum off-time, switch on, and verify it if the switch reports its state. Raises LabError."""
        self._wait_off()
        self._progress(f"{self._board}: switching power on ({self._switch.name})")
        self._turn(True)
        self._memory.switched_on()
        self._disarm()

    def off(self) -> None:
        """Switch off, and verify it. If this process ends before `on`, power is switched on again at its end."""
        self._progress(f"{self._board}: switching power off ({self._switch.name})")
        self._memory.switched_off()
        self._arm()
        self._turn(False)
        self._memory.switched_off()

    def cycle(self) -> None:
        """See `Power.cycle`. The first Ctrl-C or SIGTERM ends the off-time early; it is handled once power is on."""
        with _Interrupts(lambda: self._progress(f"{self._board}: power is switched on again before the end")) as held:
            try:
                self.off()
                self._wait_off()
            except BaseException as error:
                held.defer()
                try:
                    self.on()
                except LabError as failure:
                    self._progress(f"{failure}: THE BOARD MAY BE LEFT OFF")  # an interrupt hides the error
                    raise LabError(
                        f"{error or type(error).__name__}; and then: {failure}", hint=failure.hint
                    ) from error
                raise
            held.defer()
            self.on()

    def state(self) -> bool | None:
        """See `Power.state`. Raises LabError if a switch that can report its state does not."""
        try:
            return self._switch.state()
        except SwitchError as error:
            raise self._error(str(error), error.hint) from error

    @property
    def left_off(self) -> bool:
        """Whether a process, perhaps one killed since, switched this board off and none has switched it on again."""
        return self._memory.off

    def close(self) -> None:
        """Switch the board on again if this object switched it off. Idempotent. Raises LabError."""
        if self._owner == os.getpid():
            self.on()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _wait_off(self) -> None:
        rest = self._memory.remaining(self._off_time)
        if rest > 0:
            self._progress(f"{self._board}: power stays off for another {rest:.1f} s")
            time.sleep(rest)

    def _turn(self, on: bool) -> None:
        """Switch, with retries until it has taken effect. Errors are ignored if the state shows that it worked."""
        word, problem = ("on", "off")[not on], ""
        hint: str | None = None
        for round_ in range(ROUNDS):
            try:
                self._switch.turn(on)
                obeyed, problem = True, ""
            except NeedsPersonError as error:
                raise self._error(str(error), error.hint) from error
            except SwitchError as error:
                obeyed, problem, hint = False, str(error), error.hint
            seen, trouble = self._watch(on)
            if seen is on or (seen is None and obeyed and not trouble):
                return
            if seen is not None:
                problem = (
                    f"{self._switch.name} was told to switch {word} and still reads {'off' if on else 'on'} "
                    f"after {self._settle:g} s" + (f" ({problem})" if problem else "")
                )
                hint = "is it the right outlet, and does its relay move? A slow PDU needs a larger `settle`"
            elif obeyed:
                problem = f"{self._switch.name} was told to switch {word}, but its state cannot be read: {trouble}"
            if round_ + 1 < ROUNDS:
                self._progress(f"{self._board}: {problem}; trying once more")
        raise self._error(f"power is not {word}: {problem} ({ROUNDS} rounds)", hint)

    def _watch(self, wanted: bool) -> tuple[bool | None, str]:
        """(the state after at most `settle` seconds, the error from reading it); the state is None if unknown."""
        deadline = time.monotonic() + self._settle
        while True:
            state, trouble = None, ""
            try:
                state = self._switch.state()
            except NeedsPersonError as error:
                return None, str(error)
            except SwitchError as error:
                trouble = str(error)
            if state is wanted or (state is None and not trouble) or time.monotonic() >= deadline:
                return state, trouble
            time.sleep(min(POLL, max(0.0, deadline - time.monotonic())))

    def _arm(self) -> None:
        if self._owner != os.getpid():
            self._owner = os.getpid()
            atexit.register(self._at_exit)

    def _disarm(self) -> None:
        self._owner = None
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        if self._owner != os.getpid():  # a forked child inherits the registration, but not the duty
            return
        try:
            self.on()
        except LabError as error:
            self._progress(f"{error}: THE BOARD MAY BE LEFT OFF")

    def _error(self, message: str, hint: str | None) -> LabError:
        return LabError(f"{self._board}: {message}", hint=hint)


class _Interrupts:
    """Until `defer`, the first SIGINT or SIGTERM raises KeyboardInterrupt; later ones, and all after `defer`, are held
    until the end of the context, where the first is delivered again. Does nothing outside the main thread, which gets
    no signals.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell, self._deferred = tell, False
        self._pending: list[int] = []
        self._old: dict[int, Callable[[int, FrameType | None], object] | int] = {}

    def defer(self) -> None:
        self._deferred = True

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                old = signal.getsignal(number)
                if old is not None and old != signal.SIG_IGN:
                    self._old[number] = old
                    signal.signal(number, self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)
        if self._pending:
            signal.raise_signal(self._pending[0])

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._pending.append(number)
        if len(self._pending) == 1:
            self._tell()
        if not self._deferred:
            self._deferred = True
            raise KeyboardInterrupt

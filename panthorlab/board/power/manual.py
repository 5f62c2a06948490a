# SPDX-License-Identifier: GPL-2.0-or-later
"""A person as power switch, asked on the terminal."""

from __future__ import annotations

import os
import select
import time

from panthorlab.board.power.file import ManualSwitch
from panthorlab.board.power.switch import NeedsPersonError
from panthorlab.board.power.terminal import LENT_TERMINAL

TERMINAL = "/dev/tty"
MAX_LINE = 200


class Manual:
    """See `Switch`. Raises an error where nobody can be asked."""

    def __init__(self, section: ManualSwitch, board: str) -> None:
        self.name = f"power of {board}, switched by hand"
        self._board, self._timeout = board, section.timeout

    def turn(self, on: bool) -> None:
        word = "ON" if on else "OFF"
        terminal = self._open()
        try:
            os.write(
                terminal,
                f"\n{self._board}: please switch its power {word}, then press Enter "
                "(or type `no` if you cannot): ".encode(),
            )
            answer = self._line(terminal, word)
        finally:
            os.close(terminal)
        if answer.strip().lower() not in ("", "y", "yes", "ok", "done"):
            raise NeedsPersonError(f"{self.name}: {answer.strip()[:40]!r} was answered when asked to switch it {word}")

    def state(self) -> bool | None:
        return None

    def _open(self) -> int:
        """Our terminal, or the controller's, as workers run in sessions of their own."""
        try:
            terminal = os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            lent = os.environ.get(LENT_TERMINAL)
            if lent is None:
                raise self._nobody("there is no terminal to ask somebody to switch it") from error
            try:
                return os.open(lent, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            except OSError as failure:
                raise self._nobody(f"the terminal {lent} cannot be opened: {failure.strerror}") from failure
        if os.tcgetpgrp(terminal) != os.getpgrp():  # reading would stop us
            os.close(terminal)
            raise self._nobody("this process is in the background of its terminal")
        return terminal

    def _line(self, terminal: int, word: str) -> str:
        line, deadline = b"", time.monotonic() + self._timeout
        while not line.endswith(b"\n") and len(line) < MAX_LINE:
            ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise NeedsPersonError(
                    f"{self.name}: nobody answered within {self._timeout:g} s when asked to switch it {word}",
                    hint="give more time: `timeout` in the `power:` section",
                )
            part = os.read(terminal, MAX_LINE)
            if not part:
                raise NeedsPersonError(f"{self.name}: the terminal was closed when asked to switch it {word}")
            line += part
        return line.decode(errors="replace")

    def _nobody(self, why: str) -> NeedsPersonError:
        return NeedsPersonError(
            f"{self.name}: {why}",
            hint="start panthorlab in the foreground of a terminal, or use another `power:` driver",
        )

# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's own programs as a switch: argument lists, no shell, a deadline, status 0 is success."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from panthorlab import spawn
from panthorlab.board.power import web
from panthorlab.board.power.file import CommandSwitch
from panthorlab.board.power.switch import NeedsPersonError, SwitchError
from panthorlab.board.power.web import quoted

MAX_OUTPUT = 64 * 1024


class ExternalCommand:
    """See `Switch`. The program `state` prints `on` or `off`."""

    def __init__(self, section: CommandSwitch) -> None:
        self._section = section
        self.name = f"command {shlex.quote(section.on[0])}"

    def turn(self, on: bool) -> None:
        for attempt in range(self._section.retries + 1):
            try:
                self._run(self._section.on if on else self._section.off)
                return
            except NeedsPersonError:
                raise
            except SwitchError:
                if attempt == self._section.retries:
                    raise
                time.sleep(min(web.BACKOFF * 2**attempt, web.MAX_BACKOFF))

    def state(self) -> bool | None:
        if self._section.state is None:
            return None
        printed = self._run(self._section.state).strip().lower()
        if printed not in ("on", "off"):
            raise SwitchError(f"`{shlex.join(self._section.state)}` must print `on` or `off`, not {quoted(printed)}")
        return printed == "on"

    def _run(self, argv: list[str]) -> str:
        """Its standard output. Only the program itself is waited for: it may leave a process behind (an emulated
        board)."""
        line = shlex.join(argv)
        # Files, not pipes: a process left behind would hold a pipe open for ever.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaints:
            try:
                process = spawn.spawn(argv, cwd=Path("/"), stdout=out, stderr=complaints)
            except OSError as error:
                raise NeedsPersonError(f"`{line}` cannot be run: {error.strerror}") from error
            try:
                status = process.wait(self._section.timeout)
            except subprocess.TimeoutExpired:
                raise SwitchError(f"`{line}` did not end within {self._section.timeout:g} s") from None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            out.seek(0)
            complaints.seek(0)
            printed, errors = (file.read(MAX_OUTPUT).decode(errors="replace") for file in (out, complaints))
        if status in (126, 127):  # status from spawn's sh for a program that is not executable, or missing
            raise NeedsPersonError(
                f"`{line}` cannot be run: {quoted(errors)}",
                hint="the program must be executable, and is looked for in PATH",
            )
        if status:
            raise SwitchError(f"`{line}` failed with status {status}: {quoted(errors or printed)}")
        return printed

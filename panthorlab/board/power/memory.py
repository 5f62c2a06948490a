# SPDX-License-Identifier: GPL-2.0-or-later
"""Remembers across processes when a board was switched off, until it is switched on again."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

from panthorlab.errors import LabError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class OffMemory:
    """A small file that exists while the board is, or may be, switched off by us.

    Times are CLOCK_BOOTTIME of this machine, stored with its boot-id, because wall clocks jump.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def switched_off(self) -> None:
        """Record the time. Called before switching off, as a kill must not lose it, and again once power is off."""
        text = json.dumps({"off_at": time.clock_gettime(time.CLOCK_BOOTTIME), "boot_id": _boot_id()})
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, new = tempfile.mkstemp(dir=self._file.parent, prefix=f".{self._file.name}.")  # mode 0600
            with os.fdopen(handle, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(new).replace(self._file)
        except OSError as error:
            raise LabError(
                f"{self._file} cannot be written: {error.strerror}",
                hint="a board is only switched off "
                "where other processes can learn of it; free some space or mend the permissions",
            ) from error

    def switched_on(self) -> None:
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            raise LabError(f"{self._file} cannot be removed: {error.strerror}") from error

    @property
    def off(self) -> bool:
        """Whether a process switched the board off and none has switched it on since."""
        return self._file.exists()

    def remaining(self, off_time: float) -> float:
        """Seconds until the board has been off for `off_time`; all of it if this machine was rebooted meanwhile."""
        try:
            saved = json.loads(self._file.read_text())
            since = time.clock_gettime(time.CLOCK_BOOTTIME) - float(saved["off_at"])
            same_boot = saved["boot_id"] == _boot_id()
        except FileNotFoundError:
            return 0.0
        except (OSError, ValueError, TypeError, KeyError):
            return off_time  # damaged file: it only proves that the board was switched off
        return max(0.0, off_time - since) if same_boot and since >= 0 else off_time


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()

# SPDX-License-Identifier: GPL-2.0-or-later
"""Run suites on one kernel with `panthorlab run`, watch what it records, and stop it when that is enough."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final

from panthorlab import spawn
from panthorlab.errors import UsageError
from panthorlab.run.record import BootStart
from panthorlab.run.record import Event as Recorded
from panthorlab.run.record.log import read_events

ROOT: Final = Path(__file__).resolve().parents[1]
POLL: Final = 0.3
GRACE: Final = 60.0
"""Seconds that a run has after Ctrl-C to stop its boards in order; then it is killed, and its boards with it."""
LATE: Final = 30.0
"""Seconds beyond its own time limit after which a run is stopped from outside."""
_LAST_LINES: Final = 1 << 16

Events = list[Recorded]


class StoppedError(Exception):
    """The run was ended from outside before it had said anything."""


@dataclass(frozen=True)
class Ran:
    """`stopped`: because `enough` said so. `limited`: the time limit ended it. `guest`: the kernel's clock when it was
    stopped or ended, None if its log has no time."""

    events: Events
    status: int
    seconds: float
    stopped: bool
    limited: bool
    guest: float | None
    output: str


def digest(suite: Path) -> str:
    """Of a suite: its file, and the conftest.py beside it."""
    made = hashlib.sha256(suite.read_bytes())
    if (conftest := suite.with_name("conftest.py")).is_file():
        made.update(b"conftest.py\0" + conftest.read_bytes())
    return made.hexdigest()[:16]


def run(
    kernel: str,
    suites: Mapping[str, Path],
    directory: Path,
    *,
    limit: float,
    arguments: Sequence[str] = (),
    enough: Callable[[Events], bool] = lambda _: False,
    stop: Event | None = None,
) -> Ran:
    """`suites` on `kernel`, in one boot, into the new `directory`. `limit`: seconds. `arguments`: further ones of the
    command. `enough`: asked with the events so far, whenever there are new ones.

    Raises StoppedError once `stop` is set.
    """
    chosen = [word for file in suites.values() for word in ("--suite", str(file))]
    argv = [sys.executable, "-m", "panthorlab", "run", "--kernel", kernel, *chosen, "--output", str(directory),
            "--boots", "1", "--quiet", "--json", "--time-limit", f"{limit:.0f}s", *arguments]  # fmt: skip
    directory.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    with directory.with_suffix(".log").open("w+b") as log:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = spawn.spawn(argv, env=environment, stdout=log, stderr=log, cwd=ROOT, death=signal.SIGTERM)
        try:
            stopped, guest = _watch(process, directory, enough, begin + limit + LATE, stop or Event())
        finally:
            _end(process)
        log.seek(0)
        output = log.read().decode("utf-8", "replace")
    seconds = time.monotonic() - begin
    limited = not stopped and process.returncode not in (0, 1) and seconds >= limit
    events = _events(directory)
    guest = guest if stopped else guest_seconds(directory, events)
    return Ran(events, process.returncode, seconds, stopped, limited, guest, output)


def _watch(
    process: subprocess.Popen[bytes], directory: Path, enough: Callable[[Events], bool], deadline: float, stop: Event
) -> tuple[bool, float | None]:
    seen = 0
    while process.poll() is None and time.monotonic() < deadline:
        if stop.is_set():
            raise StoppedError
        events = _events(directory)
        if len(events) != seen and enough(events):
            return True, guest_seconds(directory, events)
        seen = len(events)
        time.sleep(POLL)
    return False, None


def _events(directory: Path) -> Events:
    try:
        return read_events(directory)
    except UsageError:  # it has not begun yet
        return []


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def guest_seconds(directory: Path, events: Sequence[Recorded]) -> float | None:
    """The time in the last line of the kernel log of the last boot, as far as it was read by now."""
    boots = [event.boot for event in events if isinstance(event, BootStart)]
    if not boots or not (log := directory / "boots" / boots[-1] / "kmsg.log").is_file():
        return None
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LAST_LINES))
        lines = file.read().splitlines()
    for line in reversed(lines):
        fields = line.split(b";", 1)[0].split(b",")
        if len(fields) >= 3 and fields[2].isdigit():
            return int(fields[2]) / 1e6
    return None

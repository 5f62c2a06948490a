# SPDX-License-Identifier: GPL-2.0-or-later
"""A `panthorlab` in the background, for tests that do something to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from panthorlab.run.record import Event
from panthorlab.run.record.log import read_events

MARK = "PANTHORLAB_TEST_RUN"
STOP_SECONDS = 60.0
E = TypeVar("E", bound=Event)


class Running:
    """A `panthorlab` in the background, and every process that descends from it, wherever that ends up."""

    def __init__(self, run: Path, arguments: Sequence[str | Path], env: dict[str, str]) -> None:
        self.run, self._mark = run, f"{MARK}={run}-{time.monotonic_ns()}"
        self._seen: set[int] = set()
        name, _, value = self._mark.partition("=")
        self._out, self._err = run.with_name(run.name + ".out"), run.with_name(run.name + ".err")
        argv = [sys.executable, "-m", "panthorlab", *map(str, arguments), "--json"]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
                env={**os.environ, **env, name: value},
            )  # fmt: skip

    def events(self, kind: type[E]) -> list[E]:
        """The run's events so far that are of this kind."""
        if not (self.run / "events.jsonl").exists():
            return []
        return [event for event in read_events(self.run) if isinstance(event, kind)]

    def until(self, condition: Callable[[], object], timeout: float = 300) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            ended = self.process.poll() is not None
            assert not ended or condition(), f"ended too early:\n{self.stderr}"
            assert time.monotonic() < deadline, f"did not get there in {timeout} s:\n{self.stderr}"
            time.sleep(0.02)
        self._seen |= self._descendants()

    def signal(self, signum: int) -> None:
        """As a terminal does for SIGINT: to the whole process group; else to the controller alone."""
        if signum == signal.SIGINT:
            os.killpg(self.process.pid, signum)
        else:
            self.process.send_signal(signum)

    def wait(self, timeout: float = 600) -> int:
        return self.process.wait(timeout)

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    @property
    def json(self) -> Any:
        return json.loads(self._out.read_text())

    def processes(self, word: str = "") -> dict[int, str]:
        """What is alive of it: pid → command line; only those whose command line has `word`."""
        pids = self._descendants() | {pid for pid in self._seen if _parent(pid) is not None} | marked(self._mark)
        lines = {pid: line for pid in pids - {self.process.pid} if (line := _command_line(pid))}
        return {pid: line for pid, line in lines.items() if word in line}

    def assert_nothing_left(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while left := self.processes():
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.05)

    def _descendants(self) -> set[int]:
        parents = {int(path.name): _parent(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()}
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {self.process.pid}


def marked(mark: str) -> set[int]:
    """The processes that were started with NAME=VALUE in their environment."""
    found = set()
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and mark.encode() in (path / "environ").read_bytes().split(b"\0"):
                found.add(int(path.name))
        except OSError:
            continue  # it has just ended
    return found


def _parent(pid: int) -> int | None:
    """None if there is no such process, or only what its parent has not yet collected of it."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return None if state == "Z" else int(parent)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""

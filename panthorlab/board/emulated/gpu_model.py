# SPDX-License-Identifier: GPL-2.0-or-later
"""The process of the emulated GPU beside QEMU, `python -m panthorlab.gpu`: start, commands, events, end."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from panthorlab import spawn
from panthorlab.board.api import Hazard
from panthorlab.board.boardtime import HOST
from panthorlab.board.exactrecord import ACCESSES
from panthorlab.board.gpu_events import GpuEvents
from panthorlab.errors import LabError, UsageError
from panthorlab.gpu.exact import order
from panthorlab.gpu.exact.wire import Ends
from panthorlab.gpu.generations.table import GENERATIONS
from panthorlab.gpu.misbehave import Rule
from panthorlab.paths import PACKAGE

SOCKET = "gpu.sock"
OTHER_SOCKET = "gpu{number}.sock"
START_TIMEOUT = 20.0
COMMAND_TIMEOUT = 20.0
_USAGE_STATUS = 2


def _environment() -> dict[str, str]:
    """Our environment, changed so that the same panthorlab is imported in another working directory."""
    paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@cache
def firmware(model: str) -> Mapping[str, bytes]:
    """The synthetic mali_csffw.bin of a GPU, by the path from which panthor loads it."""
    try:
        made = spawn.run(
            [sys.executable, "-P", "-m", "panthorlab.gpu", "firmware", "--model", model, "-o", "/dev/stdout"],
            env=_environment(),
            timeout=START_TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError("the GPU model's firmware was not made in time") from error
    if made.returncode or not made.stdout:
        raise LabError(f"the GPU model's firmware could not be made:\n{_text(made.stderr)}")
    return {GENERATIONS[model].firmware_path: made.stdout}


class GpuModel:
    """The running model, one process for all GPUs of the board. `log`, `events`: its files in `log_dir`. `sockets`:
    names in `run_dir` of those to which QEMU connects, one for each GPU."""

    def __init__(
        self,
        *,
        model: str,
        params: Mapping[str, str],
        run_dir: Path,
        log_dir: Path,
        cpu: int | None,
        count: int = 1,
        exact: Ends | None = None,
        record: bool = False,
        orders: bool = False,
        stop: int | None = None,
        now: Callable[[], float] = HOST.now,
    ) -> None:
        """Start the model of `count` GPUs. `params` holds the model's own parameters and `trace` (on, off), `seed`. In
        exact time, `record`: write all accesses to `gpu-accesses.log`; `orders`: write the interleaving of each
        iteration to `order.FILE`; `stop`: have the guest stopped at this count. `now`: the board's clock."""
        self.log = log_dir / "gpu.log"
        self.events = GpuEvents(log_dir / "gpu-events.jsonl", from_end=True, now=now)
        self._complaints = log_dir / "gpu-stderr.log"
        self._output = b""
        self._last = ""
        self.sockets = [OTHER_SOCKET.format(number=number) if number else SOCKET for number in range(count)]
        argv = [
            sys.executable,
            "-P",
            "-m",
            "panthorlab.gpu",
            "serve",
            *(word for path in self.sockets for word in ("--socket", path)),
            "--model",
            model,
            "--log",
            str(self.log),
            "--events",
            str(self.events.path),
            "--control",
            *_of_params(params, log_dir),
        ]
        if exact is not None:
            argv += ["--exact", str(exact)]
            argv += ["--accesses", str(log_dir / ACCESSES)] if record else []
            argv += ["--orders", str(log_dir / order.FILE)] if orders else []
            argv += ["--stop", str(stop)] if stop is not None else []
        with self._complaints.open("wb") as complaints:
            self.process = spawn.spawn(
                argv,
                cwd=run_dir,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                # in exact time the order of sets must not be random
                env=_environment() | ({"PYTHONHASHSEED": "0"} if exact else {}),
                pass_fds=(exact.page, exact.sync, exact.host) if exact else (),
                cpu=cpu,
            )

    def wait_listening(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until it prints `listening`. Raises UsageError if it rejects its arguments, else LabError."""
        if not self._wait_line(b"listening ", timeout):
            status = self.process.wait(timeout)
            what = self.last_words() or f"it ended with status {status} and said nothing"
            if status == _USAGE_STATUS:
                raise UsageError(
                    f"the GPU model refuses its settings: {what}", hint="`panthorlab gpu params` lists them"
                )
            raise LabError(f"the GPU model did not start: {what}", hint=f"see {self._complaints}")

    def _wait_line(self, beginning: bytes, timeout: float) -> bool:
        """Read stdout up to a line with this beginning; False at its end. Raises LabError at the deadline."""
        assert self.process.stdout is not None  # noqa: S101 - we asked for a pipe
        deadline = time.monotonic() + timeout
        while True:
            line, newline, rest = self._output.partition(b"\n")
            if newline:
                self._output = rest
                if line.startswith(beginning):
                    self._last = _text(line)
                    return True
                continue
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise LabError(
                    f"the GPU model did not say `{beginning.decode().strip()}` within {timeout:g} s",
                    hint=f"see {self._complaints}",
                )
            data = os.read(self.process.stdout.fileno(), 4096)
            if not data:
                return False
            self._output += data

    def last_words(self) -> str:
        """The end of its stderr output: the traceback, if an exception ended it."""
        try:
            return _text(self._complaints.read_bytes())[-2000:]
        except FileNotFoundError:
            return ""

    def hazards(self) -> Sequence[Hazard]:
        """All events so far that invalidate evidence, oldest first."""
        return self.events.hazards()

    def struck(self) -> Sequence[str]:
        """Every misdeed that has happened so far, oldest first."""
        return self.events.struck()

    def misuses(self) -> Sequence[str]:
        """Driver errors so far that real hardware would not tolerate, oldest first."""
        return self.events.misuses()

    def misbehave(self, rule: Rule) -> None:
        """Arm the misdeed `rule`; it is armed on return. Raises UsageError for a GPU that is not there, LabError if the
        model has ended."""
        if rule.gpu >= (gpus := len(self.sockets)):
            raise UsageError(f"{rule}: the last GPU of this board is gpu={gpus - 1}", hint="--param gpu.count=2")
        self._command(f"misbehave {rule}", b"misbehaving ")

    def behave(self) -> None:
        """Disarm all rules. Raises LabError if the model has ended."""
        self._command("behave", b"behaving")

    def digest(self) -> tuple[int, str, str]:
        """In exact time: instructions so far, the hash of the executed blocks, and SHA-256 of all accesses and
        interrupts. Raises LabError if the model has ended."""
        _, count, blocks, sha256 = self._command("digest", b"digest ").split()
        return int(count), blocks, sha256

    def unreached(self) -> str:
        """In exact time: the overrides whose event has not come so far and should have, as `exact.override` has them.
        Raises LabError if the model has ended."""
        return self._command("unreached", b"unreached ").removeprefix("unreached").strip()

    def last_event(self) -> str:
        """In exact time: the last register access or interrupt, in words. Raises LabError if the model has ended."""
        return self._command("last", b"last ").removeprefix("last ")

    def _command(self, line: str, answer: bytes) -> str:
        """Send a command and return the line that answers it."""
        assert self.process.stdin is not None  # noqa: S101 - we asked for a pipe
        try:
            os.write(self.process.stdin.fileno(), line.encode() + b"\n")
            if self._wait_line(answer, COMMAND_TIMEOUT):
                return self._last
        except BrokenPipeError:
            pass
        raise LabError(f"the GPU model ended before it took `{line}`", hint=f"see {self._complaints}")

    def stop(self, patience: float = 5.0) -> int:
        """End the model so that its trace is complete: it exits by itself once QEMU is gone, else on SIGTERM, else by
        SIGKILL."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            return spawn.end(self.process, gently=min(patience, 2.0))
        finally:
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()


def _of_params(params: Mapping[str, str], log_dir: Path) -> list[str]:
    """What the model is told of its parameters."""
    own = dict(params)
    argv: list[str] = []
    if _switch("gpu.trace", own.pop("trace", "off")):
        argv += ["--trace", str(log_dir / "gpu-trace.json")]
    if seed := own.pop("seed", None):
        argv += ["--seed", seed]
    for name, value in sorted(own.items()):
        argv += ["--param", f"{name}={value}"]
    return argv


def _switch(name: str, value: str) -> bool:
    if value not in ("on", "off"):
        raise UsageError(f"{name} is `on` or `off`, not `{value}`")
    return value == "on"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").strip()

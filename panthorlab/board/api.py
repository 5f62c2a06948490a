# SPDX-License-Identifier: GPL-2.0-or-later
"""The small interface between panthorlab and a board, real or emulated. Code above it cannot tell which.

A `Board` (`board.py`) boots a kernel and gives a `BootedBoard`; that one is closed when done (a context manager). Every
call that waits takes a deadline in seconds and raises `LabError` naming the last step it completed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self, TypeVar

from panthorlab.errors import LabError


@dataclass(frozen=True)
class Completed:
    """A finished command on the board. `status`: exit status, or -signal. Output in full, undecoded."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes


LATE: Final = "late"
"""Kind of a hazard that spoils only what is about time."""


@dataclass(frozen=True)
class Hazard:
    """The board's own word that evidence is spoiled, e.g. the GPU model met something it does not emulate.

    `time`: host CLOCK_MONOTONIC in seconds. `kind`: `unmodelled`, `model-error`, `dma-after-shutdown` (the GPU was
    at work when a kernel handed over to the next one by kexec), or `late` (the host kept the emulated GPU waiting,
    which spoils only what is about time).
    """

    time: float
    kind: str
    text: str


class RemoteFileError(LabError):
    """A file of the board that cannot be read or written. `errno`: the board's, or -signal of the helper."""

    def __init__(self, message: str, *, errno: int) -> None:
        super().__init__(message)
        self.errno = errno


class RemoteProcess(Protocol):
    """A running command on the board."""

    @property
    def ended(self) -> bool:
        """Whether `wait` has something to say at once. All its output was handed over before."""

    def wait(self, timeout: float) -> int:
        """Exit status (or -signal). Raises LabError at the deadline.

        When the board went away it raises what `check_alive` says: BootError if the kernel died, else LabError.
        """

    def kill(self) -> None:
        """SIGKILL it; safe when it has ended."""


OnBytes = Callable[[bytes], None]
Process = TypeVar("Process", bound=RemoteProcess)


def collect(
    argv: Sequence[str],
    timeout: float,
    start: Callable[[OnBytes, OnBytes], Process],
    feed: Callable[[Process, float], None] | None,
) -> Completed:
    """A command to its end, for `Shell.run`: `start` it with its output going to these two, and `feed` it until a
    deadline (of the monotonic clock). Whatever goes wrong, it is killed."""
    stdout, stderr = bytearray(), bytearray()
    deadline = time.monotonic() + timeout
    process = start(stdout.extend, stderr.extend)
    try:
        if feed is not None:
            feed(process, deadline)
        status = process.wait(max(0.0, deadline - time.monotonic()))
    except BaseException:
        process.kill()
        raise
    return Completed(tuple(argv), status, bytes(stdout), bytes(stderr))


class Shell(Protocol):
    """Commands and files on a booted board: SSH on a real one, an agent on a virtio port on the emulated one."""

    def start(
        self,
        argv: Sequence[str],
        *,
        on_stdout: Callable[[bytes], None],
        on_stderr: Callable[[bytes], None] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> RemoteProcess:
        """Start argv (no shell). Callbacks get raw chunks in order, from the shell's reader thread."""

    def run(
        self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> Completed:
        """Run argv to its end; a non-zero status is not an exception."""

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file on the board, whole or not at all; in place below /proc and /sys. Raises RemoteFileError."""

    def get(self, path: str) -> bytes:
        """Read a file of the board, also from /proc and /sys. Raises RemoteFileError."""


class BootedBoard(Protocol):
    """A board running the kernel it was asked to run."""

    @property
    def name(self) -> str: ...

    @property
    def shell(self) -> Shell: ...

    @property
    def boot_id(self) -> str:
        """/proc/sys/kernel/random/boot_id as read right after boot."""

    @property
    def log_start(self) -> int:
        """Sequence number in /dev/kmsg from which the log is this board's: 0, or where its driver was loaded anew in a
        boot that others used before."""

    @property
    def work_dir(self) -> str:
        """Directory on the board that holds the workloads (`heap-exit`, `iterate`, `kmsg-follow`, …)."""

    @property
    def console_log(self) -> Path:
        """Raw bytes of the serial console on the host, growing."""

    @property
    def slowness(self) -> float:
        """How many times longer than on the emulated board programs may take here; at least 1."""

    def last_words(self) -> bytes:
        """What the kernel under test said outside the shell: on the console, and what survived its death (pstore)."""

    def hazards(self) -> Sequence[Hazard]:
        """All hazards so far, oldest first."""

    def facts(self) -> Mapping[str, object]:
        """What the report says about the machine: CPU, memory, command line, GPU model, …"""

    @property
    def injections(self) -> frozenset[str]:
        """Names of what the GPU can do wrong on purpose (`mcu-hang`, `flush-lost`, …); empty for a real board."""

    def inject(self, failure: str) -> None:
        """Have the GPU do wrong what a rule says: NAME[,KEY=VALUE…], NAME being one of `injections`.

        Raises UsageError for another one.
        """

    def behave(self) -> None:
        """Take back all rules that are armed. What has gone wrong already stays so."""

    def struck(self) -> Sequence[str]:
        """Every misdeed so far that has happened, oldest first: its rule, and where."""

    def misuses(self) -> Sequence[str]:
        """What the driver did so far that real hardware would not bear and the emulated GPU does, oldest first: a
        register access while the clock stood, for example."""

    def check_alive(self) -> None:
        """Raise LabError (QEMU or model died) or BootError (guest panicked, silent) if the board is gone."""

    def close(self) -> None:
        """Stop the board and leave no process behind. Idempotent, safe from a signal handler's `finally`."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

# SPDX-License-Identifier: GPL-2.0-or-later
"""The small interface between panthorlab and a board, real or emulated. Code above it cannot tell which.

A `Board` (`board.py`) boots a kernel and returns a `BootedBoard`, a context manager that the caller closes. Every call
that waits takes a timeout in seconds and raises `LabError` naming the last step that was completed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self, TypeVar

from panthorlab.board.boardtime import HOST, BoardTime
from panthorlab.errors import LabError


@dataclass(frozen=True)
class Completed:
    """A finished command on the board. `status`: exit status, or -signal. Output in full, undecoded."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes


LATE: Final = "late"
"""Kind of hazard that invalidates only timing results."""


@dataclass(frozen=True)
class Hazard:
    """The board reports that evidence is invalid, e.g. because the GPU model met something that it does not emulate.

    `time`: seconds of the board's clock (`BoardTime`). `kind`: `unmodelled`, `model-error`, `dma-after-shutdown` (the
    GPU was active while one kernel handed over to the next by kexec), or `late` (the host delayed the emulated GPU,
    which invalidates only timing results; never in exact time).
    """

    time: float
    kind: str
    text: str


@dataclass(frozen=True)
class RunDigest:
    """Equal for equal runs. `sha256`: over all register accesses with instruction counts and values, interrupts, the
    traffic between host and board, and the console. `instructions`: number executed so far. `blocks`: hash of the
    executed instruction blocks, 0 unless requested. `unreached`: of what was asked of this run, the latencies of events
    that have not come; empty if all have."""

    sha256: str
    instructions: int
    blocks: str
    unreached: str = ""


class RemoteFileError(LabError):
    """A file on the board cannot be read or written. `errno`: from the board, or -signal of the helper process."""

    def __init__(self, message: str, *, errno: int) -> None:
        super().__init__(message)
        self.errno = errno


class RemoteProcess(Protocol):
    """A running command on the board."""

    @property
    def ended(self) -> bool:
        """Whether `wait` would return or raise at once. All output has been passed to the callbacks before."""

    def wait(self, timeout: float) -> int:
        """Exit status (or -signal). Raises LabError at the deadline.

        If the board is gone, it raises what `check_alive` raises: BootError if the kernel died, else LabError.
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
    clock: BoardTime = HOST,
) -> Completed:
    """Run a command to its end, for `Shell.run`: `start` it with callbacks for stdout and stderr, and `feed` its stdin
    until a deadline (of `clock`). On any exception the command is killed."""
    stdout, stderr = bytearray(), bytearray()
    deadline = clock.now() + timeout
    process = start(stdout.extend, stderr.extend)
    try:
        if feed is not None:
            feed(process, deadline)
        status = process.wait(max(0.0, deadline - clock.now()))
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
    def time(self) -> BoardTime:
        """The clock of the board, through which all waiting for it goes."""

    @property
    def boot_id(self) -> str:
        """/proc/sys/kernel/random/boot_id as read right after boot."""

    @property
    def log_start(self) -> int:
        """First sequence number in /dev/kmsg that belongs to this run: 0, or where the driver was reloaded if earlier
        runs used the same boot."""

    @property
    def work_dir(self) -> str:
        """Directory on the board that holds the workloads (`heap-exit`, `iterate`, `kmsg-follow`, …)."""

    @property
    def console_log(self) -> Path:
        """Raw bytes of the serial console on the host, growing."""

    @property
    def slowness(self) -> float:
        """Factor by which programs may take longer here than on the emulated board; at least 1."""

    def last_words(self) -> bytes:
        """Output of the kernel under test outside the shell: the console, and what pstore kept after a crash."""

    def hazards(self) -> Sequence[Hazard]:
        """All hazards so far, oldest first."""

    def facts(self) -> Mapping[str, object]:
        """Description of the machine for the report: CPU, memory, command line, GPU model, …"""

    @property
    def injections(self) -> frozenset[str]:
        """Names of the misdeeds that the GPU can be told to do (`mcu-hang`, `flush-lost`, …); none on a real board."""

    def inject(self, failure: str) -> None:
        """Arm a misdeed of the GPU by a rule NAME[,KEY=VALUE…], where NAME is one of `injections`.

        Raises UsageError for any other name.
        """

    def behave(self) -> None:
        """Disarm all rules. Effects of misdeeds that have already happened remain."""

    def struck(self) -> Sequence[str]:
        """Every misdeed that has happened so far, oldest first: its rule, and where it struck."""

    def misuses(self) -> Sequence[str]:
        """Driver errors so far that the emulated GPU tolerates and real hardware would not, oldest first, e.g. a
        register access while the clock was off."""

    def digest(self) -> RunDigest | None:
        """In exact time, a digest of the run so far, to compare it with other runs; None in host time."""

    def check_alive(self) -> None:
        """Raise LabError (QEMU or model died) or BootError (guest panicked, silent) if the board is gone."""

    def close(self) -> None:
        """Stop the board and leave no process behind. Idempotent; safe to call from `finally` after a signal."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

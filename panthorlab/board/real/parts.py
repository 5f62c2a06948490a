# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of a lab as small interfaces, which are all that boot methods and recovery steps use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from panthorlab.board.api import Shell
from panthorlab.board.console import ConsoleLine
from panthorlab.board.real.file import RealFile
from panthorlab.board.steps import Steps
from panthorlab.errors import LabError, PanthorlabError
from panthorlab.kernel.model import Kernel


class Link(Protocol):
    """A connection to a serial line. `real/console/links.py` opens it; a lost one is replaced by the console."""

    def recv(self, size: int, /) -> bytes:
        """Blocks for the next bytes; b"" or OSError when the connection is gone."""

    def send(self, data: bytes) -> None:
        """Send all of `data`. Raises OSError."""

    @property
    def can_break(self) -> bool:
        """Whether the transport can carry a BREAK."""

    def send_break(self) -> None:
        """A BREAK long enough for sysrq. Raises OSError; only if `can_break`."""

    def close(self) -> None:
        """Also ends a `recv` that waits. Idempotent."""


class Dialogue(Protocol):
    """Exclusive use of the console for a conversation (pexpect); everything is logged and watched all the while."""

    def send(self, text: str) -> None:
        """Send `text` unchanged; `\\r` is the Enter key. Raises LabError."""

    def expect(self, *patterns: bytes, timeout: float, what: str, nudge: str = "") -> int:
        """Wait for the first match of the regular expressions; returns its index. `what`: name of the step in the
        LabError at the deadline, which quotes the end of the console. Kernel messages within a match are ignored.

        `nudge`: sent repeatedly while the console is quiet, to have a lost prompt printed again: `\\x03` for U-Boot
        (where an empty line repeats the last command), `\\r` for a shell or login.
        """

    def command(self, text: str, *, prompt: bytes, timeout: float) -> bytes:
        """Type one line, check its echo, press Enter, and return the output up to the prompt."""


class SerialConsole(Protocol):
    """The console of a board: one thread reads it from before power-on to the end, keeps all bytes, stamps lines."""

    @property
    def log(self) -> Path: ...

    def listen(self, listener: Callable[[ConsoleLine], None]) -> None: ...

    def wait_for(
        self, wanted: Callable[[ConsoleLine], bool], timeout: float, *, since: float = 0.0
    ) -> ConsoleLine | None:
        """The first wanted line that came after host time `since` (CLOCK_MONOTONIC); None at the deadline."""

    def tail(self, count: int = 40) -> str: ...

    @property
    def last_byte(self) -> float:
        """Host time of the newest byte; 0 before the first."""

    @property
    def outages(self) -> Sequence[tuple[float, float]]:
        """(begin, end) of the periods without connection, in which console output was lost."""

    @property
    def error(self) -> BaseException | None:
        """Exception from a listener or the log file: the log is incomplete. Reading continues."""

    def complaint(self) -> str | None:
        """Why there is no usable input, for people: no connection, no byte, garbage; None if all looks well."""

    def dialogue(self, *, since: float | None = None) -> AbstractContextManager[Dialogue]:
        """`since`: host time from which input counts. Default: now."""

    def send(self, data: bytes) -> None:
        """Raises LabError."""

    @property
    def can_break(self) -> bool: ...

    def sysrq(self, key: str) -> None:
        """BREAK, then `key`. Raises LabError if the transport cannot."""

    def close(self) -> None: ...


class Power(Protocol):
    """A board's supervised power switch: minimum off-time, retries, state read back where possible."""

    def on(self) -> None: ...

    def off(self) -> None: ...

    def cycle(self) -> None:
        """Off for at least the minimum off-time, then on. Switches on at the end in any case. Raises LabError."""

    def state(self) -> bool | None:
        """True on, False off, None unknown."""


class RefusedError(LabError):
    """The board responds, but refuses the login or cannot be trusted; retries do not help."""

    final = True


class NoServerError(LabError):
    """The board's kernel refuses connections: it runs, but nothing listens for SSH."""


class SecureShell(Shell, Protocol):
    """A `Shell` over SSH that notices the loss of its connection."""

    def ping(self, timeout: float) -> bool: ...

    def put_files(self, files: Mapping[Path, str], *, timeout: float) -> tuple[str, ...]:
        """Copy files of the host to the board, with their modes, verified by SHA-256; unchanged ones are skipped.
        Returns the paths that were written. Raises RemoteFileError, LabError."""

    def abandon(self, after: float) -> None:
        """The board is known to be dead: after `after` seconds the connection counts as lost, and all waits end."""

    def ask_why(self, why_lost: Callable[[], PanthorlabError]) -> None:
        """Set `why_lost` from now on, see `Connect`."""

    def close(self) -> None: ...


class Connect(Protocol):
    def __call__(self, timeout: float, *, why_lost: Callable[[], PanthorlabError] | None = None) -> SecureShell:
        """An SSH connection to the running system. Raises LabError after `timeout` seconds. `why_lost`: gives the error
        for waiters when the connection breaks; default: a LabError."""


@dataclass(frozen=True)
class Rig:
    """A leased board with everything that boot methods and recovery need.

    `progress`: one line for people per started step. `check_lease`: raises LabError if the lease is lost.
    """

    name: str
    file: RealFile
    console: SerialConsole
    power: Power
    connect: Connect
    log_dir: Path
    progress: Callable[[str], None]
    check_lease: Callable[[], None] = lambda: None
    steps: Steps = field(default_factory=Steps)
    """Records every step of a boot: `with rig.steps(StepName.POWER): …`."""


@dataclass(frozen=True)
class Booting:
    """The boot that a method is to perform. `command_line`: complete, from `real/command_line.py`.

    `begins`: to be called right before the reset (or kexec) into the kernel under test; console output after that is
    attributed to that kernel.
    """

    kernel: Kernel
    command_line: str
    fresh: bool
    """Boot the kernel in any case, even if replacing the module in the running kernel would do."""
    begins: Callable[[], None]


class BootMethod(Protocol):
    """A boot method, instantiated for one boot; each is a small module in `real/methods/` and a row in
    `board/methods.py`."""

    def refuse(self, rig: Rig, booting: Booting, /) -> str | None:
        """Why this method cannot boot this kernel on this board, and what to do instead; None if it can."""

    def start(self, rig: Rig, booting: Booting, /) -> SecureShell | None:
        """Boot until the kernel under test has control (or the module is replaced). Returns its connection to that
        kernel, if it has one. Every wait has a deadline and names the last completed step. Raises LabError; BootError
        only for faults of the kernel under test."""


@dataclass(frozen=True)
class Wreck:
    """Results of the recovery of a board that died or hung.

    `texts`: harvested logs by name (`sysrq`, `pstore/dmesg-ramoops-0`, …). `steps`: the recovery steps, in order.
    `healthy`: whether the board responds again, on its known-good kernel. `tail`: the end of the dead kernel's console
    output. `lost_power`: RAM that survives a reset was empty.
    """

    texts: Mapping[str, str]
    steps: Sequence[str]
    healthy: bool
    tail: str = ""
    lost_power: bool = False

# SPDX-License-Identifier: GPL-2.0-or-later
"""The nouns of a lab as small interfaces: what a boot method or a recovery step may use, and nothing else."""

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
        """All of it. Raises OSError."""

    @property
    def can_break(self) -> bool:
        """Whether the transport can carry a BREAK."""

    def send_break(self) -> None:
        """A BREAK long enough for sysrq. Raises OSError; only if `can_break`."""

    def close(self) -> None:
        """Ends a `recv` that waits. Idempotent."""


class Dialogue(Protocol):
    """Exclusive use of the console for a conversation (pexpect); everything is logged and watched all the while."""

    def send(self, text: str) -> None:
        """As it is: `\\r` is the Enter key. Raises LabError."""

    def expect(self, *patterns: bytes, timeout: float, what: str, nudge: str = "") -> int:
        """Wait for the first of the regular expressions; its index. `what`: the step, for the LabError at the deadline,
        which quotes the end of the console. Lines of the kernel that tear what is awaited are seen through.

        `nudge`: sent again and again while the console is quiet, to have a lost prompt printed anew: `\\x03` for
        U-Boot (where an empty line repeats the last command), `\\r` for a shell or login.
        """

    def command(self, text: str, *, prompt: bytes, timeout: float) -> bytes:
        """Type one line, see that its echo came whole, press Enter, and give what came until the prompt."""


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
        """(from, until) of the times without connection; evidence of the console has holes there."""

    @property
    def error(self) -> BaseException | None:
        """What a listener or the log file raised: the record is not complete. Reading goes on."""

    def complaint(self) -> str | None:
        """Why nothing sensible comes in, for people: no connection, no byte, garbage; None if all looks well."""

    def dialogue(self, *, since: float | None = None) -> AbstractContextManager[Dialogue]:
        """`since`: a host time; what came after it counts as well. Default: what comes from now on."""

    def send(self, data: bytes) -> None:
        """Raises LabError."""

    @property
    def can_break(self) -> bool: ...

    def sysrq(self, key: str) -> None:
        """BREAK, then `key`. Raises LabError if the transport cannot."""

    def close(self) -> None: ...


class Power(Protocol):
    """A board's power switch with all due care: minimum off-time, retries, state read back where it can be."""

    def on(self) -> None: ...

    def off(self) -> None: ...

    def cycle(self) -> None:
        """Off for at least the minimum off-time, then on. Whatever happens, `on` is tried last. Raises LabError."""

    def state(self) -> bool | None:
        """True on, False off, None cannot tell."""


class RefusedError(LabError):
    """The board answers, and will not have us, or is not to be trusted; trying again does not help."""

    final = True


class NoServerError(LabError):
    """The board's kernel answers, by refusing connections: nothing listens for SSH."""


class SecureShell(Shell, Protocol):
    """A `Shell` over SSH that notices when its connection has gone."""

    def ping(self, timeout: float) -> bool: ...

    def put_files(self, files: Mapping[Path, str], *, timeout: float) -> tuple[str, ...]:
        """Bring files of the host onto the board, with their modes, proved by SHA-256; those that are right already
        stay. Gives the paths that were written. Raises RemoteFileError, LabError."""

    def abandon(self, after: float) -> None:
        """The board is known to be dead: in `after` seconds the connection counts as lost, and nobody waits on."""

    def ask_why(self, why_lost: Callable[[], PanthorlabError]) -> None:
        """See `Connect`: from now on."""

    def close(self) -> None: ...


class Connect(Protocol):
    def __call__(self, timeout: float, *, why_lost: Callable[[], PanthorlabError] | None = None) -> SecureShell:
        """An SSH connection to whatever runs now. Raises LabError at the deadline (seconds). `why_lost`: asked, instead
        of a plain LabError, by whoever waits for the shell when its connection breaks."""


@dataclass(frozen=True)
class Rig:
    """One leased board in hand: everything that boot methods and recovery work with.

    `progress`: one line for people per step begun. `check_lease`: raises LabError if the board is no longer ours.
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
    """By which every step of a boot is traced: `with rig.steps(Name.POWER): …`."""


@dataclass(frozen=True)
class Booting:
    """What a boot method is to bring up. `command_line`: complete, as `real/command_line.py` makes it.

    `begins`: to be called right before the reset (or kexec) into the kernel under test; from there on, what the console
    says is that kernel's.
    """

    kernel: Kernel
    command_line: str
    fresh: bool
    """Boot the kernel anew, even if what runs would do with another module."""
    begins: Callable[[], None]


class BootMethod(Protocol):
    """One way to get a kernel to run, made for one boot; one small module each in `real/methods/`, and a row in
    `board/methods.py`."""

    def refuse(self, rig: Rig, booting: Booting, /) -> str | None:
        """Why this method will not boot this kernel on this board, with what to do instead; None if it will."""

    def start(self, rig: Rig, booting: Booting, /) -> SecureShell | None:
        """To the moment when the kernel under test has control (or the module is exchanged). Gives its connection to
        that kernel, if it has one. Every wait has a deadline and names the last step done. Raises LabError; BootError
        only for what the kernel under test did."""


@dataclass(frozen=True)
class Wreck:
    """What recovery found out about a board that died or hung.

    `texts`: harvested logs by name (`sysrq`, `pstore/dmesg-ramoops-0`, …). `steps`: what was done, in order.
    `healthy`: whether the board answers again, on its known-good kernel. `tail`: the end of what the dead kernel said
    on the console. `lost_power`: RAM, that a reset leaves alone, was empty.
    """

    texts: Mapping[str, str]
    steps: Sequence[str]
    healthy: bool
    tail: str = ""
    lost_power: bool = False

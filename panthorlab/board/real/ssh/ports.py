# SPDX-License-Identifier: GPL-2.0-or-later
"""The interfaces of a shell that its commands and file transfers use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import paramiko

from panthorlab.board.api import Completed
from panthorlab.board.real.ssh.wire import Login
from panthorlab.errors import PanthorlabError

P = TypeVar("P", contravariant=True)


class Connections(Protocol):
    """The connections to one board."""

    @property
    def lost(self) -> str | None:
        """Why the connection has ended, if it has."""

    def gone(self, login: Login | None = None) -> PanthorlabError:
        """The error for users of a connection that is lost or closed."""

    def open_sftp(self, timeout: float) -> paramiko.SFTPClient | None:
        """An SFTP client; None if the board has no usable SFTP."""


class Commands(Connections, Protocol):
    """Running commands to their end, by which files are transferred."""

    def run(
        self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> Completed: ...


class Owner(Protocol[P]):
    """The shell that commands (of type P) belong to."""

    def gone(self, login: Login | None = None) -> PanthorlabError: ...

    def borrow(self, title: str) -> Login:
        """A connection for one more command, until `give_back`."""

    def give_back(self, login: Login) -> None: ...

    def change(
        self,
        process: P,
        *,
        status: int | None = None,
        error: BaseException | None = None,
        begun: bool = False,
        done: bool = False,
    ) -> None:
        """Update the state of a process and wake its waiters. The first error is kept."""

    def wait_process(self, process: P, timeout: float) -> int:
        """See `RemoteProcess.wait`."""

    def kill_process(self, process: P) -> None:
        """See `RemoteProcess.kill`."""

# SPDX-License-Identifier: GPL-2.0-or-later
"""What commands and files need of the shell that they belong to."""

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
        """The error for whoever needs a connection that is no more."""

    def open_sftp(self, timeout: float) -> paramiko.SFTPClient | None:
        """None if the board has no SFTP that can be used."""


class Commands(Connections, Protocol):
    """Commands to their end: what files are carried by."""

    def run(
        self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> Completed: ...


class Owner(Protocol[P]):
    """The shell that commands belong to, which are of type P."""

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
        """Something has happened to it: wake up whoever waits for that. The first error stays."""

    def wait_process(self, process: P, timeout: float) -> int:
        """See `RemoteProcess.wait`."""

    def kill_process(self, process: P) -> None:
        """See `RemoteProcess.kill`."""

# SPDX-License-Identifier: GPL-2.0-or-later
"""The connections of one shell: the first, which also carries keepalives, and the further ones that Dropbear needs.

A thread sends a keepalive every few seconds, so that a dead board is noticed even on an idle connection.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import paramiko

from panthorlab.board.real.ssh.process import START_TIMEOUT, WINDOW
from panthorlab.board.real.ssh.wire import Login, UnpinnedKeyError, what_happened
from panthorlab.errors import LabError, PanthorlabError

KEEPALIVE: Final = 5.0
"""Seconds between keepalives."""
PATIENCE: Final = 20.0
"""Seconds without a response to a keepalive after which the connection counts as lost."""


class Pool:
    """Thread-safe. `changed`: condition notified on every change of state, also by other users of it. `login_again`:
    opens one more connection within a timeout in seconds. `why_lost`: see `SshShell`."""

    def __init__(
        self,
        login: Login,
        *,
        board: str,
        login_again: Callable[[float], Login],
        why_lost: Callable[[], PanthorlabError] | None = None,
        keepalive: float = KEEPALIVE,
    ) -> None:
        self.changed = threading.Condition()
        self.closing = self.out_of_reach = False
        self.login_again = login_again
        self._login, self._board, self._why_lost, self._keepalive = login, board, why_lost, keepalive
        self._closed = False
        self._pings = self._pongs = 0
        self._idle, self._dialing = [login], threading.Lock()
        self._one_by_one = "dropbear" in login.transport.remote_version.lower()
        self._monitor = threading.Thread(target=self._keep_asking, name=f"ssh-{board}", daemon=True)
        self._monitor.start()

    @property
    def closed(self) -> bool:
        """Whether this side has hung up."""
        return self._closed

    @property
    def lost(self) -> str | None:
        """Why the connection has ended, if it has."""
        transport = self._login.transport
        if transport.is_active():
            return None
        if self.closing:
            return "it was closed"
        return self._login.wire.trouble or "the board hung up"

    def gone(self, login: Login | None = None) -> PanthorlabError:
        """The error for users of a connection that is lost or closed."""
        if self._why_lost is not None and not self.closing:
            return self._why_lost()
        reason = self.lost or (login or self._login).wire.trouble or "the board hung up"
        return LabError(f"the SSH connection to board {self._board} is lost: {reason}")

    def ask_why(self, why_lost: Callable[[], PanthorlabError]) -> None:
        """From now on, `gone` returns the result of `why_lost`."""
        self._why_lost = why_lost

    def wait_until(self, done: Callable[[], bool], timeout: float) -> bool:
        """Wait until `done()`; False at the deadline. Raises the board's diagnosis if the connection is lost first."""
        with self.changed:
            self.changed.wait_for(lambda: done() or self.lost is not None, timeout)
            if done():
                return True
            if self.lost is None:
                return False
        raise self.gone()

    def ping(self, timeout: float) -> bool:
        """Whether the board's SSH server responds in time. Raises the board's diagnosis if the connection is lost."""
        with self.changed:
            self._pings += 1
            wanted = self._pings
            self.changed.notify_all()
        return self.wait_until(lambda: self._pongs >= wanted, timeout)

    def borrow(self, title: str) -> Login:
        """A connection for one more command, until `give_back`. With Dropbear, a new connection if the first is in use,
        as it confuses channels that end and begin at the same time (2022.83: a dead channel, or `Failed assertion`)."""
        if not self._one_by_one:
            return self._login
        with self.changed:
            while self._idle:
                login = self._idle.pop()
                if login is self._login or login.transport.is_active():
                    return login
        try:
            with self._dialing:  # Dropbear also drops connections that arrive at the same time
                return self.login_again(START_TIMEOUT)
        except (UnpinnedKeyError, OSError, EOFError, paramiko.SSHException) as error:
            if self.lost is not None:
                raise self.gone() from error
            raise LabError(
                f"board {self._board} took no further SSH connection for `{title}`: {what_happened(error)}"
            ) from error

    def give_back(self, login: Login) -> None:
        """Return a connection whose command has ended."""
        with self.changed:
            if self._one_by_one and not self._closed:
                self._idle.append(login)
            elif login is not self._login:
                login.close()

    def open_sftp(self, timeout: float) -> paramiko.SFTPClient | None:
        """None if the board's SSH server has no SFTP, or is Dropbear (see `borrow`)."""
        if self._one_by_one:
            return None
        channel: paramiko.Channel | None = None
        try:
            channel = self._login.transport.open_session(WINDOW, timeout=timeout)
            channel.settimeout(timeout)
            timer = threading.Timer(timeout, channel.close)
            timer.start()
            try:
                channel.invoke_subsystem("sftp")
                return paramiko.SFTPClient(channel)
            finally:
                timer.cancel()
        except (OSError, EOFError, paramiko.SSHException) as error:
            if channel is not None:
                channel.close()
            if self.lost is not None:
                raise self.gone() from error
            return None

    def abandon(self, after: float) -> None:
        """The board is known to be dead: after `after` seconds the connection counts as lost, and all waits end."""
        with self.changed:
            if self.changed.wait_for(lambda: self.closing or self.lost is not None, after):
                return
            self.out_of_reach = True
        self._login.close()
        with self.changed:
            self.changed.notify_all()

    def hang_up(self) -> None:
        """Close all connections."""
        with self.changed:
            self._closed = True
            idle = [login for login in self._idle if login is not self._login]
        for login in (*idle, self._login):
            login.close()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, after `hang_up`."""
        if self._monitor is not threading.current_thread():
            self._monitor.join(timeout)

    def _keep_asking(self) -> None:
        transport = self._login.transport
        while transport.is_active() and not self.closing:
            with self.changed:
                self.changed.wait_for(lambda: self.closing or self._pings > self._pongs, self._keepalive)
                asked = self._pings
            self._login.wire.ask()
            with suppress(OSError, EOFError, paramiko.SSHException):  # then it is no longer active
                transport.global_request("keepalive@openssh.com", wait=True)
            if transport.is_active():
                with self.changed:
                    self._pongs = asked
                    self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

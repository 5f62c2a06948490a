# SPDX-License-Identifier: GPL-2.0-or-later
"""One SSH connection below the shell: a socket that detects silence, a transport that reports signals, and login."""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import paramiko
from paramiko.common import MSG_CHANNEL_CLOSE, MSG_CHANNEL_REQUEST

from panthorlab.board.real.file import Ssh
from panthorlab.board.real.parts import RefusedError
from panthorlab.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STEP_TIME: Final = 15.0
"""Seconds for each of: TCP connect, banner, key exchange, response to a login."""
BANNER_TIME: Final = 6.0
"""Seconds for a server's banner. A forwarder accepts connections before the board listens, and these stay silent."""
logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else it prints tracebacks of errors that we handle


def dial(host: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection that the kernel drops when the other end has vanished. Raises OSError."""
    sock = socket.create_connection((host.strip("[]"), port), timeout)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 25_000)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Wire(socket.socket):
    """A connected socket for paramiko that ends if a request gets no response for `patience` seconds; paramiko alone
    would wait for ever. This needs no thread, because paramiko polls `recv` ten times a second."""

    def __init__(self, sock: socket.socket, patience: float) -> None:
        super().__init__(sock.family, sock.type, sock.proto, sock.detach())
        self._patience = patience
        self.trouble: str | None = None
        """Why the connection has broken, if it did not just end. paramiko reports that to one caller only."""
        self._asked: float | None = None
        self._stuck: float | None = None

    def ask(self) -> None:
        """Expect a response from now on; any byte counts."""
        if self._asked is None:
            self._asked = time.monotonic()

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        try:
            data = super().recv(size, flags)
        except TimeoutError:
            if self._asked is not None and time.monotonic() - self._asked > self._patience:
                raise self._broken(f"no answer for {self._patience:g} s") from None
            raise
        except OSError as error:
            raise self._broken(error.strerror or str(error), error.errno) from error
        self._asked = None
        return data

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        try:
            sent = super().send(data, flags)
        except TimeoutError:
            self._stuck = self._stuck or time.monotonic()
            if time.monotonic() - self._stuck > self._patience:
                raise self._broken(f"nothing was taken for {self._patience:g} s") from None
            raise
        except OSError as error:
            raise self._broken(error.strerror or str(error), error.errno) from error
        self._stuck = None
        return sent

    def _broken(self, reason: str, number: int | None = errno.ETIMEDOUT) -> ConnectionError:
        self.trouble = self.trouble or reason
        return ConnectionError(number or errno.ECONNRESET, reason)


def _on_request(channel: paramiko.Channel, message: paramiko.Message) -> None:
    start = message.packet.tell()
    if message.get_text() == "exit-signal":
        message.get_boolean()
        channel.exit_signal = message.get_text()  # type: ignore[attr-defined]
        return
    message.packet.seek(start)
    channel._handle_request(message)  # type: ignore[attr-defined]


def _on_close(channel: paramiko.Channel, message: paramiko.Message) -> None:
    channel.closed_by_board = True  # type: ignore[attr-defined]
    channel._handle_close(message)  # type: ignore[attr-defined]


class Transport(paramiko.Transport):
    """Also keeps facts that paramiko drops: `channel.exit_signal`, the name of the signal that ended a command, and
    `channel.closed_by_board`, which distinguishes an ended command from a lost connection."""

    _channel_handler_table = {  # noqa: RUF012  paramiko's own name and shape
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]
        MSG_CHANNEL_REQUEST: _on_request,
        MSG_CHANNEL_CLOSE: _on_close,
    }


class _Refuse(paramiko.MissingHostKeyPolicy):
    """`RejectPolicy`, but the key is kept for the message."""

    def missing_host_key(self, _client: paramiko.SSHClient, _hostname: str, key: paramiko.PKey) -> None:
        raise UnpinnedKeyError(key)


class UnpinnedKeyError(Exception):
    """The server showed `key`, which is not pinned."""

    def __init__(self, key: paramiko.PKey) -> None:
        super().__init__(key.fingerprint)
        self.key = key


class Login:
    """A logged-in connection: `transport`, and `wire` below it. `close` ends both."""

    def __init__(self, section: Ssh, *, pinned: Sequence[paramiko.PKey], timeout: float, patience: float) -> None:
        """Raises UnpinnedKeyError, OSError, EOFError or paramiko.SSHException; UsageError for missing secrets."""
        step = min(STEP_TIME, timeout)
        secrets = _secrets(section)
        self._client = paramiko.SSHClient()
        self._client.set_missing_host_key_policy(_Refuse())
        for key in pinned:
            for name in (section.host, f"[{section.host}]:{section.port}"):
                self._client.get_host_keys().add(name, key.get_name(), key)
        self.wire = Wire(dial(section.host, section.port, step), patience)
        try:
            self._client.connect(
                section.host,
                section.port,
                section.user,
                sock=self.wire,
                timeout=2 * step,
                banner_timeout=min(BANNER_TIME, step),
                auth_timeout=step,
                channel_timeout=step,
                transport_factory=Transport,  # type: ignore[arg-type]
                **secrets,
            )
            transport = self._client.get_transport()
            if transport is None:
                raise EOFError("the connection ended right after the login")
            self.transport: paramiko.Transport = transport
        except paramiko.BadHostKeyException as error:
            self.close()
            raise UnpinnedKeyError(error.key) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._client.close()
        self.wire.close()


def _secrets(section: Ssh) -> dict[str, Any]:
    """The credentials for the login: those named in the board file, or else the user's own keys."""
    named = section.key_file is not None or section.password_env is not None
    secrets: dict[str, Any] = {"allow_agent": not named, "look_for_keys": not named}
    if section.key_file is not None:
        path = Path(section.key_file).expanduser()
        if not path.is_file():
            raise UsageError(f"the SSH key {path} does not exist", hint="see ssh: key_file: in the board's file")
        secrets["key_filename"] = str(path)
    if section.password_env is not None:
        if section.password_env not in os.environ:
            raise UsageError(
                f"the environment variable {section.password_env} with the board's password is not set",
                hint="see ssh: password_env: in the board's file",
            )
        secrets["password"] = os.environ[section.password_env]
    return secrets


def why_not(error: Exception, section: Ssh) -> RefusedError | None:
    """The error for a login that will never succeed; None if a retry may help (the board is still booting)."""
    if isinstance(error, paramiko.PasswordRequiredException):
        return RefusedError(
            f"the SSH key {section.key_file} has a passphrase",
            hint="add it to ssh-agent, and leave "
            "`key_file` out of the board's file; or use a key without passphrase for the lab",
        )
    refused = isinstance(error, paramiko.AuthenticationException) and not _unanswered(error)
    if refused or "No authentication methods" in str(error):
        tried = (
            " and ".join(
                filter(
                    None,
                    (
                        section.key_file and f"the key {section.key_file}",
                        section.password_env and f"the password in ${section.password_env}",
                    ),
                )
            )
            or "the keys of ssh-agent and ~/.ssh"
        )
        return RefusedError(
            f"{section.host}:{section.port} does not let {section.user} log in by {tried}",
            hint="ssh-copy-id a key to the board, and name it as ssh: key_file: in the board's file",
        )
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return RefusedError(
            f"the SSH server at {section.host}:{section.port} knows no safe algorithm: {error}",
            hint="upgrade the board's SSH server",
        )
    return None


def what_happened(error: Exception) -> str:
    """The error for people, as some errors of paramiko and Python have no text."""
    if isinstance(error, EOFError):
        return "the server hung up"
    if str(error) == "No existing session":
        return "the server did not finish the key exchange"
    return str(error) or type(error).__name__


def refused(error: Exception) -> bool:
    """Whether nothing listens on the port. Behind a forwarder this shows as a connection that is accepted and closed at
    once."""
    met: BaseException | None = error
    if isinstance(error, paramiko.SSHException):
        met = error.__cause__ or error.__context__
    return isinstance(met, EOFError) or (
        isinstance(met, OSError) and met.errno in (errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE)
    )


def _unanswered(error: Exception) -> bool:
    """Whether the server did not respond; paramiko has one exception type for this and for a refusal."""
    return "timeout" in str(error).lower() or "saw EOF" in str(error)

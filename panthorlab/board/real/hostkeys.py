# SPDX-License-Identifier: GPL-2.0-or-later
"""The host keys by which boards prove themselves: fetched, shown to a person, and pinned in one file per board.

The files are OpenSSH `known_hosts` files under the board's own name (`ssh -o HostKeyAlias=NAME`), so that a new address
of a board is no news, and another board under the old address is.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import paramiko

from panthorlab.board.lab import lab_dir
from panthorlab.board.real.file import Ssh
from panthorlab.board.real.parts import RefusedError
from panthorlab.board.real.ssh_wire import dial
from panthorlab.errors import LabError

ALGORITHMS: Final = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
"""Kinds of key that are asked for, the one preferred first; names of one kind go together."""
SCAN_TIME: Final = 15.0


class HostKeyError(RefusedError):
    """The host key of a board is not the one that was pinned, or none was. Trying again does not help."""


def known_hosts() -> Path:
    """Where this lab pins its boards' keys."""
    return lab_dir() / "known_hosts"


def fingerprint(key: paramiko.PKey) -> str:
    """As OpenSSH prints it, e.g. `ED25519 SHA256:…`."""
    return f"{key.algorithm_name.upper()} {key.fingerprint}"


def unknown_key(board: str, key: paramiko.PKey) -> HostKeyError:
    return HostKeyError(
        f"the SSH host key of board {board} has not been confirmed by anybody; the host there shows {fingerprint(key)}",
        hint=f"compare the fingerprint with the board's console, then: panthorlab boards trust {board}")


def changed_key(board: str, key: paramiko.PKey, known: Sequence[paramiko.PKey]) -> HostKeyError:
    same_kind = [other for other in known if other.get_name() == key.get_name()]
    was = ", ".join(fingerprint(other) for other in same_kind or known)
    return HostKeyError(
        f"the SSH host key of board {board} has changed: it was {was}, now the host there shows {fingerprint(key)}",
        hint="another machine has the board's address, or the board was installed anew; in the latter case: "
             f"panthorlab boards trust {board}")


def pinned(known_hosts: Path, board: str) -> list[paramiko.PKey]:
    """The keys recorded for `board`, in the order of the file. Raises LabError."""
    keys = paramiko.HostKeys()
    if known_hosts.exists():
        try:
            keys.load(str(known_hosts))
        except (OSError, paramiko.SSHException) as error:
            raise LabError(f"{known_hosts}: cannot be read: {error}") from error
    return list((keys.lookup(board) or {}).values())


def pin(known_hosts: Path, board: str, keys: Sequence[paramiko.PKey]) -> None:
    """Record `keys`, and only these, for `board`; the file is private to the user. Raises LabError."""
    text = "".join(f"{board} {key.get_name()} {key.get_base64()}\n" for key in keys)
    try:
        known_hosts.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        number, temp = tempfile.mkstemp(dir=known_hosts.parent, prefix=f".{known_hosts.name}.")
        try:
            with os.fdopen(number, "w", encoding="ascii") as file:
                file.write(text)
            Path(temp).replace(known_hosts)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(temp).unlink()
            raise
    except OSError as error:
        raise LabError(f"{known_hosts}: cannot be written: {error.strerror}") from error


def scan_host_keys(host: str, port: int, timeout: float = SCAN_TIME) -> list[paramiko.PKey]:
    """All host keys the server has, of the kinds of `ALGORITHMS` and in that order, by one handshake each; nobody is
    logged in. Raises LabError."""
    keys: list[paramiko.PKey] = []
    met: Exception | None = None
    for names in ALGORITHMS:
        try:
            transport = paramiko.Transport(dial(host, port, timeout))
        except OSError as error:
            raise LabError(f"no SSH server at {host}:{port}: {error}") from error
        try:
            transport.banner_timeout = timeout
            transport.get_security_options().key_types = names
            transport.start_client(timeout=timeout)
            keys.append(transport.get_remote_server_key())
        except (OSError, EOFError, paramiko.SSHException) as error:
            met = error  # it has no key of this kind: OpenSSH says so, Dropbear hangs up
        finally:
            transport.close()
    if not keys:
        raise LabError(f"{host}:{port} showed no SSH host key: {str(met) or 'it hung up'}",
                       hint="is it an SSH server? If it is very old, give it an ed25519 key") from met
    return keys


def trust(
    board: str, section: Ssh, *, known_hosts: Path, confirm: Callable[[str], bool], timeout: float = SCAN_TIME,
) -> bool:
    """Fetch the board's host keys, let `confirm` ask a person about the text it is given, and record them.

    False if the person said no; then nothing has changed. Not asked when the pinned keys are still right.
    """
    keys = scan_host_keys(section.host, section.port, timeout)
    known = pinned(known_hosts, board)
    if keys == known:
        return True
    lines = [f"{section.host}:{section.port} shows these host keys:", *(f"  {fingerprint(key)}" for key in keys)]
    if known:
        lines += [f"pinned for board {board} until now:", *(f"  {fingerprint(key)}" for key in known)]
    lines.append("on the board's console, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints the true one")
    if not confirm("\n".join(lines)):
        return False
    pin(known_hosts, board, keys)
    return True

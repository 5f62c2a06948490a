# SPDX-License-Identifier: GPL-2.0-or-later
"""SSH host keys of boards: fetched, shown to a person, and pinned in one file per board.

The files are OpenSSH `known_hosts` files under the board's name (`ssh -o HostKeyAlias=NAME`), so that a board may
change its address, and another board at the old address is noticed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import paramiko

from panthorlab.board.real.file import Ssh
from panthorlab.board.real.parts import RefusedError
from panthorlab.board.real.ssh.wire import dial, what_happened
from panthorlab.errors import LabError

ALGORITHMS: Final = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
"""Kinds of key to request, in order of preference; names of one kind are grouped."""
SCAN_TIME: Final = 15.0


class HostKeyError(RefusedError):
    """The host key of a board is not the pinned one, or none is pinned. Retries do not help."""


def fingerprint(key: paramiko.PKey) -> str:
    """As OpenSSH prints it, e.g. `ED25519 SHA256:…`."""
    return f"{key.algorithm_name.upper()} {key.fingerprint}"


def unknown_key(board: str, key: paramiko.PKey) -> HostKeyError:
    return HostKeyError(
        f"the SSH host key of board {board} has not been confirmed by anybody; the host there shows {fingerprint(key)}",
        hint=f"compare the fingerprint with the board's console, then: panthorlab boards trust {board}",
    )


def changed_key(board: str, key: paramiko.PKey, known: Sequence[paramiko.PKey]) -> HostKeyError:
    same_kind = [other for other in known if other.get_name() == key.get_name()]
    was = ", ".join(fingerprint(other) for other in same_kind or known)
    return HostKeyError(
        f"the SSH host key of board {board} has changed: it was {was}, now the host there shows {fingerprint(key)}",
        hint="another machine has the board's address, or the board was installed anew; in the latter case: "
        f"panthorlab boards trust {board}",
    )


def known_hosts(lab_dir: Path, board: str) -> Path:
    """The file of a board's keys."""
    return lab_dir / f"{board}.known_hosts"


def pinned(lab_dir: Path, board: str) -> list[paramiko.PKey]:
    """The keys recorded for `board`, in the order of the file. Raises LabError."""
    path, keys = known_hosts(lab_dir, board), paramiko.HostKeys()
    if path.exists():
        try:
            keys.load(str(path))
        except (OSError, ValueError, paramiko.SSHException) as error:
            raise LabError(
                f"{path}: cannot be read: {error}", hint=f"remove it, then: panthorlab boards trust {board}"
            ) from error
    return list((keys.lookup(board) or {}).values())


def pin(lab_dir: Path, board: str, keys: Sequence[paramiko.PKey]) -> None:
    """Record exactly `keys` for `board`, readable by the users of `lab_dir`. Raises LabError."""
    path = known_hosts(lab_dir, board)
    text = "".join(f"{board} {key.get_name()} {key.get_base64()}\n" for key in keys)
    try:
        number, temp = tempfile.mkstemp(dir=lab_dir, prefix=f".{path.name}.")
        try:
            with os.fdopen(number, "w", encoding="ascii") as file:
                file.write(text)
                os.fchmod(number, 0o600 | (lab_dir.stat().st_mode & 0o060))
            Path(temp).replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(temp).unlink()
            raise
    except OSError as error:
        raise LabError(f"{path}: cannot be written: {error.strerror}") from error


def scan_host_keys(host: str, port: int, timeout: float = SCAN_TIME) -> list[paramiko.PKey]:
    """All host keys of the server, of the kinds in `ALGORITHMS` and in that order, by one handshake each, without a
    login. Raises LabError."""
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
            transport.start_client(timeout=2 * timeout)
            keys.append(transport.get_remote_server_key())
        except (OSError, EOFError, paramiko.SSHException) as error:
            met = error  # no key of this kind: OpenSSH reports that, Dropbear hangs up
        finally:
            transport.close()
    if not keys:
        raise LabError(
            f"{host}:{port} showed no SSH host key: {what_happened(met) if met else 'nothing'}",
            hint="is it an SSH server? If it is very old, give it an ed25519 key",
        ) from met
    return keys


def trust(
    board: str, section: Ssh, *, confirm: Callable[[str], bool], lab_dir: Path, timeout: float = SCAN_TIME
) -> list[str]:
    """Fetch the board's host keys, have a person confirm them (`confirm` is given the question), and pin them.

    Returns the fingerprints that are pinned now; nothing if the person refused, and then nothing has changed. Does not
    ask if the pinned keys are still right. Raises LabError.
    """
    keys = scan_host_keys(section.host, section.port, timeout)
    known = pinned(lab_dir, board)
    prints = [fingerprint(key) for key in keys]
    if keys == known:
        return prints
    lines = [f"{section.host}:{section.port} shows these SSH host keys:", *(f"  {text}" for text in prints)]
    if known:
        lines += [f"until now these were pinned for board {board}:", *(f"  {fingerprint(key)}" for key in known)]
    lines += [
        "The board's console tells the true ones: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        f"Are these the keys of board {board}?",
    ]
    if not confirm("\n".join(lines)):
        return []
    pin(lab_dir, board, keys)
    return prints

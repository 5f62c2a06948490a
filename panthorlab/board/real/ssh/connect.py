# SPDX-License-Identifier: GPL-2.0-or-later
"""Connect to the system that runs on a board now, and check that commands reach it unchanged."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import paramiko

from panthorlab.board.real.file import Ssh
from panthorlab.board.real.parts import NoServerError
from panthorlab.board.real.ssh import hostkeys
from panthorlab.board.real.ssh.pool import KEEPALIVE, PATIENCE
from panthorlab.board.real.ssh.shell import SshShell
from panthorlab.board.real.ssh.wire import Login, UnpinnedKeyError, refused, what_happened, why_not
from panthorlab.errors import LabError, PanthorlabError

__all__ = ["SshShell", "connect"]
RETRY: Final = 1.0
"""Seconds between two attempts to reach a board that boots."""


def connect(
    section: Ssh,
    *,
    board: str,
    lab_dir: Path,
    timeout: float,
    why_lost: Callable[[], PanthorlabError] | None = None,
    keepalive: float = KEEPALIVE,
    patience: float = PATIENCE,
) -> SshShell:
    """A shell on the system that runs on the board now. While the board boots, refused or broken connections are
    retried until the deadline; a wrong host key and a refused login are final.

    `lab_dir`: where `hostkeys.pin` has recorded the board's keys. Raises HostKeyError, LabError, UsageError.
    """
    deadline = time.monotonic() + timeout
    keys = hostkeys.pinned(lab_dir, board)

    def login(limit: float) -> Login:
        return Login(section, pinned=keys, timeout=limit, patience=patience)

    while True:
        nobody_listens = False
        try:
            shell = SshShell(
                login(max(1.0, deadline - time.monotonic())),
                board=board,
                env=_environment(section),
                login_again=login,
                why_lost=why_lost,
                keepalive=keepalive,
            )
            if _probe(shell, board, max(1.0, deadline - time.monotonic())):
                return shell
            met = f"the connection broke right after the login: {shell.lost}"
        except UnpinnedKeyError as error:
            raise (
                hostkeys.changed_key(board, error.key, keys) if keys else hostkeys.unknown_key(board, error.key)
            ) from None
        except (OSError, EOFError, paramiko.SSHException) as error:
            if (final := why_not(error, section)) is not None:
                raise final from error
            met = what_happened(error)
            nobody_listens = refused(error)
        if time.monotonic() + RETRY > deadline:
            kind = NoServerError if nobody_listens else LabError
            raise kind(
                f"board {board} could not be reached by SSH within {timeout:g} s; the last attempt at "
                f"{section.host}:{section.port} met: {met}",
                hint="see the console log whether the board has booted, has its address and runs sshd",
            )
        time.sleep(RETRY)


def _environment(section: Ssh) -> dict[str, str]:
    return {
        "PATH": f"{section.work_dir}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
        "TERM": "dumb",
        "LANG": "C",
    }


_PROBE = 'read -r b </proc/sys/kernel/random/boot_id;echo "$b";printf %s "$1"'
_NASTY = "a'b\"c\\d\\'\n$e `f` \u00e9 *"


def _probe(shell: SshShell, board: str, timeout: float) -> bool:
    """Read the boot-id, and check that arguments arrive unchanged. False if the connection broke."""
    try:
        done = shell.run(["/bin/sh", "-c", _PROBE, "sh", _NASTY], timeout=timeout)
    except PanthorlabError:
        broke = shell.lost is not None
        shell.close()
        if broke:
            return False
        raise
    boot_id, _, word = done.stdout.decode("utf-8", "replace").partition("\n")
    if word != _NASTY or not boot_id:
        shell.close()
        raise LabError(
            f"the login shell of board {board} changes what it is told to run: {done.stdout[-200:]!r} "
            f"{done.stderr[-200:]!r}",
            hint="give the user a POSIX shell on the board: chsh -s /bin/sh",
        )
    shell.boot_id = boot_id
    return True

# SPDX-License-Identifier: GPL-2.0-or-later
"""Who the user is, as git has it: for a draft that goes out under their name, so nothing of it is made up."""

from __future__ import annotations

import re
import subprocess
from email.utils import parseaddr
from typing import Final

from panthorlab import spawn
from panthorlab.errors import LabError, UsageError
from panthorlab.report.mail import Identity

_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_SECONDS: Final = 10.0


def parse(text: str) -> Identity:
    """`NAME <ADDRESS>` of the command line. Raises UsageError."""
    name, address = parseaddr(text)
    if not name.strip() or not name.isprintable() or not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"--from: {text!r} is not NAME <ADDRESS>", hint="for instance --from 'Jo Doe <jo@example.org>'"
        )
    return Identity(" ".join(name.split()), address)


def of_git() -> Identity | None:
    """`user.name` and `user.email` of git's configuration; None unless both are set. Raises LabError."""
    name, address = _setting("user.name"), _setting("user.email")
    if not name or not name.isprintable() or not _ADDRESS.fullmatch(address):
        return None
    return Identity(name, address)


def _setting(key: str) -> str:
    """Empty if it is not set, or there is no git."""
    try:
        done = spawn.run(["git", "config", "--get", key], timeout=_SECONDS)
    except FileNotFoundError:
        return ""
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"git config {key}: {error}", hint="say who you are by --from") from error
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""

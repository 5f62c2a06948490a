# SPDX-License-Identifier: GPL-2.0-or-later
"""Secrets of notifications: read when they are needed, and kept out of every message from then on."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from panthorlab.board.power.secrets import from_environment, redact
from panthorlab.errors import LabError
from panthorlab.notify.config import SecretSource

_LARGEST: Final = 4096


def reveal(source: SecretSource, what: str) -> str:
    """The secret; `redact` hides it from now on. `what` it is, for messages. Raises LabError, without the secret."""
    if source.env is not None:
        place, value = f"the environment variable {source.env}", from_environment(source.env, what)
    else:
        place, value = f"the file {source.file}", _content(Path(str(source.file)), what)
        if not value:
            raise LabError(f"{place} ({what}) is empty", hint="put the secret there, or name the right place")
    if not (value.isascii() and value.isprintable()):
        raise LabError(f"{place} ({what}) is not one line of printable ASCII")
    redact.hide(value)
    return value


def certificates(file: str | None) -> str | None:
    """`ca_file`, if it can be read. Raises LabError: it looks like a server that cannot be reached, and is not."""
    if file is not None and not os.access(file, os.R_OK):
        raise LabError(f"`ca_file` {file} cannot be read", hint="name a file of certificates in PEM format")
    return file


def _content(path: Path, what: str) -> str:
    """The file's one line. A pipe is not waited for."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            raw = file.read(_LARGEST + 1) if stat.S_ISREG(status.st_mode) else None
    except OSError as error:
        raise LabError(
            f"the file {path} ({what}): {error.strerror}", hint="who runs this must be able to read it"
        ) from error
    if raw is None or len(raw) > _LARGEST:
        raise LabError(f"the file {path} ({what}) is no regular file of at most {_LARGEST} bytes")
    if status.st_mode & 0o007:
        raise LabError(f"the file {path} ({what}) is open to everybody", hint=f"chmod o= {path}")
    try:
        return raw.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise LabError(f"the file {path} ({what}) is no text") from None

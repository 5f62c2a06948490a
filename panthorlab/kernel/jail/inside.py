# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading files of a directory that untrusted code has written. We may read more files than that code, so it must not
redirect us: no symbolic link is followed, neither as the file nor in its path, and anything but a regular file counts
as missing, because a pipe would block us.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path, PurePosixPath

from panthorlab.errors import BuildError

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENAMETOOLONG}


def opened(root: Path, name: str) -> BufferedReader:
    """The file `name` of `root`. Raises BuildError if it is not there, not regular, or behind a link."""
    file = _open(root, name)
    if file is None:
        raise BuildError(f"the build left no file {name} that can be taken: there is none, or a link or pipe instead")
    return file


def read(root: Path, name: str, size: int = -1) -> bytes | None:
    """The first `size` bytes of it, or all; None where `opened` raises."""
    file = _open(root, name)
    if file is None:
        return None
    with file:
        return file.read(size)


def text(root: Path, name: str) -> str:
    """All of it as text. Raises BuildError as `opened`."""
    with opened(root, name) as file:
        return file.read().decode(errors="replace")


def _open(root: Path, name: str) -> BufferedReader | None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        return None
    try:
        folder = os.open(root, os.O_PATH | os.O_DIRECTORY)
        try:
            for part in path.parts[:-1]:
                deeper = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = deeper
            number = os.open(path.parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        return None
    return os.fdopen(number, "rb")

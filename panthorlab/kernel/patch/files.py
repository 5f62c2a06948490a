# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of mails and diffs that names on a command line refer to, from any source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from panthorlab.errors import PatchError

MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class PatchFiles:
    """Content by name. `chosen`: the list is already selected and ordered by its author, as in quilt's `series`.
    `notes`: how it was come by, a sentence each."""

    content: tuple[tuple[str, bytes], ...]
    chosen: bool = False
    notes: tuple[str, ...] = ()


def bounded(file: BinaryIO, name: str) -> bytes:
    """All of a file. Raises PatchError if it is larger than `MAX_BYTES`."""
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise PatchError(
            f"{name} is larger than {MAX_BYTES >> 20} MiB, which no patch to test is",
            hint="for a whole tree use --base PATH, or a git tree at two revisions; of a list's mbox save the thread",
        )
    return data

# SPDX-License-Identifier: GPL-2.0-or-later
"""A private tree on its way to another machine, which builds from it as this one would."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from panthorlab.errors import LabError
from panthorlab.kernel.progress import Progress
from panthorlab.kernel.source import trees
from panthorlab.kernel.source.base import Base
from panthorlab.kernel.tools import TREE_BYTES, need_space


def pack(base: Base, into: IO[bytes], progress: Progress) -> str:
    """Write the tree as it was unpacked, whatever is patched in it now. Returns the digest of what was written."""
    with trees.locked(base.key, progress), tarfile.open(fileobj=into, mode="w:gz", compresslevel=1) as tar:
        progress(f"packing {base.title}")
        originals = dict(trees.originals(base))

        def untouched(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
            return None if entry.name.removeprefix("./") in originals else entry

        tar.add(base.path, ".", filter=untouched)
        for path, original in sorted(originals.items()):
            if original is not None:
                tar.add(original, path)
    return _digest(into)


@dataclass(frozen=True)
class SentSource:
    """A tree that another machine has packed. `fetch` writes that into a file, and gives its digest there."""

    key: str
    title: str
    fetch: Callable[[IO[bytes]], str]

    def unpack(self, into: Path, progress: Progress) -> None:
        need_space(into, TREE_BYTES)
        progress(f"fetching {self.title}")
        with tempfile.TemporaryFile(dir=into.parent) as file:
            if self.fetch(file) != _digest(file):
                raise LabError(f"{self.title} did not come as it was sent", hint="is a disk failing?")
            file.seek(0)
            progress(f"unpacking {self.title}")
            try:
                with tarfile.open(fileobj=file, mode="r:gz") as tar:
                    tar.extractall(into, filter="data")
            except tarfile.TarError as error:
                raise LabError(f"{self.title} cannot be unpacked: {error}") from error


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    found = hashlib.sha256()
    while piece := file.read(1 << 20):
        found.update(piece)
    return found.hexdigest()

# SPDX-License-Identifier: GPL-2.0-or-later
"""Which files of a tree a build reads, as far as that is certain: in doubt, it does.

kbuild keeps a record of every file that it compiles, with all headers of it. So C, assembler and Rust that no record
names is not read; of Makefiles, Kconfig, scripts and all else nobody keeps records, and they count as read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from posixpath import normpath
from typing import Final

from panthorlab.kernel.build.tokens import INERT
from panthorlab.kernel.jail import inside

_RECORDED: Final = (".c", ".h", ".S", ".rs", ".dts", ".dtsi")
_ALWAYS: Final = re.compile(r"^(?:include/uapi|include/asm-generic|arch/[^/]+/include|scripts|tools|usr|certs)/")
"""Headers for programs are also read by whatever builds these; what the build runs may read more than is recorded; and
of an architecture's headers it counts which are there, for the generic ones to take the place of the others."""
_NEVER: Final = re.compile(
    r"^(?:\.\w+(?:-\w+)*|COPYING|README|LICENSES/.*|tools/(?:testing|perf|power)/.*)$|(?:^|/)\.gitignore$|\.rst$"
)


class ReadFiles:
    """What the builds in a directory have read so far; it only grows."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()

    def add(self, objects: Path) -> None:
        """All that is on record in `objects` now."""
        words: set[str] = set(self._names)
        for record in objects.rglob(".*.cmd"):
            data = inside.read(objects, str(record.relative_to(objects))) or b""
            words.update(_named(data.decode(errors="replace").split()))
        self._names = frozenset(words)

    def __call__(self, path: str) -> bool:
        """Whether a build may read the file at `path`."""
        if not path.endswith("Kconfig") and (path.startswith(INERT) or _NEVER.search(path)):
            return False
        if not self._names or not path.endswith(_RECORDED) or _ALWAYS.match(path):
            return True
        return path in self._names


def _named(words: Iterable[str]) -> Iterable[str]:
    """Paths in the tree among the words of a record; it names most of them by where the tree, `src`, was, and what is
    included as `../x.h` by the way that led there."""
    for word in words:
        name = word.rstrip("\\")
        if name.endswith(_RECORDED):
            yield normpath(name)
            while name := name.partition("/src/")[2]:
                yield normpath(name)

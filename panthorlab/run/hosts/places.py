# SPDX-License-Identifier: GPL-2.0-or-later
"""The same files lie elsewhere on another host: in what both say to each other they have names instead of paths."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from panthorlab.paths import data_dirs

_NAME = re.compile(r"<panthorlab:([a-z0-9-]+)>")
_GOES_ON = r"(?![\w.-])"
"""A path is not meant where it is the beginning of a longer name."""


@dataclass(frozen=True)
class HostPaths:
    """Paths by their names."""

    paths: Mapping[str, Path]

    def named(self, text: str) -> str:
        """JSON `text` with names for the paths of this host."""
        names = {_json(path): f"<panthorlab:{name}>" for name, path in self.paths.items()}
        if not names:
            return text
        longest = sorted(names, key=len, reverse=True)
        pattern = f"(?:{'|'.join(map(re.escape, longest))}){_GOES_ON}"
        return re.sub(pattern, lambda found: names[found[0]], text)

    def real(self, text: str) -> str:
        """JSON `text` with this host's paths for the names; those that it does not know stay."""
        return _NAME.sub(lambda found: _json(self.paths[found[1]]) if found[1] in self.paths else found[0], text)


def _json(path: Path) -> str:
    """As it stands within a JSON string."""
    return json.dumps(str(path))[1:-1]


def shipped() -> dict[str, Path]:
    """Directories that come with panthorlab: equal hosts have equal ones, so they need not be sent."""
    folder = next(data_dirs("suites"), None)
    return {"suites": folder} if folder is not None else {}

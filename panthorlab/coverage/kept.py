# SPDX-License-Identifier: GPL-2.0-or-later
"""Maps of vmlinux that were made before. Making one takes a second and a half, as long as a boot."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from panthorlab.coverage.dwarf import read_vmlinux
from panthorlab.files import digest, sha256, write_whole
from panthorlab.paths import cache_dir

FOLDER: Final = "maps"
"""In the cache: by the kernel's content key, the other files measured, and the code that makes maps."""


def map_of(vmlinux: Path, build_id: str, key: str, others: Collection[str] = ()) -> str:
    """The map, as `SourceMap.to_json`, of the kernel with the content key `key`; made if it is not there, or damaged.

    Raises as `read_vmlinux`, and LabError.
    """
    path = cache_dir(FOLDER) / f"{digest((key, sorted(others), _code()))}.json"
    text = _read(path)
    if text is None:
        text = read_vmlinux(vmlinux, build_id, others=others).to_json()
        write_whole(path, f"{_seal(text)}\n{text}")
    else:
        with suppress(FileNotFoundError):
            os.utime(path)  # what was used last is removed last
    return text


def _read(path: Path) -> str | None:
    try:
        seal, _, text = path.read_text().partition("\n")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return text if seal == _seal(text) else None


def _seal(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _code() -> str:
    """Maps that other code has made may be others."""
    return digest(sha256(file) for file in sorted(Path(__file__).parent.glob("*.py")))

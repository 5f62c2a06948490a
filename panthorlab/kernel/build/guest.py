# SPDX-License-Identifier: GPL-2.0-or-later
"""The sources of the guest programs and of the shim module."""

from __future__ import annotations

from pathlib import Path

from panthorlab.kernel.build import key
from panthorlab.paths import PACKAGE

SOURCES = PACKAGE / "guest"


def digest() -> str:
    """Their content key."""
    return digest_below(SOURCES)


def shim() -> Path:
    """Where the sources of the shim module are."""
    return SOURCES / "shim"


def digest_below(root: Path) -> str:
    """The content key of all files in a directory."""
    files = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return key.digest(sorted((str(path.relative_to(root)), key.content(path.read_bytes())) for path in files))

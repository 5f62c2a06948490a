# SPDX-License-Identifier: GPL-2.0-or-later
"""The sources of the guest programs and of the shim module."""

from __future__ import annotations

from panthorlab.kernel.build import key
from panthorlab.paths import PACKAGE

SOURCES = PACKAGE / "guest"


def digest() -> str:
    """Their content key."""
    files = [path for path in SOURCES.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return key.digest(sorted((str(path.relative_to(SOURCES)), key.content(path.read_bytes())) for path in files))

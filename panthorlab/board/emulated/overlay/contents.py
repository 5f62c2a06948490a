# SPDX-License-Identifier: GPL-2.0-or-later
"""Digest of an overlay's contents."""

from __future__ import annotations

import hashlib
from pathlib import Path

from panthorlab import files
from panthorlab.board.emulated.initramfs import overlay_entries


def digest(folder: Path) -> str:
    """sha256 over all that the board gets from `folder`. Raises UsageError."""
    entries = overlay_entries(folder)
    return files.digest(sorted((entry.path, entry.mode, hashlib.sha256(entry.data).hexdigest()) for entry in entries))

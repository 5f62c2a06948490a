# SPDX-License-Identifier: GPL-2.0-or-later
"""What an overlay puts on a board, as one number."""

from __future__ import annotations

import hashlib
from pathlib import Path

from panthorlab import files
from panthorlab.board.emulated.initramfs import overlay_entries


def digest(folder: Path) -> str:
    """sha256 of all that the board gets of it. Raises UsageError."""
    entries = overlay_entries(folder)
    return files.digest(sorted((entry.path, entry.mode, hashlib.sha256(entry.data).hexdigest()) for entry in entries))

# SPDX-License-Identifier: GPL-2.0-or-later
"""What a store key is made of: equal keys mean equal kernels."""

from __future__ import annotations

import hashlib
import json

FORMAT = 2  # of the files of a stored kernel; part of its key


def content(data: bytes | None) -> str | None:
    """What stands for the content of a file; None for a file that is not there."""
    return None if data is None else hashlib.sha256(data).hexdigest()


def digest(value: object) -> str:
    """The key of something that JSON can write, in hex."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()

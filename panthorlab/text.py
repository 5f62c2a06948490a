# SPDX-License-Identifier: GPL-2.0-or-later
"""Text of others, as it may be shown on a terminal."""

from __future__ import annotations


def readable(text: str) -> str:
    """`text` with its lines and tabs, and without what could command a terminal or turn the direction of writing."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)

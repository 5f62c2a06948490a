# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether two hosts are equal in what decides how a boot goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MOST: Final = 3
Files = Mapping[str, Mapping[str, str]]
"""By what a person calls it: files with digests."""


def unequal(host: str, theirs: Mapping[str, object], wanted: Mapping[str, str], files: Mapping[str, str] = {}) -> str:
    """What is different on a host, in a sentence; empty if nothing is. `files`: of what, in words, see `which`."""
    other = [name for name, value in wanted.items() if theirs.get(name) != value]
    if not other:
        return ""
    differ = "; ".join(f"{name}: {files.get(name) or _versions(theirs.get(name), wanted[name])}" for name in other)
    return f"boots on {host} would be others than here: {differ}"


def _versions(there: object, here: str) -> str:
    return f"{str(there)[:16]} there, {here[:16]} wanted"


def which(theirs: Files, ours: Files) -> dict[str, str]:
    """Of each part that differs, its files that do, in words. Parts lie within each other: a file is named by the first
    that has it."""
    named: set[str] = set()
    found: dict[str, str] = {}
    for part, mine in ours.items():
        there = theirs.get(part, {})
        other = [name for name in sorted({*mine, *there}) if mine.get(name) != there.get(name)]
        news = [name for name in other if name not in named or len(other) == len(named & set(other))]
        named.update(other)
        if news:
            words = [f"{name}{_why(name, there, mine)}" for name in news[:MOST]]
            found[part] = ", ".join(words) + (f" and {len(news) - MOST} more" if len(news) > MOST else "")
    return found


def _why(name: str, there: Mapping[str, str], here: Mapping[str, str]) -> str:
    if name not in there:
        return " is missing there"
    return " is another one" if name in here else " is only there"

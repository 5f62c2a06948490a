# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether two hosts are equal in what decides how a boot goes."""

from __future__ import annotations

from collections.abc import Mapping


def unequal(host: str, theirs: Mapping[str, object], wanted: Mapping[str, str]) -> str:
    """What is different on a host, in a sentence; empty if nothing is."""
    other = [name for name, value in wanted.items() if theirs.get(name) != value]
    if not other:
        return ""
    differ = "; ".join(f"{name}: {str(theirs.get(name))[:16]} there, {wanted[name][:16]} wanted" for name in other)
    return f"boots on {host} would be others than here: {differ}"

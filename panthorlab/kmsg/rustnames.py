# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of Rust functions as a kernel's traces have them (mangled, "v0"), made readable and the same in every build."""

from __future__ import annotations

from typing import Final

MANGLED: Final = "_R"
_DIGITS: Final = frozenset("0123456789")


def readable(function: str) -> str:
    """`_RNvNtCs4fqI2P2rA04_3tyr2fw4boot` as `tyr::fw::boot`: the identifiers of a path and its generic arguments, in
    order. Any other name is unchanged. Source: RFC 2603; `s…_` are disambiguators, `B…_` back references."""
    if not function.startswith(MANGLED):
        return function
    names, at = [], len(MANGLED)
    while at < len(function):
        if function[at] in _DIGITS:
            end = at
            while end < len(function) and function[end] in _DIGITS:
                end += 1
            length = int(function[at:end])
            end += function[end : end + 1] == "_"  # separator before a name that begins with a digit or with `_`
            names.append(function[end : end + length])
            at = end + length
        elif function[at] in "sB" and (end := function.find("_", at)) >= 0:
            at = end + 1
        else:
            at += 1
    return "::".join(names) or function

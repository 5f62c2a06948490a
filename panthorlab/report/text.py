# SPDX-License-Identifier: GPL-2.0-or-later
"""Text from elsewhere made safe to show, and numbers made short. Titles, logs and messages are untrusted input."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping

from panthorlab.verdict.model import WorkloadVerdict
from panthorlab.verdict.side import SideResult

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_NOT_XML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")


def plain(text: object) -> str:
    """One line without escape sequences, control characters, surrogates or characters that reorder others."""
    shown = _ANSI.sub("", str(text))
    shown = "".join(" " if char in "\t\n\r\v\f" else char for char in shown)
    return " ".join("".join(c for c in shown if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp")).split())


def json_text(data: object) -> str:
    """Strict JSON, so never NaN or Infinity; what UTF-8 cannot have (names that are no text) is escaped."""
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def xml_text(text: object) -> str:
    """The same text with everything removed that XML 1.0 forbids or discourages, and no escape sequences."""
    kept = _NOT_XML.sub("", _ANSI.sub("", str(text)))
    return "".join(char for char in kept if ord(char) & 0xFFFE != 0xFFFE)


def width(text: str) -> int:
    """Columns a terminal needs for `text`."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def fit(text: str, columns: int) -> str:
    """`text` cut to `columns` with an ellipsis."""
    if width(text) <= columns:
        return text
    kept, used = "", 1
    for char in text:
        used += width(char)
        if used > columns:
            break
        kept += char
    return kept + "…"


def pad(text: str, columns: int) -> str:
    """`text` cut or filled with blanks to exactly `columns`."""
    text = fit(text, columns)
    return text + " " * (columns - width(text))


def wrap(text: str, columns: int, *, first: str = "", rest: str = "") -> list[str]:
    """Lines of at most `columns`, prefixed with `first` and then `rest`; a word that is too long is cut."""
    lines: list[str] = []
    current = ""
    for word in text.split():
        longer = f"{current} {word}" if current else word
        prefix = rest if lines else first
        if current and width(prefix + longer) > columns:
            lines.append(prefix + current)
            longer = word
        current = fit(longer, columns - width(rest if lines else first))
    return [*lines, (rest if lines else first) + current]


def fact(value: object) -> str:
    """A fact about a board or kernel in words: no Python notation, whatever its type."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={fact(item)}" for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(fact(item) for item in value)
    return str(value)


def counts(side: SideResult) -> str:
    return f"{side.faulty}/{side.iterations}" if side.iterations else "-"


def interval(side: SideResult) -> str:
    """The 95 % interval in percent, rounded outwards: `97–100%`, `0–1.7%`."""
    return percent(*side.interval) if side.iterations else ""


def percent(low: float, high: float) -> str:
    """An interval of a rate in percent, rounded outwards."""
    low, high = low * 100, high * 100
    low = math.floor(low) if low >= 10 else math.floor(low * 10) / 10
    high = math.ceil(high - 1e-9) if high > 10 else math.ceil(high * 10 - 1e-9) / 10
    return f"{low:g}–{high:g}%"


def p_value(value: float | None) -> str:
    if value is None:
        return "-"
    if value < 1e-300:
        return "<1e-300"
    return f"{value:.0e}" if value < 0.001 else f"{value:.3f}"


def direction(workload: WorkloadVerdict) -> str:
    """The p value that speaks for the change that was seen: `↓` fewer on *after*, `↑` more."""
    if workload.p_fewer is None or workload.p_more is None:
        return "-"
    if workload.after.rate > workload.before.rate:
        return "↑" + p_value(workload.p_more)
    return "↓" + p_value(workload.p_fewer) if workload.after.rate < workload.before.rate else "="


def seconds(value: float) -> str:
    """`0.6 s`, `42 s`, `3 min 07 s`."""
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"

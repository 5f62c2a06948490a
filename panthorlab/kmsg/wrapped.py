# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel logs inside logs of other programs, one entry per line.

LAVA jobs, JSON of journalctl, dmesg, docker, Loki and fluent-bit, adb logcat. `folding.py` has already joined entries
of several lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

# `- ` LAVA; `data: ` journalctl -o json-sse; `[0] kmsg.0: [1463421823.0, ` fluent-bit; `[` and `},` arrays of entries
_JSON = re.compile(r'(?:\s{0,8}(?:- |\[|\}?,)?|data: |\[\d+\] [^"]{0,120}?)\s?(?=\{\s*")')
_AFTER_JSON = re.compile(r"[\s\],]*$")
_RUBY = re.compile(r'"=>')
_MESSAGES = ("MESSAGE", "msg", "log", "message", "line", "text")
# An unnecessarily escaped letter could hide an anchor from the prefilter; Go escapes <, > and &, others '.
_NEEDLESS_ESCAPE = re.compile(r"\\u00(?!26|27|3[cCeE])[2-7]")
# LAVA's lines are YAML, which has escapes that JSON lacks.
_YAML_ESCAPE = re.compile(r"\\(?:x(?P<byte>[0-9a-fA-F]{2})|(?P<escape>e)|(?P<other>[0av_NLP ])|.)")
_LAVA_DEVICE = ("target", "feedback")
"""Levels of a LAVA log with output of the device; the others have the dispatcher's own messages and input."""
_KERNEL = ("kernel", "kern", "0", 0)
_LOGCAT = re.compile(
    r"(?:(?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d\.\d{3,6}|\d{9,11}\.\d{3,6})?(?:^| +)(?:[a-z]\S* +)?"
    r"(?P<pid>\d{1,7}) +\d{1,7} [VDIWEFA] (?=(?P<tag>[^:]{0,64}?) *: )"
)
_LOGCAT_TAG = re.compile(r"(?:kernel)? *: ")


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Contents of one entry. `kernel`: it may be the kernel's; `timestamp`: seconds of the kernel's clock, if given."""

    text: str
    kernel: bool
    timestamp: float | None = None


def unwrap(text: str) -> LogEntry | None:
    """The entry in a line of such a log; None for any other line."""
    if found := _LOGCAT.match(text):
        rest = text[found.end() :]
        if found["pid"] != "0" and found["tag"] != "kernel":
            return LogEntry(rest, False)
        # The log daemon takes tags from the kernel's messages: `E mali fb000000.gpu: Unhandled …`.
        return LogEntry(_LOGCAT_TAG.sub("", rest, count=1) if _LOGCAT_TAG.match(rest) else rest, True)
    if not (found := _JSON.match(text)):
        return None
    source = _YAML_ESCAPE.sub(_json_escape, _RUBY.sub('":', text[found.end() :]))
    if _NEEDLESS_ESCAPE.search(source):
        return None
    try:
        entry, end = json.JSONDecoder().raw_decode(source)
    except (ValueError, RecursionError):  # damaged, or no JSON after all: an ordinary line
        return None
    name = next((name for name in _MESSAGES if name in entry), None)
    if name is None or not _AFTER_JSON.match(source, end):
        return None
    if not isinstance(entry[name], str):
        return LogEntry("", False)  # the patterns that LAVA looks for are a list
    return LogEntry(entry[name].rstrip("\r\n"), _is_kernel(entry), _timestamp(entry))


def _json_escape(found: re.Match[str]) -> str:
    if found["byte"]:
        return f"\\u00{found['byte']}"
    if found["escape"]:
        return "\\u001b"
    return " " if found["other"] else found[0]


def _is_kernel(entry: Mapping[str, object]) -> bool:
    """Whether nothing in the entry names another source than the kernel."""
    if entry.get("lvl", "target") not in _LAVA_DEVICE:
        return False
    origins = (entry[name] for name in ("_TRANSPORT", "SYSLOG_FACILITY", "PROGRAM", "fac", "facility") if name in entry)
    return all(who in _KERNEL for who in origins)


def _timestamp(entry: Mapping[str, object]) -> float | None:
    """journald's copy of the kernel's stamp, util-linux's `time`, fluent-bit's `sec` and `usec`."""
    for name, unit in (("_SOURCE_MONOTONIC_TIMESTAMP", 1e6), ("time", 1.0)):
        value = entry.get(name)
        if isinstance(value, str) and value.isdecimal() and len(value) < 20 and unit > 1:
            value = int(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e18:
            return value / unit
    seconds, micros = entry.get("sec"), entry.get("usec")
    if isinstance(seconds, int) and isinstance(micros, int) and 0 <= seconds < 1e12:
        return seconds + micros / 1e6
    return None

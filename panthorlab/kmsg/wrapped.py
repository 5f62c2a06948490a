# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel logs inside the logs of others: LAVA jobs, journalctl -o json, docker's json-file, adb logcat."""

from __future__ import annotations

import json
import re

_JSON = re.compile(r"\s{0,8}(?:- )?(?=\{)")
_MESSAGES = ("msg", "MESSAGE", "log")
# A letter that is escaped without need could hide an anchor from the prefilter; Go escapes <, > and &, some '.
_NEEDLESS_ESCAPE = re.compile(r"\\u00(?!26|27|3[cCeE])[2-7]")
# LAVA's lines are YAML, which has escapes that JSON lacks.
_YAML_ESCAPE = re.compile(r"\\(?:x(?P<byte>[0-9a-fA-F]{2})|(?P<escape>e)|(?P<other>[0av_NLP ])|.)")
_LAVA_DEVICE = ("target", "feedback")
"""Levels of a LAVA log that are what the device said; the others are the dispatcher's own words and what it typed."""
_LOGCAT = re.compile(
    r"(?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d\.\d{3,6} +(?:[a-z]\S* +)?(?P<pid>\d+) +\d+ [VDIWEFA] "
    r"(?=(?P<tag>[^:]{0,64}?) *: )"
)
_LOGCAT_TAG = re.compile(r"(?:kernel)? *: ")


def _json_escape(found: re.Match[str]) -> str:
    if found["byte"]:
        return f"\\u00{found['byte']}"
    if found["escape"]:
        return "\\u001b"
    return " " if found["other"] else found[0]


def unwrap(text: str) -> tuple[str, bool] | None:
    """(what a line of a log of logs holds, whether it may be the kernel's); None if it is no such line."""
    if found := _LOGCAT.match(text):
        rest = text[found.end() :]
        if found["pid"] != "0" and found["tag"] != "kernel":
            return rest, False
        # The log daemon takes tags from the kernel's messages: `E mali fb000000.gpu: Unhandled …`.
        return _LOGCAT_TAG.sub("", rest, count=1) if _LOGCAT_TAG.match(rest) else rest, True
    if not (found := _JSON.match(text)):
        return None
    source = _YAML_ESCAPE.sub(_json_escape, text[found.end() :])
    if _NEEDLESS_ESCAPE.search(source):
        return None
    try:
        entry = json.loads(source)
    except (ValueError, RecursionError):  # torn, or only looks like it: a line like any other
        return None
    name = next((name for name in _MESSAGES if name in entry), None)
    if name is None:
        return None
    message, level, transport = entry[name], entry.get("lvl", "target"), entry.get("_TRANSPORT", "kernel")
    if not isinstance(message, str):
        return "", False  # the patterns that LAVA looks for are a list
    return message.rstrip("\r\n"), level in _LAVA_DEVICE and transport == "kernel"

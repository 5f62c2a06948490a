# SPDX-License-Identifier: GPL-2.0-or-later
"""What the subject of a mail says about a patch: its version, its place in a series, or that it is a reply.

A pure function over everything people and their mailers write: `[PATCHv2 2/2]`, `[RFC v3 1/2]`, `[v2,1/3]` (patchwork),
`[PATCH net-next v3 02/10]`, `[PATCH 6.1 003/120]` (stable), `[list] SV: [PATCH] …`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

MAX_TITLE = 200
_MAX_SUBJECT = 1000
_BRACKET = re.compile(r"\s*\[(?P<words>[^\[\]]*)\]\s*")
_IS_PATCH = re.compile(
    r"\b(?:patch|rfc|rft|resend)(?:v?\d+)?\b|(?<![a-z0-9.])v\d+(?![\w.])|\d\s*(?:/|of)\s*\d", re.IGNORECASE
)
_VERSION = re.compile(
    r"(?:(?<![a-z0-9])|(?<=patch)|(?<=rfc))"
    r"(?:v\.?\s?|#|(?:ver|version|rev|revision|r|take|try|attempt|round|iteration|respin)\.?[ #-]?)(\d{1,4})(?![\w.])",
    re.IGNORECASE,
)
_PART_VERSION = re.compile(r"(?:(?<![a-z0-9])|(?<=patch)|(?<=rfc))v(\d{1,4}(?:\.\d[\w.]*|[a-z]\w*))", re.IGNORECASE)
_VERSION_IN_TITLE = re.compile(
    r"^(?:patch\b)?[\s,:-]*(?:v\d+\s*[:,-])?\s*(?P<title>.*?)[\s,:-]*(?:\(?(?:v|ver|version|take|try)[ .]?\d+\)?)?$",
    re.IGNORECASE,
)
_PLACE = re.compile(r"(?<![\w./])(\d{1,4})\s*(?:/|\bof\b)\s*(\d{1,4})(?![\w./])", re.IGNORECASE)
# What mailers put in front of a reply, or of what they forward. Words that subsystems are called by (`rv:`) are only
# known in front of a [PATCH …], where any word will do; behind it, all but the plainest are part of the title.
_REPLY = re.compile(
    r"\s*(?:re|aw|sv|antw|antwort|odp|fwd?|wg|отв|ответ|答复|回复|答覆|回覆|转发|轉寄|返信)"
    r"\s?(?:\[\d+\]|\^\d+|\(\d+\))?\s?[:：]\s*",
    re.IGNORECASE,
)
_PLAIN_REPLY = re.compile(r"\s*(?:re|fwd?):\s*", re.IGNORECASE)
_ANY_REPLY = re.compile(r"\s*[^\[\]]{1,40}[:：]\s*(?=\[[^\[\]]*\b(?:patch|rfc)|\[[^\[\]]*\d/\d)", re.IGNORECASE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Subject:
    """`[PATCH v2 1/3] TITLE`: version 2, number 1, total 3. `tagged`: there is a [PATCH …]. `reply`: or forwarded.

    `number` and `total` are None if it is no series; `number` 0 is the cover letter. `odd_version`: `2.1` of [PATCH
    v2.1], which amends version 2, or is for the kernel of that name: only a person knows.
    """

    title: str = ""
    version: int = 1
    number: int | None = None
    total: int | None = None
    tagged: bool = False
    reply: bool = False
    odd_version: str = ""


def parse_subject(subject: str) -> Subject:
    """What `subject`, unfolded and decoded, says. Never raises."""
    rest = " ".join(subject.split())[:_MAX_SUBJECT]
    tags: list[str] = []
    reply = False
    while True:
        if match := _BRACKET.match(rest):
            if _IS_PATCH.search(match["words"]):
                tags.append(match["words"])
        elif match := _PLAIN_REPLY.match(rest) if tags else _REPLY.match(rest) or _ANY_REPLY.match(rest):
            reply = reply or not tags
        else:
            break
        rest = rest[match.end() :]
    words = unicodedata.normalize("NFKC", " ".join(tags))
    version, place, odd = _VERSION.search(words), _PLACE.search(words), _PART_VERSION.search(words)
    return Subject(
        printable(rest),
        int(version[1]) if version else 1,
        int(place[1]) if place else None,
        int(place[2]) if place else None,
        tagged=bool(tags),
        reply=reply,
        odd_version=odd[1].lower() if odd else "",
    )


def without_version(title: str) -> str:
    """To compare titles: `v2: TITLE`, `TITLE (v2)` and `Title` are one patch's."""
    match = _VERSION_IN_TITLE.match(title)
    return (match["title"] if match else title).casefold()


def printable(title: str) -> str:
    """Without what could command a terminal, and no longer than anybody reads."""
    text = "".join(char for char in _COLOUR.sub("", title) if char.isprintable())
    return text if len(text) <= MAX_TITLE else f"{text[:MAX_TITLE]}…"

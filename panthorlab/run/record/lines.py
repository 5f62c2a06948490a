# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines of an event log: JSON objects, each with a checksum that also covers the line before. Pure functions.

`{"time":…,"event":…,…,"c":"1a2b3c4d"}`: `c` is the CRC-32 of the line without `c`, begun with that of the line before
(0 for the first). So a flipped bit, a line that is missing, doubled or moved, all show in the next `c`. Lines of older
versions have none; once a line has one, all that follow must.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator

from panthorlab.jsonvalue import JsonObject

_CHECKED = re.compile(rb'^(?P<body>\{.*),"c":"(?P<sum>[0-9a-f]{8})"\}$', re.DOTALL)
_BROKEN = "it does not follow from the line before: it was changed, or lines are missing, doubled or in another order"


class DamagedError(ValueError):
    """`number`: of the line, from 1. The text says what is wrong with it."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(what)
        self.number = number


def encode(event: JsonObject, before: int) -> bytes:
    """The line of an event, with its newline. `before`: `link` of the line before."""
    body = json.dumps(event, separators=(",", ":")).encode()
    return b'%s,"c":"%08x"}\n' % (body[:-1], zlib.crc32(body, before))


def link(line: bytes) -> int:
    """What the checksum of the next line begins with. `line`: without its newline; empty if there is none."""
    return zlib.crc32(line)


def decode(lines: Iterable[bytes]) -> Iterator[JsonObject]:
    """The events of whole lines, without `c`. Raises DamagedError at the first line that is not as it was written."""
    before, checked = b"", False
    for number, line in enumerate(lines, 1):
        match = _CHECKED.match(line)
        if match is None and checked:
            raise DamagedError(number, "it has no checksum")
        if match and int(match["sum"], 16) != zlib.crc32(match["body"] + b"}", link(before)):
            # A line without a checksum is vouched for by the next one only: it is the doubtful one then.
            raise DamagedError(number if checked or number == 1 else number - 1, _BROKEN)
        checked = match is not None
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            raise DamagedError(number, "it is no JSON") from None
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            raise DamagedError(number, "it is no event")
        event.pop("c", None)
        yield event
        before = line

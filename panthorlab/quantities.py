# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers of the command line: plain decimal ones, within what can be carried out. Each raises ArgumentTypeError."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable

from panthorlab.run.limits import LONGEST

_WHOLE = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_TIME = re.compile(r"\+?(?P<number>[0-9]{1,20}(?:\.[0-9]*)?|\.[0-9]+)(?P<unit>[smh]?)", re.ASCII)


def whole(least: int, most: int) -> Callable[[str], int]:
    """Parser of a whole number from `least` to `most`; what is more is a typing error, and could not be carried out."""

    def parse_whole(text: str) -> int:
        if not _WHOLE.fullmatch(text):
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no whole number")
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        if int(text) > most:
            raise argparse.ArgumentTypeError(f"must be at most {most}")
        return int(text)

    return parse_whole


iterations = whole(1, 10_000_000)
boots = whole(1, 10_000)
jobs = whole(1, 1000)
version = whole(1, 10_000)
seed = whole(-(1 << 63), (1 << 63) - 1)


def duration(text: str) -> float:
    """Seconds; e.g. `90s`, `20m`, `2h`, or a bare number."""
    match = _TIME.fullmatch(text.removeprefix("+"))
    if match is None:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no time; write e.g. 90s, 20m, 2h")
    value = float(match["number"]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match["unit"]]
    if value <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    if value > LONGEST:
        raise argparse.ArgumentTypeError(f"must be at most {LONGEST / 3600:g}h")
    return value

# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of the commands on many runs."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Final

from panthorlab.quantities import whole

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_AGES: Final = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_SIZE: Final = re.compile(r"(?P<number>[0-9]{1,15})(?P<unit>[KMGT]?)", re.ASCII)
_AGE: Final = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[hdw])", re.ASCII)


def add_history(parser: argparse.ArgumentParser) -> None:
    """Of `history`."""
    _add_directories(parser)
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="DIR",
        help="where database and pages go (default: DIR/history of the first)",
    )
    parser.add_argument("--rebuild", action="store_true", help="read all runs again, into a new database")
    parser.add_argument("--json", action="store_true", help="print all of it as JSON on stdout")


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Of `runs`."""
    _add_directories(parser)
    parser.add_argument("--json", action="store_true", help='print {"runs": […]}')


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Of `compare`."""
    parser.add_argument("old", type=Path, metavar="OLD", help="directory of a run, or of a matrix")
    parser.add_argument("new", type=Path, metavar="NEW", help="another one")
    parser.add_argument(
        "--fail-on-worse",
        action="store_true",
        help="exit with 1 if NEW has new signatures or significantly higher rates, 3 if something fails that did not "
        "and may be chance, 4 if something was lost or did not run there",
    )
    parser.add_argument("--json", action="store_true", help="print what changed as JSON on stdout")


def add_prune(parser: argparse.ArgumentParser) -> None:
    """Of `prune`."""
    _add_directories(parser)
    parser.add_argument("--older", type=_age, metavar="AGE", help="runs that began longer ago: 12h, 30d, 8w")
    parser.add_argument("--keep", type=whole(0, 1_000_000), metavar="N", help="all but the newest N")
    parser.add_argument(
        "--size", type=_size, metavar="BYTES", help="the oldest, until the rest takes no more: 500M, 20G"
    )
    parser.add_argument(
        "--except",
        dest="spared",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="never this; may be repeated",
    )
    parser.add_argument("--named", action="store_true", help="also runs that were given a name by --output")
    parser.add_argument(
        "--keep-record",
        action="store_true",
        help="leave the log, the reports and the build log, from which history and reports are made; delete the rest",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be deleted, and delete nothing")
    parser.add_argument("--json", action="store_true", help="print what was deleted, and what was not, as JSON")


def _add_directories(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory", nargs="*", type=Path, metavar="DIR", help="directories with runs at or below them (default: runs)"
    )


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no size; write e.g. 500M, 20G")
    return int(match["number"]) * _UNITS[match["unit"]]


def _age(text: str) -> float:
    match = _AGE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no age; write e.g. 12h, 30d, 8w")
    return int(match["number"]) * _AGES[match["unit"]]

# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of the commands on many runs."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_history(parser: argparse.ArgumentParser) -> None:
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


def _add_directories(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory", nargs="*", type=Path, metavar="DIR", help="directories with runs at or below them (default: runs)"
    )

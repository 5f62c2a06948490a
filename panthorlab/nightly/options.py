# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of `nightly`."""

from __future__ import annotations

import argparse
from pathlib import Path

from panthorlab.arguments import add_jail


def add_nightly(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="nightly.yaml: trees, kernels, boards, suites, budget")
    parser.add_argument(
        "--force", action="store_true", help="also test branches where nothing changed since the last judged night"
    )
    parser.add_argument("--report", action="store_true", help="do nothing, and show the last night as it is on record")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what the night would do, and touch nothing; the trees are asked for their branches",
    )
    add_jail(parser)
    parser.add_argument("--json", action="store_true", help="print the night as JSON on stdout")
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")

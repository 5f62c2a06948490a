# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of `notify`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_notify(parser: argparse.ArgumentParser) -> None:
    """Of `notify`."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="of a run, a night, or with runs below it")
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="YAML file whose `notify:` says who is to be told"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be sent to whom, and send nothing")
    parser.add_argument("--json", action="store_true", help="print notice and deliveries as JSON on stdout")

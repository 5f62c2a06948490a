# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of `panthorlab record` and `panthorlab replay-trace`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_recording(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--recording",
        type=Path,
        required=True,
        metavar="FILE",
        help="where the recording goes; a name that ends in .xz or .gz has it compressed",
    )


def add_replay_trace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a recording, plain or compressed")
    parser.add_argument("--model", metavar="NAME", help="the emulated GPU (default: the one with the board's GPU_ID)")
    parser.add_argument("--all", action="store_true", help="every register that differs, not the first alone")
    parser.add_argument("--json", action="store_true", help='print {"differences": […], …}')

# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of `panthorlab matrix`."""

from __future__ import annotations

import argparse

from panthorlab.arguments import KERNEL, add_boots, add_driver


def add_matrix(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(recording=None)
    parser.add_argument(
        "source",
        nargs="*",
        metavar="SRC",
        help="a kernel to build, as `--base` of validate takes it: a directory, PATH@REV, debian:VERSION, …",
    )
    parser.add_argument(
        "--kernel", action="append", default=[], metavar="K", help=f"a kernel that is built: {KERNEL}; may be repeated"
    )
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="FRAGMENT",
        help="stack a config fragment on those that are built; may be repeated",
    )
    add_driver(parser, "build")
    add_boots(parser)
    parser.add_argument("--all", action="store_true", help="also the rows that are good on all kernels")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown, for a page or a mail")
    parser.add_argument("--dry-run", action="store_true", help="print which kernels would be built, and do nothing")

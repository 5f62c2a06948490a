# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of `panthorlab matrix`."""

from __future__ import annotations

import argparse

from panthorlab.arguments import add_board, add_driver, add_hosts, add_jail, add_lab, add_output, add_run


def add_matrix(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(recording=None)
    parser.add_argument(
        "source",
        nargs="*",
        metavar="SRC",
        help="a kernel to build, as `--base` of validate takes it: a directory, PATH@REV, debian:VERSION, …",
    )
    parser.add_argument(
        "--kernel",
        action="append",
        default=[],
        metavar="K",
        help="a kernel that is built: store key, RUN:before, RUN:after, build directory, or URL#sha256=HEX; may be "
        "repeated",
    )
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="FRAGMENT",
        help="stack a config fragment on those that are built; may be repeated",
    )
    add_driver(parser, "build")
    add_jail(parser)
    add_board(parser)
    add_lab(parser)
    add_run(parser)
    add_hosts(parser)
    add_output(parser)
    parser.add_argument("--all", action="store_true", help="also the rows that are good on all kernels")

# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of `bisect` and `bisect-step`."""

from __future__ import annotations

import argparse
from pathlib import Path

from panthorlab.arguments import add_board, add_driver, add_jail, add_lab, add_output
from panthorlab.quantities import boots, duration, iterations, jobs, seed


def add_bisect(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the history")
    group.add_argument("--base", type=Path, metavar="TREE", help="git tree of the kernel")
    group.add_argument(
        "--good", action="append", default=[], metavar="REV", help="a commit without the fault; may be repeated"
    )
    group.add_argument("--bad", metavar="REV", help="a later commit with it")
    group.add_argument(
        "--skip", action="append", default=[], metavar="REV", help="never test this commit; may be repeated"
    )
    group.add_argument("--replay", type=Path, metavar="FILE", help="take ends, terms and skips from a `git bisect log`")
    group.add_argument("--term-old", metavar="WORD", help="what to call the state before (default: good)")
    group.add_argument("--term-new", metavar="WORD", help="what to call the state after (default: bad)")
    group.add_argument(
        "--resume", type=Path, metavar="DIR", help="go on with a bisect that was stopped; all else is on record"
    )
    _add_kernels(parser)
    _add_fault(parser, boots_by_default=24, text="boots of an end, after which a fault that did not show is not there")
    parser.add_argument(
        "--jobs",
        type=jobs,
        default=1,
        metavar="N",
        help="copies of an emulated board to boot at once; the next kernel is built meanwhile (default: %(default)s)",
    )
    parser.add_argument("--time-limit", type=duration, metavar="TIME", help="stop after this long, to be resumed")
    add_output(parser)
    parser.add_argument("--dry-run", action="store_true", help="print how much there is to search, and do nothing")
    parser.set_defaults(tree="")  # a night knows one in which much is built


def add_step(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tree",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="work tree that git has checked out (default: this directory)",
    )
    _add_kernels(parser)
    _add_fault(parser, boots_by_default=1, text="boots of the commit, which is bad if one of them shows the fault")
    parser.set_defaults(jobs=1, time_limit=None)
    add_output(parser, "where the directories DATE-TIME-xxxx of the commits go (default: runs)")


def _add_kernels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", action="append", default=[], metavar="FRAGMENT", help="stack a config fragment; may be repeated"
    )
    add_driver(parser, "build")
    add_jail(parser)
    add_board(parser)
    add_lab(parser)
    parser.set_defaults(deep=False, coverage=False, recording=None, known=[], overlay=None)


def _add_fault(parser: argparse.ArgumentParser, *, boots_by_default: int, text: str) -> None:
    group = parser.add_argument_group("the fault")
    group.add_argument("--suite", action="append", default=[], metavar="NAME", help="what shows it; may be repeated")
    group.add_argument(
        "--signature",
        default="",
        metavar="SIG",
        help="the one finding to search for: a signature, a kind, or a regular expression for a whole signature "
        "(default: what the bad end shows most often and the good end does not)",
    )
    group.add_argument(
        "--iterations",
        type=iterations,
        metavar="N",
        help="iterations of each claim workload in a boot (default: the suite's)",
    )
    group.add_argument(
        "--boots", type=boots, default=boots_by_default, metavar="N", help=f"{text} (default: %(default)s)"
    )
    group.add_argument(
        "--seed", type=seed, default=1, metavar="N", help="of the first boot of each commit (default: %(default)s)"
    )

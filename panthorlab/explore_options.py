# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of `panthorlab explore`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from panthorlab.arguments import KERNEL
from panthorlab.board.boardtime import TimeName
from panthorlab.board.methods import AUTO
from panthorlab.quantities import duration, iterations, jobs, seed
from panthorlab.run.explore.strategies import CHOICES

ABOUT: Final = """\
Boots one kernel again and again in exact time, where a seed is one interleaving of driver and GPU, and runs workloads
of suites in iterations, each with other latencies of the GPU. Counts the different interleavings, says when no new ones
are to be expected, and stops at the first finding that nobody expected: that is made short, to the fewest latencies
that bring it and the two events that must swap, with a command that repeats it.

    panthorlab explore --kernel K --suite heap-exit-claim --seconds 2m
    panthorlab explore --kernel K --suite heap-exit-watch --workload heap-exit/clients --strategy pct --strategy aimed
    panthorlab explore --kernel K --suite heap-exit-claim --seeds 2000 --output DIR      (again: goes on)
    panthorlab explore --kernel K --suite heap-exit-claim --strategy aimed --between panthor_vm_destroy tick_work:end
    panthorlab explore --kernel K --suite ./test_race.py --place tick_work --place panthor_sched.c:3400-3420
"""
EXIT_STATUS: Final = """\
exit status: 0 nothing found · 1 a finding · 2 usage or bad input · 4 lab or infrastructure, or something could not be
judged, or a --place was never reached · 130 interrupted; the same command with --output DIR goes on"""


def add_explore(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.description, parser.epilog = ABOUT, EXIT_STATUS
    parser.set_defaults(tag=None, boot_method=AUTO, wait=3600.0, time=TimeName.EXACT)
    _add_explored(parser)
    _add_search(parser)
    _add_boots(parser)


def _add_explored(parser: argparse.ArgumentParser) -> None:
    """What runs."""
    parser.add_argument("--kernel", required=True, metavar="K", help=KERNEL)
    parser.add_argument(
        "--suite",
        action="append",
        default=[],
        required=True,
        metavar="NAME",
        help="a suite, all that start so, or a file (./test_mine.py); what it runs in iterations is explored; may be "
        "repeated",
    )
    parser.add_argument(
        "--workload",
        action="append",
        default=[],
        metavar="NAME",
        help="only this workload of the suites, e.g. heap-exit/exit; may be repeated",
    )


def _add_search(parser: argparse.ArgumentParser) -> None:
    """How much of it, and which interleavings."""
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--seeds", type=iterations, metavar="N", help="so many iterations, each with its own latencies")
    much.add_argument(
        "--seconds", type=duration, metavar="TIME", help="as many as can be had in this time (default: 60s)"
    )
    parser.add_argument(
        "--strategy",
        action="append",
        choices=list(CHOICES),
        help="how latencies are drawn; may be repeated (default: all in turn). "
        + "; ".join(f"{name}: {meaning}" for name, meaning in CHOICES.items()),
    )
    parser.add_argument(
        "--between",
        nargs=2,
        default=[],
        metavar=("POINT", "POINT"),
        help="aim only between these two points of the iteration: `panthor_vm_destroy` is where this function of the "
        "driver is entered first, `tick_work:2` where it is entered for the second time, `tick_work:end` where it is "
        "left; `W AS1_COMMAND:2` is the second write to that register, `I job` the first interrupt of that line. "
        "Without a number, the second point is the first one of its name after the first",
    )
    parser.add_argument(
        "--place",
        action="append",
        default=[],
        metavar="PLACE",
        help="a place of the driver of which it is told how much of it ran: a function, FILE.c:LINE, or "
        "FILE.c:FIRST-LAST; one that was not reached is an error, for nothing is known of it then; may be repeated",
    )
    parser.add_argument("--seed", type=seed, default=1, metavar="N", help="the first seed (default: %(default)s)")
    parser.add_argument(
        "--keep-going", action="store_true", help="do not stop at the first finding; all different ones are made short"
    )


def _add_boots(parser: argparse.ArgumentParser) -> None:
    """On what boards, what is expected of them, and where the result goes."""
    parser.add_argument(
        "--jobs",
        type=jobs,
        default=None,
        metavar="J",
        help="boots at once, each on a CPU of its own (default: all CPUs)",
    )
    parser.add_argument("--board", action="append", metavar="NAME", help="an emulated board (default: qemu-g610)")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="gpu.NAME=VALUE",
        help="set a parameter of the emulated GPU (`panthorlab gpu params` lists them); may be repeated",
    )
    parser.add_argument(
        "--known",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a list of findings that are expected (as of `run`); may be repeated",
    )
    parser.add_argument("--overlay", metavar="DIR", help="laid over the board's root file system")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="directory of the run (default: runs/DATE-TIME-xxxx); one that holds such a run goes on",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")

# SPDX-License-Identifier: GPL-2.0-or-later
"""Groups of options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from panthorlab.board.boardtime import HELP as TIME_HELP
from panthorlab.board.boardtime import TIMES
from panthorlab.board.methods import AUTO, CHOICES, HELP
from panthorlab.kernel.driver import DRIVERS, PANTHOR
from panthorlab.quantities import boots, duration, iterations, jobs, seed, version

KERNEL: Final = "store key, RUN:before, RUN:after, build directory, or URL#sha256=HEX"


def add_source(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("kernel sources and patches")
    group.add_argument(
        "patch",
        nargs="*",
        metavar="PATCH",
        help="a file, an mbox, a directory of patches, `-` (stdin), a git range of --base, or a lore message-id",
    )
    group.add_argument(
        "--base",
        metavar="SRC",
        help="kernel to patch: a directory, a git tree (PATH@REV), debian:VERSION, kernel.org:VERSION, or "
        "linux-source-X.Y; default: the newest 6.12.y this machine's apt knows",
    )
    group.add_argument(
        "--revert", action="store_true", help="the base already has the patch: *before* is the base without it"
    )
    group.add_argument("--swap", action="store_true", help="exchange the sides")
    group.add_argument(
        "--patch-version", type=version, metavar="N", help="of a series with several versions take vN, not the newest"
    )
    group.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="FRAGMENT",
        help="stack a config fragment: a name of kernel_configs/ (kasan, prove-locking, …) or a file; may be repeated",
    )
    add_driver(parser, "build")


def add_driver(parser: argparse.ArgumentParser, does: str) -> None:
    parser.add_argument(
        "--driver",
        choices=[driver.name for driver in DRIVERS],
        help=f"{does} kernels whose GPU this driver takes; tests that want more than it can do are left out "
        + (f"(default: {PANTHOR.name})" if does == "build" else "(default: the kernel's)"),
    )


def add_jail(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-jail",
        action="store_true",
        help="let the code of trees and patches run unprotected, where bubblewrap cannot be had; the report says so",
    )


def add_board(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("board")
    group.add_argument(
        "--board",
        action="append",
        metavar="NAME",
        help="a file of board_configs/, or a path (./mine.yaml); default: qemu-g610; repeat it for several boards",
    )
    group.add_argument("--time", choices=TIMES, help=TIME_HELP)
    group.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="gpu.NAME=VALUE",
        help="set a parameter of the emulated GPU (`panthorlab gpu params` lists them); may be repeated",
    )


def add_lab(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("real boards")
    group.add_argument("--tag", metavar="TAG", help="all boards with this tag that are free, instead of --board")
    group.add_argument(
        "--boot-method", choices=CHOICES, default=AUTO, help=f"{HELP} (default: %(default)s, the board's file decides)"
    )
    group.add_argument(
        "--wait",
        type=duration,
        default=3600.0,
        metavar="TIME",
        help="how long to wait for a --board that somebody else has (default: 1h)",
    )


def add_hosts(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("other machines (docs/hosts.md)")
    group.add_argument(
        "--hosts",
        metavar="ADDRESS",
        help="build kernels and boot emulated boards on the workers of this scheduler of Dask's distributed "
        "(tls://HOST:8786), as many at once as these take, whatever --jobs says; default: on this machine",
    )
    for name, text in (("ca", "certificate of the authority"), ("cert", "own certificate"), ("key", "own key")):
        group.add_argument(
            f"--hosts-tls-{name}",
            type=Path,
            metavar="FILE",
            help=f"{text}, in PEM format, for tls:// (default: from distributed's configuration)",
        )
    group.add_argument(
        "--hosts-insecure",
        action="store_true",
        help="allow tcp:// to another machine: whoever reaches the scheduler can run code on its workers",
    )
    group.add_argument(
        "--hosts-lease",
        type=duration,
        metavar="TIME",
        help="the workers end boots of a panthorlab that they have not heard of for so long (default: 3m)",
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what runs, and how much")
    _add_tests(group)
    _add_boots(group)


def _add_tests(group: argparse._ArgumentGroup) -> None:
    """Which tests and workloads, and what is done with what they show."""
    group.add_argument(
        "--suite",
        action="append",
        default=[],
        metavar="NAME",
        help="only this suite, all that start so, or a file (./test_mine.py); may be repeated",
    )
    group.add_argument(
        "--deep",
        action="store_true",
        help="also the tests that take long, and all others once on a debug kernel (KASAN, lockdep, …), built beside "
        "the plain one; `run` boots no other kernel than K",
    )
    group.add_argument(
        "--iterations",
        type=iterations,
        metavar="N",
        help="iterations of each claim workload on *after* (default: the suite's)",
    )
    group.add_argument(
        "--known",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a list of known findings, WORKLOAD@KIND or WORKLOAD@SIGNATURE a line (drm-ci's format): reported, never "
        "blamed; may be repeated",
    )
    group.add_argument(
        "--coverage",
        action="store_true",
        help="measure which lines of panthor run, in all, per suite, and of the patch (in exact time always)",
    )


def _add_boots(group: argparse._ArgumentGroup) -> None:
    """In which boots, and for how long."""
    group.add_argument("--boots", type=boots, default=2, metavar="N", help="boots of each side (default: %(default)s)")
    group.add_argument(
        "--overlay",
        metavar="NAME|DIR",
        help="laid over the board's root file system: a directory, or one of `panthorlab overlay`",
    )
    group.add_argument(
        "--jobs",
        type=jobs,
        default=2,
        metavar="N",
        help="copies of an emulated board to run at once, each on a CPU of its own (default: %(default)s)",
    )
    group.add_argument(
        "--time-limit",
        type=duration,
        metavar="TIME",
        help="stop the run after this long, e.g. 90s, 20m, 2h; it ends in `error`, never in a pass",
    )
    group.add_argument(
        "--seed",
        type=seed,
        default=1,
        metavar="N",
        help="seed of the emulated GPU's random choices (default: %(default)s)",
    )


def add_output(
    parser: argparse.ArgumentParser, text: str = "directory of the run (default: runs/DATE-TIME-xxxx)"
) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--output", type=Path, metavar="DIR", help=text)
    group.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    group.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")


def add_boots(parser: argparse.ArgumentParser) -> None:
    """All that a command takes which boots kernels and runs suites on them."""
    for part in (add_jail, add_board, add_lab, add_run, add_hosts, add_output):
        part(parser)


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="print the plan, as `panthorlab check`, and do nothing")

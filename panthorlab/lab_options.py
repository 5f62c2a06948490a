# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of the commands that look after boards, make overlays for them, and give them to LAVA."""

from __future__ import annotations

import argparse
from pathlib import Path

from panthorlab.arguments import KERNEL, add_jail
from panthorlab.quantities import boots, iterations


def add_overlay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overlay_name", nargs="?", metavar="NAME", help="which; without one they are listed")
    parser.add_argument(
        "--from",
        dest="packages",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="an overlay of one's own, from this Debian package and its dependencies; may be repeated",
    )
    parser.add_argument(
        "--program",
        dest="programs",
        action="append",
        default=[],
        metavar="PATH",
        help="of these packages, this program with its shared objects; may be repeated",
    )
    parser.add_argument(
        "--load",
        action="append",
        default=[],
        metavar="NAME",
        help="a shared object that a program loads by name; may be repeated",
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="PATH",
        help="a file or directory that a program reads; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help='print {"overlay": DIR}')
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")


def add_lava(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["job"], help="job: print a LAVA job definition, and write what it fetches")
    parser.add_argument("--board", required=True, metavar="NAME", help="a file of board_configs/: its DTB, log level")
    parser.add_argument("--kernel", required=True, metavar="K", help=KERNEL)
    add_jail(parser)
    parser.add_argument(
        "--suite",
        action="append",
        default=[],
        required=True,
        metavar="NAME",
        help="only this suite, or all that start so; may be repeated",
    )
    parser.add_argument(
        "--iterations", type=iterations, metavar="N", help="iterations of each claim workload (default: the suite's)"
    )
    parser.add_argument(
        "--rootfs",
        required=True,
        metavar="URL",
        help="root file system with a shell, awk and insmod: a cpio (ramdisk) or a tar (NFS root)",
    )
    parser.add_argument(
        "--artifacts", type=Path, required=True, metavar="DIR", help="where Image, device tree and overlay are written"
    )
    parser.add_argument(
        "--url-base", metavar="URL", help="where LAVA's dispatcher finds that directory (default: file://DIR)"
    )
    parser.add_argument(
        "--firmware", type=Path, metavar="FILE", help="mali_csffw.bin, if the root file system does not have it"
    )
    parser.add_argument("--device-type", metavar="NAME", help="LAVA's (default: the DTB's name, e.g. rk3588-rock-5b)")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="device tag; may be repeated")
    parser.add_argument(
        "--prompt",
        action="append",
        default=[],
        metavar="REGEX",
        help="shell prompt of the root file system; may be repeated",
    )
    parser.add_argument("--login", metavar="USER", help="log in as this user first")
    parser.add_argument(
        "--visibility",
        choices=["public", "personal"],
        default="public",
        help="who sees the job and its log (default: %(default)s)",
    )


def add_boards(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help='print {"boards": […]}')
    actions = parser.add_subparsers(dest="action", metavar="ACTION")

    def add(name: str, text: str, *, board: bool = True) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="say it as JSON")
        if board:
            action.add_argument("board_name", metavar="NAME", help="a real board")
        return action

    add("schema", "print the JSON Schema of board files, for editors", board=False)
    trust = add("trust", "show the fingerprints of a board's SSH host keys and pin them")
    trust.add_argument("--yes", action="store_true", help="do not ask: the fingerprints were compared elsewhere")
    train = add("train", "boot the known-good kernel again and again; quarantine the board if that fails")
    train.add_argument("--boots", type=boots, metavar="N", help="boots (default: the board file's health_boots)")
    sick = add("quarantine", "keep a board from being used")
    sick.add_argument("--reason", required=True, metavar="TEXT", help="told to everybody who wants the board")
    release = add("release", "lift a board's quarantine")
    release.add_argument("--force", action="store_true", help="also end the lease of a run that has the board")

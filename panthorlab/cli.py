# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: options and dispatch, no logic. Exit statuses are those of `docs/commands.md`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from panthorlab import __version__
from panthorlab.errors import PanthorlabError

EXIT_STATUS = """\
exit status: 0 as wanted · 1 the kernel under test is at fault · 2 usage or bad input · 3 inconclusive, or unchanged
when a fix was expected · 4 lab or infrastructure · 130 interrupted, resumable by `panthorlab resume RUN`"""

# command -> module:function; modules are imported only when their command runs, so `--help` is instant.
COMMANDS = {
    "validate": "panthorlab.run.validate:main",
    "run": "panthorlab.run.single:main",
    "resume": "panthorlab.run.validate:resume_main",
    "build": "panthorlab.run.build:main",
    "scan": "panthorlab.run.tools:scan",
    "report": "panthorlab.run.tools:report",
    "boards": "panthorlab.run.tools:boards",
    "doctor": "panthorlab.run.tools:doctor",
}


def _add_source(parser: argparse.ArgumentParser) -> None:
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
        "--config",
        action="append",
        default=[],
        metavar="FRAGMENT",
        help="stack a config fragment: a name of kernel_configs/ (kasan, prove-locking, …) or a file; may be repeated",
    )


def _add_board(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("board")
    group.add_argument(
        "--board", default="qemu-g610", metavar="NAME", help="a file of board_configs/ (default: %(default)s)"
    )
    group.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="gpu.NAME=VALUE",
        help="set a parameter of the emulated GPU (`panthorlab gpu params` lists them); may be repeated",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what runs, and how much")
    group.add_argument(
        "--suite",
        action="append",
        default=[],
        metavar="NAME",
        help="only this suite, or all that start so; may be repeated",
    )
    group.add_argument(
        "--iterations",
        type=_positive,
        metavar="N",
        help="iterations of each claim workload on *after* (default: the suite's)",
    )
    group.add_argument(
        "--boots", type=_positive, default=2, metavar="N", help="boots of each side (default: %(default)s)"
    )
    group.add_argument(
        "--jobs",
        type=_positive,
        default=2,
        metavar="N",
        help="boards to run at once, each on a CPU of its own (default: %(default)s)",
    )
    group.add_argument(
        "--time-limit",
        type=_duration,
        metavar="TIME",
        help="stop the run after this long, e.g. 90s, 20m, 2h; it ends in `error`, never in a pass",
    )
    group.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="seed of the emulated GPU's random choices (default: %(default)s)",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--output", type=Path, metavar="DIR", help="directory of the run (default: runs/DATE-TIME-xxxx)")
    group.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    group.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _duration(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], units[text[-1]]) if text and text[-1] in units else (text, 1)
    try:
        value = float(number) * unit
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write e.g. 90s, 20m, 2h") from None
    if value <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def _validate_parser(parser: argparse.ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument(
        "--before",
        metavar="K",
        help="a built kernel instead of a build: store key, RUN:before, RUN:after, or build directory",
    )
    parser.add_argument("--after", metavar="K", help="as --before, for the other side")
    parser.add_argument(
        "--expect", choices=["fix", "no-change"], default="fix", help="what the patch promises (default: %(default)s)"
    )
    _add_board(parser)
    _add_run(parser)
    _add_output(parser)


def _run_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kernel", required=True, metavar="K", help="store key, RUN:before, RUN:after, or build directory"
    )
    parser.add_argument("--overlay", type=Path, metavar="DIR", help="files laid over the board's root file system")
    _add_board(parser)
    _add_run(parser)
    _add_output(parser)
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND ARG…",
        help="run this on the board instead of suites, and exit with its status",
    )


def _scan_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="*",
        default=["-"],
        metavar="FILE",
        help="kernel logs of any kind, plain, .gz or .xz; `-` is stdin",
    )
    parser.add_argument("--json", action="store_true", help='print {"findings": […]}')
    parser.add_argument(
        "--fail-on",
        action="append",
        default=[],
        metavar="KIND",
        help="exit 1 if a finding of this kind is found; may be repeated",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="panthorlab",
        description="Does a Linux panthor patch do what it claims, on a Mali CSF GPU, without breaking anything else?",
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"panthorlab {__version__}")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=text, description=text, epilog=EXIT_STATUS, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    _validate_parser(add("validate", "the main job: build without and with a patch, boot both, compare"))
    _run_parser(add("run", "boot one kernel; run suites or a command on it"))
    resume = add("resume", "continue an interrupted run")
    resume.add_argument("run", type=Path, metavar="RUN")
    resume.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    resume.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")
    build = add("build", "build kernels into the store and print their keys")
    _add_source(build)
    _add_board(build)
    _add_output(build)
    _scan_parser(add("scan", "find GPU faults and kernel splats in any kernel log"))
    report = add("report", "write a run's reports again (console, JSON, JUnit, HTML)")
    report.add_argument("run", type=Path, metavar="RUN")
    report.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    boards = add("boards", "list boards")
    boards.add_argument("--json", action="store_true")
    doctor = add("doctor", "say what is missing on this machine and how to get it")
    doctor.add_argument("--json", action="store_true")
    commands.add_parser("gpu", help="the emulated GPU by itself: serve, params, firmware", add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["gpu"]:
        from panthorlab.gpu.__main__ import main as gpu_main

        return gpu_main(arguments[1:])
    options = _parser().parse_args(arguments)
    module, _, function = COMMANDS[options.name].partition(":")
    try:
        status = getattr(importlib.import_module(module), function)(options)
        sys.stdout.flush()
    except PanthorlabError as error:
        print(f"panthorlab: {error}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("panthorlab: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return int(status)


if __name__ == "__main__":
    sys.exit(main())

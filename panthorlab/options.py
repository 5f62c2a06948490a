# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line's options, one function a command; and errors in them, with what was probably meant."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from panthorlab import __version__
from panthorlab.arguments import (
    KERNEL,
    add_board,
    add_boots,
    add_driver,
    add_dry_run,
    add_hosts,
    add_jail,
    add_lab,
    add_output,
    add_run,
    add_source,
)
from panthorlab.bisect_options import add_bisect, add_step
from panthorlab.errors import UsageError
from panthorlab.explore_options import add_explore
from panthorlab.history.options import add_compare, add_history, add_prune, add_runs
from panthorlab.kernel.driver import by_name
from panthorlab.lab_options import add_boards, add_lava, add_overlay
from panthorlab.matrix_options import add_matrix
from panthorlab.mmio.options import add_recording, add_replay_trace
from panthorlab.nightly.options import add_nightly
from panthorlab.notify.options import add_notify
from panthorlab.parser import Parser
from panthorlab.quantities import boots, duration, iterations, port, seed

EXIT_STATUS = """\
exit status: 0 as wanted · 1 the kernel under test is at fault · 2 usage or bad input · 3 inconclusive, or unchanged
when a fix was expected · 4 lab or infrastructure · 130 interrupted, resumable by `panthorlab resume RUN`"""


def _validate_parser(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    parser.add_argument("--before", metavar="K", help=f"a built kernel instead of a build: {KERNEL}")
    parser.add_argument("--after", metavar="K", help="as --before, for the other side")
    parser.add_argument(
        "--expect", choices=["fix", "no-change"], default="fix", help="what the patch promises (default: %(default)s)"
    )
    add_boots(parser)
    add_dry_run(parser)


def _run_parser(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(recording=None)
    parser.add_argument("--kernel", required=True, metavar="K", help=KERNEL)
    parser.add_argument(
        "--workload",
        action="append",
        default=[],
        metavar="NAME",
        help="of the suites only this workload, whatever its role as often as --iterations says; may be repeated",
    )
    add_driver(parser, "take")
    add_boots(parser)
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND ARG…",
        help="run this on the board instead of suites, and exit with its status",
    )


def _fuzz_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kernel", required=True, metavar="K", help=KERNEL)
    parser.add_argument(
        "--seconds",
        type=duration,
        default=60.0,
        metavar="TIME",
        help="how long to try scripts; making one short comes on top (default: %(default)g)",
    )
    parser.add_argument(
        "--seed",
        type=seed,
        default=1,
        metavar="N",
        help="seed of the scripts and of the emulated GPU's random choices (default: %(default)s)",
    )
    parser.add_argument("--script", type=Path, metavar="FILE", help="perform this script alone, up to eight times")
    add_jail(parser)
    add_board(parser)
    add_lab(parser)
    add_output(parser)


def _doctor_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repair",
        action="store_true",
        help="remove from the cache what is damaged or was left by killed runs; it is made again",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="boot a kernel twice per seed in exact time, once beside busy loops; find the first event that differs",
    )
    group = parser.add_argument_group("with --exact")
    group.add_argument("--kernel", metavar="K", help=KERNEL)
    group.add_argument(
        "--suite", action="append", default=[], metavar="NAME", help="what runs (default: heap-exit-claim)"
    )
    group.add_argument(
        "--iterations", type=iterations, default=4, metavar="N", help="of each claim workload (default: %(default)s)"
    )
    group.add_argument("--seeds", type=boots, default=1, metavar="N", help="seeds 1 to N (default: %(default)s)")
    group.add_argument("--board", action="append", metavar="NAME", help="emulated board (default: qemu-g610)")
    group.add_argument("--param", action="append", default=[], metavar="gpu.NAME=VALUE", help="as `run` takes it")
    add_output(parser)


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="where finished runs of the same patches are looked for (default: %(default)s)",
    )


def _b4_check_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base", metavar="SRC", help="kernel to patch (default: the git tree in the current directory, as b4 has it)"
    )
    _add_runs(parser)
    parser.add_argument(
        "--lines",
        action="store_true",
        help="print a line for each complaint instead of JSON, as b4.prep-perpatch-check-cmd wants it",
    )
    parser.add_argument(
        "--validate", action="store_true", help="validate the patch now, with what follows `--` as options"
    )
    parser.add_argument("arguments", nargs="*", metavar="-- OPTION…", help="of validate: -- --suite leaks --time exact")


def _scan_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="*",
        default=["-"],
        metavar="FILE",
        help="kernel logs of any kind, plain, compressed (gzip, bzip2, xz) or in a tar or zip archive; `-` is stdin",
    )
    parser.add_argument("--json", action="store_true", help='print {"findings": […], "seen": {…}}')
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="OLD",
        help="tell what is new, gone or more often than in this log; may be repeated",
    )
    parser.add_argument(
        "--fail-on",
        action="append",
        default=[],
        metavar="KIND",
        help="exit 1 if a finding of this kind is found (with --compare: is new or more often); may be repeated",
    )


def _check_parser(parser: argparse.ArgumentParser) -> None:
    for part in (add_source, add_board, add_lab, add_run):
        part(parser)
    parser.add_argument("--json", action="store_true", help="print the plan as JSON on stdout")


def _record_parser(parser: argparse.ArgumentParser) -> None:
    _run_parser(parser)
    add_recording(parser)


def _replay_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "iteration",
        metavar="RUN:ITERATION",
        help="for instance runs/20261122-231500-1a2b:after1.1.3-17; of a test RUN:SUITE::TEST (the program that "
        "failed it, or else the last that it ran), or the program as the kernel log names it: RUN:after1.1.49-1",
    )
    parser.add_argument(
        "--trace-functions",
        action="store_true",
        help="print the calls of panthor's functions and of DRM's scheduler, with instruction counts",
    )
    parser.add_argument(
        "--gdb",
        nargs="?",
        const=0,
        type=port,
        metavar="PORT",
        help="then stop the guest right before the fault, and wait for gdb (default: on a private socket)",
    )
    add_output(parser)


def _resume_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN")
    add_jail(parser)
    add_hosts(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")


def _build_parser(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    parser.add_argument(
        "--each-commit",
        action="store_true",
        help="build every commit of the series; show what warnings each adds (W=1), what checkpatch.pl finds, wrong "
        "Fixes: tags, and the suites to run",
    )
    _add_runs(parser)
    add_jail(parser)
    add_hosts(parser)
    add_board(parser)
    add_output(parser)
    add_dry_run(parser)


def _report_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    parser.add_argument(
        "--kcidb",
        metavar="FILE",
        help="also write the run in KCIDB's I/O schema (docs/ci.md); `-` is stdout, instead of the summary",
    )
    parser.add_argument(
        "--mail",
        action="store_true",
        help="write to stdout the draft of an answer to the patch's mail, for `git send-email`; nothing is sent",
    )
    parser.add_argument(
        "--from",
        dest="sender",
        metavar="'NAME <ADDRESS>'",
        help="whose the answer is (default: git's user.name, user.email)",
    )


def _suites_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help='print {"suites": […]}')
    parser.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="-- ARGUMENT…",
        help="run pytest on them, e.g. -- --board qemu-g610 --kernel KEY -k reset",
    )


def _completion_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "tcsh"])


# In the order of `panthorlab --help`: name, what adds its options, what it does.
COMMANDS: Final[tuple[tuple[str, Callable[[argparse.ArgumentParser], None], str], ...]] = (
    ("validate", _validate_parser, "the main job: build without and with a patch, boot both, compare"),
    ("check", _check_parser, "show what validate would do with patches, and whether they fit; do nothing"),
    ("run", _run_parser, "boot one kernel; run suites or a command on it"),
    ("matrix", add_matrix, "run the suites on several kernels, and show where these differ"),
    ("bisect", add_bisect, "find the first bad commit of a git tree, also of a fault that shows only sometimes"),
    ("bisect-step", add_step, "the script for `git bisect run`: 0 good, 1 bad, 125 cannot be judged"),
    ("nightly", add_nightly, "test the branches of some trees, compare with the last good night, bisect what is new"),
    ("fuzz", _fuzz_parser, "try random sequences of panthor's calls on one kernel; make what finds a bug short"),
    ("explore", add_explore, "try many interleavings of driver and GPU; make what brings a finding short"),
    ("record", _record_parser, "as `run`, and record every access of the driver to the GPU's registers"),
    ("replay-trace", add_replay_trace, "feed a recording to the emulated GPU, and show the first difference"),
    ("replay", _replay_parser, "boot once more what ran in exact time, up to one iteration, with traces"),
    ("resume", _resume_parser, "continue an interrupted run"),
    ("build", _build_parser, "build kernels into the store and print their keys"),
    ("b4-check", _b4_check_parser, "check the mail on stdin for b4: fit, style, tags, and the verdict on record"),
    ("scan", _scan_parser, "find GPU faults and kernel splats in any kernel log"),
    ("report", _report_parser, "write a run's reports again (console, JSON, JUnit, HTML)"),
    ("history", add_history, "what all runs say together, as pages: trends, first and last seen, flake rates"),
    ("runs", add_runs, "list runs with verdict, age and size"),
    ("compare", add_compare, "what changed between two runs: verdict, rates, signatures"),
    ("prune", add_prune, "delete old runs, by age, number or size"),
    ("notify", add_notify, "tell those whom a file names what came of a run or a night, by webhook and mail"),
    ("boards", add_boards, "list boards and how they stand; look after them"),
    ("doctor", _doctor_parser, "say what is missing on this machine and how to get it"),
    ("overlay", add_overlay, "make real programs (Mesa, a shell) for emulated boards from Debian's packages"),
    ("lava", add_lava, "write LAVA jobs that run suites on a prebuilt kernel"),
    ("suites", _suites_parser, "print where the suites are, or run them with pytest"),
    ("completion", _completion_parser, "print a shell's completion script for panthorlab"),
)


def make_parser() -> Parser:
    """The whole command line."""
    parser = Parser(
        prog="panthorlab",
        description="Does a Linux panthor patch do what it claims, on a Mali CSF GPU, without breaking anything else?",
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"panthorlab {__version__}")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    for name, add_options, text in COMMANDS:
        add_options(
            commands.add_parser(
                name,
                help=text,
                description=text,
                epilog=EXIT_STATUS,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
    commands.add_parser("gpu", help="the emulated GPU by itself: serve, params, firmware", add_help=False)
    return parser


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Raises UsageError. Patches may stand anywhere between the options."""
    parser = make_parser()
    options, rest = parser.parse_known_args(arguments)
    for word in rest:
        if word.startswith("-") and word != "-":
            name = word.partition("=")[0]
            near = difflib.get_close_matches(name, parser.options_of(options.name), n=1)
            raise UsageError(
                f"{options.name} has no option `{name}`",
                hint=f"did you mean `{near[0]}`?" if near else f"see `panthorlab {options.name} --help`",
            )
    if rest and not hasattr(options, "patch"):
        raise UsageError(f"{options.name}: what is `{rest[0]}`?", hint=f"see `panthorlab {options.name} --help`")
    if rest:
        options.patch += rest
    if getattr(options, "driver", None) and hasattr(options, "config") and not getattr(options, "before", None):
        # The configuration decides which driver a kernel has; last, so that no other fragment has the last word.
        options.config = [*options.config, *by_name(options.driver).fragments]
    return options

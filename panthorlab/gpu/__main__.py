# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulated GPU by itself: `python -m panthorlab.gpu serve --socket PATH`, for anybody's QEMU."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from panthorlab.gpu import misbehave
from panthorlab.gpu.exact.wire import Ends
from panthorlab.gpu.generations.table import DEFAULT_MODEL, GENERATIONS
from panthorlab.gpu.header import render
from panthorlab.gpu.params import Params, describe

USAGE_ERROR = 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="panthorlab gpu", description="An emulated Mali GPU for an unmodified QEMU.")
    commands = top.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve GPUs over vfio-user until QEMU disconnects")
    serve.add_argument(
        "--socket",
        type=Path,
        action="append",
        required=True,
        help="UNIX socket to listen on; repeated: of one more GPU for the same QEMU",
    )
    _add_model(serve)
    serve.add_argument("--trace", type=Path, help="write a trace for Perfetto or chrome://tracing")
    serve.add_argument("--log", type=Path, help="what a person should know (default: stderr)")
    serve.add_argument("--events", type=Path, help="every event as a JSON line")
    serve.add_argument("--seed", type=int, default=0, help="of random choices, e.g. jitter")
    serve.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="see `params`")
    serve.add_argument(
        "--misbehave",
        action="append",
        default=[],
        metavar="RULE",
        help="do wrong from the beginning, e.g. flush-lost,nth=2; see `misdeeds`",
    )
    serve.add_argument(
        "--control", action="store_true", help="take `misbehave RULE` and `behave` from stdin, line by line"
    )
    serve.add_argument(
        "--exact",
        type=Ends.parse,
        metavar="PAGE,SYNC,HOST",
        help="live in the guest's instructions; inherited file descriptors, see docs/exact-time.md",
    )
    serve.add_argument("--accesses", type=Path, help="with --exact: write every register access and interrupt")
    serve.add_argument("--orders", type=Path, help="with --exact: write the interleaving of each iteration, in JSON")
    serve.add_argument("--stop", type=int, metavar="COUNT", help="with --exact: have the host stop the guest there")
    firmware = commands.add_parser("firmware", help="write the firmware image that the driver loads")
    _add_model(firmware)
    firmware.add_argument("-o", "--output", type=Path, required=True, help="e.g. mali_csffw.bin")
    header = commands.add_parser("header", help="print what programs on the board must know of a GPU, as C header")
    _add_model(header)
    commands.add_parser("params", help="list the parameters with their defaults and meanings")
    commands.add_parser("misdeeds", help="list what the GPU can do wrong on request")
    return top


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", choices=tuple(GENERATIONS), default=DEFAULT_MODEL, help="which GPU")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, 2 for wrong usage, 70 if the model itself failed."""
    arguments = parser().parse_args(argv)
    if arguments.command == "params":
        sys.stdout.write(describe())
        return 0
    if arguments.command == "misdeeds":
        sys.stdout.write(misbehave.describe())
        return 0
    if arguments.command == "header":
        sys.stdout.write(render(GENERATIONS[arguments.model]))
        return 0
    try:
        if arguments.command == "firmware":
            from panthorlab.gpu.fw.image import build

            arguments.output.write_bytes(build(GENERATIONS[arguments.model].layout))
            return 0
        from panthorlab.gpu.serve import Options, serve

        params = Params.parse(arguments.param)
        return serve(
            Options(
                arguments.socket,
                GENERATIONS[arguments.model],
                params,
                arguments.seed,
                arguments.trace,
                arguments.log,
                arguments.events,
                tuple(map(misbehave.parse, arguments.misbehave)),
                arguments.control,
                arguments.exact,
                arguments.accesses,
                arguments.orders,
                arguments.stop,
            )
        )
    except (ValueError, OSError) as error:
        print(f"panthorlab gpu: {error}", file=sys.stderr)
        return USAGE_ERROR


if __name__ == "__main__":
    sys.exit(main())

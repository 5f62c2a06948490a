#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long `panthorlab fuzz` takes to find each of some real bugs that were brought back, from several seeds.

Each kernel is the base with one patch of `benchmarks/bugs/`, from the store if it is there. A line is a bug and a seed:
seconds from the start of the first boot until a script shows something, and what; `-` if none
did in the time. Nothing is made short.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

from panthorlab.board.registry import open_board  # noqa: E402
from panthorlab.kernel.model import Kernel  # noqa: E402
from panthorlab.run.fuzzing import Boots, FuzzTotals, walk  # noqa: E402
from panthorlab.run.kernels import resolve_kernel  # noqa: E402
from panthorlab.run.progress import ProgressDisplay  # noqa: E402

BUGS = ROOT / "benchmarks" / "bugs"
USUAL = ("04", "05", "06", "11", "55")


def kernels(names: list[str], scratch: Path) -> Iterator[tuple[str, Kernel]]:
    """By bug, built if need be; `good` is the base without any."""
    for name in names:
        patches = sorted(BUGS.glob(f"{name}*.patch")) if name != "good" else []
        if len(patches) != (name != "good"):
            raise SystemExit(f"{name}: {len(patches)} patches in {BUGS} begin so")
        command = [
            sys.executable,
            "-m",
            "panthorlab",
            "build",
            *map(str, patches),
            "--json",
            "--output",
            str(scratch / f"build-{name}"),
        ]
        built = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)
        yield name, resolve_kernel(built["after" if patches else "base"]["key"], log=scratch / "build.log")


def seconds(kernel: Kernel, seed: int, limit: float, board: str, folder: Path) -> str:
    """Until it is found, and what; with how many scripts."""
    folder.mkdir(parents=True)
    options = argparse.Namespace(param=[], seed=seed, boot_method="auto", seconds=limit)
    begin, totals = time.monotonic(), FuzzTotals()
    with Boots(options, kernel, open_board(board), folder, ProgressDisplay(quiet=True)) as boots:
        found = walk(boots, options, totals, ProgressDisplay(quiet=True))
    took = f"{time.monotonic() - begin:.0f}" if found else "-"
    unjudged = f", {totals.unjudged} unjudged" if totals.unjudged else ""
    return f"{took} ({totals.scripts} scripts{unjudged}{f': {found.signature}' if found else ''})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "bug",
        nargs="*",
        default=list(USUAL),
        help="how its patch begins, or `good` for the base (default: %(default)s)",
    )
    parser.add_argument("--seeds", type=int, default=5, help="from 1 on (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each seed (default: %(default)g)")
    parser.add_argument("--board", default="qemu-g610")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="panthorlab-fuzz-") as scratch:
        for name, kernel in kernels(options.bug, Path(scratch)):
            for seed in range(1, options.seeds + 1):
                told = seconds(kernel, seed, options.seconds, options.board, Path(scratch, name, str(seed)))
                print(f"{name} seed {seed}: {told}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

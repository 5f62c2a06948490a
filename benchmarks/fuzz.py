#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long `panthorlab fuzz` takes to find each of some bugs, from several seeds: real ones that were brought back, or
made-up ones.

Each kernel is the base with one patch of `benchmarks/bugs/`; with `m` before its number, of `benchmarks/mutants/`, on
the base and with the fragments that it needs there. It is taken from the store if it is there. A line is a bug and a
seed: seconds from the start of the first boot until a script shows something, and what; `-` if none did in the time.
Nothing is made short.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import tomllib
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
MADE_UP = ROOT / "benchmarks" / "mutants"
USUAL = ("04", "05", "06", "11", "55")


def what_to_build(name: str) -> list[str]:
    """Patch and options of `panthorlab build` for a bug; none for `good`."""
    if name == "good":
        return []
    folder = MADE_UP if name.startswith("m") else BUGS
    patches = sorted(folder.glob(f"{name.removeprefix('m')}-*.patch"))
    if len(patches) != 1:
        raise SystemExit(f"{name}: {len(patches)} patches in {folder} begin so")
    if folder == BUGS:
        return [str(patches[0])]
    rows = tomllib.loads((MADE_UP / "mutants.toml").read_text())["mutant"]
    row = next(row for row in rows if row["id"] == patches[0].stem)
    needs = [word for fragment in row.get("needs", ()) for word in ("--config", fragment)]
    return [str(patches[0]), *(["--base", row["base"]] if "base" in row else []), *needs]


def kernels(names: list[str], scratch: Path) -> Iterator[tuple[str, Kernel]]:
    """By bug, built if need be; `good` is the base without any."""
    for name in names:
        wanted = what_to_build(name)
        output = ["--json", "--output", str(scratch / f"build-{name}")]
        command = [sys.executable, "-m", "panthorlab", "build", *wanted, *output]
        built = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)
        yield name, resolve_kernel(built["after" if wanted else "base"]["key"], log=scratch / "build.log")


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
        "bug", nargs="*", default=list(USUAL), help="number of its patch, or `good` for the base (default: %(default)s)"
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

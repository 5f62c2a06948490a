#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Bisect 64 commits of real history for a fault that comes in a part of the boots, once for each of 20 seeds.

The history is panthor's own: the fixes of `bugs/bugs.toml` are taken out of 6.12.117, newest first, as far as their
reverse patches go together, and then come back one by one, oldest first. So each of the commits changes the driver; if
they are less than 63, the others change nothing that is built.
The seed says which commit brings the fault, and what the boots draw. The fault is `heap-exit`, one abrupt end of a
process in each boot, whose heap contexts are written up to 1.25 ms after the request, so that only some come
after the VM is gone.

To be reached: the commit that was planted, and no other, in 19 of 20. Results are kept in a file, and what it has is
not run again; a bisect that was stopped goes on. Kernels are built once: histories of two seeds differ by the fault.
Exit status: 0 reached, 1 not, 4 a bisect did not end, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bug_rows import Bug, load  # noqa: E402

from panthorlab.kernel.build.reads import ReadFiles  # noqa: E402
from panthorlab.kernel.build.steps import objects_of  # noqa: E402
from panthorlab.kernel.driver import ReadFile  # noqa: E402
from panthorlab.kernel.job import build_side, prepare_kernel  # noqa: E402
from panthorlab.kernel.patch.report import UnfitError  # noqa: E402
from panthorlab.kernel.source.trees import read_base  # noqa: E402
from tests.e2e.kernel_history import FLAKY_SUITE, SELDOM, State, Step, Tree, grow_history, idle, patched, start_history  # noqa: E402

PLANTED: Final = "01"
HIDES: Final = ("23", "52", "58")
"""Without the first fix the driver is told of no fault at all, without the second it refuses the heap, without the
third each open of the device is a warning, so that no boot can show that a commit is good."""
COMMITS: Final = 64
SEEDS: Final = 20
GOAL: Final = 0.95


@dataclass(frozen=True)
class Bisected:
    """What came of one seed. `planted`: number of the commit, from 1; `rate`: boots of bad kernels that showed it."""

    seed: int
    planted: int
    right: bool
    exit: int
    boots: int
    builds: int
    rate: float
    seconds: float


@dataclass(frozen=True)
class History:
    """`fixes`: those that go together, in the order in which they come back."""

    repository: Path
    tree: Tree
    fixes: tuple[Bug, ...]

    def branch(self, planted: int) -> tuple[str, ...]:
        """Commits of the history whose number `planted` (from 1) brings the fault, after the one without the fixes."""
        bug = next(row for row in load().bug if row.id.startswith(PLANTED))
        steps = [replace(patched(row.patch, reverse=True), subject=f"drm/panthor: {row.title}") for row in self.fixes]
        steps += [idle(number) for number in range(COMMITS - 1 - len(steps))]
        steps.insert(planted - 1, patched(bug.patch))
        name = f"refs/heads/planted-{planted}"
        return grow_history(self.repository, self.tree, name, [_without(self.fixes), *steps])[1:]


def _without(fixes: Sequence[Bug]) -> Step:
    def change(content: ReadFile) -> Mapping[str, bytes]:
        state = State(content)
        for row in reversed(fixes):
            state.take(patched(row.patch))
        return state.files

    return Step("Take the fixes out", change)


def _together(rows: Sequence[Bug], content: ReadFile) -> list[Bug]:
    """Those of the rows whose patches apply on top of each other, in this order."""
    state = State(content)
    found: list[Bug] = []
    for row in rows:
        try:
            state.take(patched(row.patch))
        except UnfitError:
            continue
        found.append(row)
    return found


def make(folder: Path) -> History:
    """The repository with its first commit, made once."""
    repository, plan, reads = folder / "linux.git", prepare_kernel(None), ReadFiles()
    build_side(plan, log=folder / "base.log")
    if (objects := objects_of(plan)).is_dir():
        reads.add(objects)
    tree = Tree(plan.base, reads)
    rows = [row for row in load().bug if row.base is None and row.files and not row.id.startswith((PLANTED, *HIDES))]
    rows.sort(key=lambda row: tuple(map(int, row.fixed_in.split("."))), reverse=True)
    fixes = _together(rows, lambda path: read_base(tree.base, path))[: COMMITS - 1]
    if not repository.is_dir():
        start_history(repository, tree)
    return History(repository, tree, tuple(reversed(fixes)))


def bisect(history: History, seed: int, run: Path, jobs: int) -> Bisected:
    """Raises SystemExit(4) for one that ended in trouble of the lab."""
    planted = random.Random(f"planted {seed}").randint(1, COMMITS)  # noqa: S311
    commits = history.branch(planted)
    start = time.monotonic()
    if (run / "events.jsonl").is_file():
        argv = ["bisect", "--resume", run]
    else:
        ends = ("--base", history.repository, "--good", commits[0], "--bad", commits[-1])
        argv = ["bisect", *ends, "--suite", FLAKY_SUITE, "--iterations", 1, *SELDOM, "--output", run]
        argv += ["--seed", seed, "--jobs", jobs]
    command = [sys.executable, "-m", "panthorlab", *map(str, argv), "--json"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=False)
    if done.returncode not in (0, 2, 3):
        raise SystemExit(130 if done.returncode == 130 else 4)
    took = time.monotonic() - start
    if not done.stdout:
        return Bisected(seed, planted, right=False, exit=done.returncode, boots=0, builds=0, rate=0, seconds=took)
    found = json.loads(done.stdout)
    if "error" in found:  # said on stderr: nothing was searched
        raise SystemExit(4)
    bad = [found["tested"][commit] for commit in commits[planted:] if commit in found["tested"]]
    seen, boots = sum(one["seen"] for one in bad), sum(one["seen"] + one["clean"] for one in bad)
    return Bisected(
        seed=seed,
        planted=planted,
        right=found["culprits"] == [commits[planted]] and done.returncode == 0,
        exit=done.returncode,
        boots=found["boots"],
        builds=found["builds"],
        rate=round(seen / boots, 2) if boots else 0,
        seconds=round(took),
    )


def known(results: Path) -> dict[int, Bisected]:
    """What the file has, by seed."""
    lines = results.read_text().splitlines() if results.is_file() else []
    return {row["seed"]: Bisected(**row) for row in map(json.loads, lines)}


def main() -> int:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", metavar="N", type=int, default=SEEDS, help=f"from 1 on (default {SEEDS})")
    parser.add_argument("--only", metavar="SEED", type=int, action="append", help="run only this one; may be repeated")
    parser.add_argument("--jobs", metavar="N", type=int, default=2, help="boots at once (default 2)")
    parser.add_argument("--folder", metavar="DIR", type=Path, default=ROOT / "runs/bisect-history")
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    results, history = folder / "results.jsonl", make(folder)
    print(f"{COMMITS} commits, {len(history.fixes)} of them fixes of the driver, and one with the fault")
    for seed in sorted(set(options.only or range(1, options.seeds + 1)) - set(known(results))):
        row = bisect(history, seed, folder / f"seed-{seed}", options.jobs)
        with results.open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        print(row, flush=True)
    rows = [row for seed, row in sorted(known(results).items()) if seed <= options.seeds]
    right = sum(row.right for row in rows)
    print(f"{right} of {len(rows)} right; to be reached: {GOAL:.0%}")
    return 0 if right >= GOAL * len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())

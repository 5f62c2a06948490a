#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measure panthorlab, and print a table of what is to be reached and what is, with the split by phase.

The goals are for an idle machine with two cores. Nothing fails for a figure: a busy machine, or a slower one, gives
others. Figures of several runs are medians or bests, as their names say.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import clients  # noqa: E402
import console_intake  # noqa: E402
import cs_interpreter  # noqa: E402
import exact_coverage  # noqa: E402
import exact_time  # noqa: E402
import lab_boards  # noqa: E402
import log_scan  # noqa: E402
import many_runs  # noqa: E402
import on_board  # noqa: E402
import whole_run  # noqa: E402
from figures import Figure, head  # noqa: E402

from panthorlab.errors import PanthorlabError  # noqa: E402

OTHER_PATCH = ROOT / "tests/e2e/patches/unrelated.patch"


@dataclass(frozen=True)
class Settings:
    kernel: str | None


Rows = Callable[[Settings], Iterator[Figure]]


def boot(settings: Settings) -> Iterator[Figure]:
    yield on_board.boot(on_board.find_kernel(settings.kernel))


def iteration(settings: Settings) -> Iterator[Figure]:
    yield on_board.iteration(on_board.find_kernel(settings.kernel))


def register(settings: Settings) -> Iterator[Figure]:
    yield on_board.register_read(on_board.find_kernel(settings.kernel))


def job(settings: Settings) -> Iterator[Figure]:
    yield on_board.job(on_board.find_kernel(settings.kernel))


def vulkan(settings: Settings) -> Iterator[Figure]:
    yield from clients.vulkan(on_board.find_kernel(settings.kernel))


def compute(settings: Settings) -> Iterator[Figure]:
    yield clients.compute(on_board.find_kernel(settings.kernel))


def overlays(settings: Settings) -> Iterator[Figure]:
    yield from clients.overlays(on_board.find_kernel(settings.kernel))


def coverage(settings: Settings) -> Iterator[Figure]:
    yield exact_coverage.cost(on_board.find_kernel(settings.kernel))


def exact_register(settings: Settings) -> Iterator[Figure]:
    yield from exact_time.register(on_board.find_kernel(settings.kernel))


def exact_iterations(settings: Settings) -> Iterator[Figure]:
    yield from exact_time.iterations(on_board.find_kernel(settings.kernel))


def exact_claim(_: Settings) -> Iterator[Figure]:
    yield from exact_time.claim()


def exact_explore(settings: Settings) -> Iterator[Figure]:
    yield from exact_time.explore(on_board.find_kernel(settings.kernel))


def exact_digests(settings: Settings) -> Iterator[Figure]:
    yield from exact_time.digests(on_board.find_kernel(settings.kernel))


def interpreter(_: Settings) -> Iterator[Figure]:
    rates = {name: max(cs_interpreter.loop(code) for _ in range(3)) for name, code in cs_interpreter.LOOPS.items()}
    rates["short jobs"] = max(cs_interpreter.jobs() for _ in range(3))
    rates["IGT's loop in 8 groups"] = max(cs_interpreter.loops_of_groups(8) for _ in range(3))
    yield Figure("command-stream instructions, one core, least", "≥ 2,000 k/s", _rate(min(rates.values())),
                 {name: _rate(rate) for name, rate in rates.items()})  # fmt: skip


def _rate(rate: float) -> str:
    return f"{rate / 1000:,.0f} k/s"


@cache
def _default_run() -> whole_run.Run:
    return whole_run.validate()


def claim(_: Settings) -> Iterator[Figure]:
    yield whole_run.timing("validate, kernels in the store, claim only", "≤ 20 s", whole_run.validate(*whole_run.CLAIM))


def default(_: Settings) -> Iterator[Figure]:
    yield whole_run.timing("the whole default run, kernels in the store", "≤ 120 s", _default_run())


def memory(_: Settings) -> Iterator[Figure]:
    yield whole_run.memory(_default_run())


def scan(_: Settings) -> Iterator[Figure]:
    for faults, goal in ((0, "≥ 100"), (log_scan.FAULTS, "≥ 50")):
        rate, _found = log_scan.measure(log_scan.with_prefilter, log_scan.make_log(32 << 20, faults), 3)
        yield Figure(f"log scan, 32 MiB, {faults} faults, best", f"{goal} MiB/s", f"{rate:.0f} MiB/s")


def console(_: Settings) -> Iterator[Figure]:
    rates = {name: console_intake.measure(name, 16 << 20) for name in console_intake.TRANSPORTS}
    least = min(rates.values(), key=lambda rate: rate.processor)
    yield Figure("console intake, findings on, least", "≥ 20 MiB/s", str(least),
                 {name: str(rate) for name, rate in rates.items()})  # fmt: skip


def history(_: Settings) -> Iterator[Figure]:
    yield from many_runs.history()


def report(_: Settings) -> Iterator[Figure]:
    yield from many_runs.report()


def swap(_: Settings) -> Iterator[Figure]:
    yield lab_boards.module_swap()


def boards(_: Settings) -> Iterator[Figure]:
    yield lab_boards.two_boards()


def cold(_: Settings) -> Iterator[Figure]:
    """Everything is downloaded and built anew, into a cache of its own, which is then deleted."""
    with tempfile.TemporaryDirectory(prefix="panthorlab-cold-") as scratch:
        cache_home = Path(scratch)
        run = whole_run.validate(cache=cache_home)
        yield whole_run.timing("fresh machine to verdict (less packages)", "≤ 600 s", run)
        run = whole_run.validate(str(OTHER_PATCH), *whole_run.CLAIM, cache=cache_home)
        yield whole_run.timing("another patch to that base, claim only", "≤ 40 s", run)


ROWS: dict[str, Rows] = {
    "boot": boot, "iteration": iteration, "register": register, "job": job, "interpreter": interpreter,
    "vulkan": vulkan, "compute": compute, "overlays": overlays, "scan": scan,
    "console": console, "coverage": coverage, "history": history, "report": report,
    "claim": claim, "default": default, "memory": memory, "swap": swap, "boards": boards,
    "exact-register": exact_register, "exact-iterations": exact_iterations, "exact-claim": exact_claim,
    "exact-explore": exact_explore, "exact-digests": exact_digests,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=[*ROWS, "cold"], metavar="NAME",
                        help=f"only this, may be repeated: {', '.join([*ROWS, 'cold'])}")  # fmt: skip
    parser.add_argument("--cold", action="store_true",
                        help="also with an empty cache: downloads, and builds kernels for minutes")  # fmt: skip
    parser.add_argument("--kernel", metavar="K", help="for the board's figures: store key, RUN:after, … "
                        "(default: the kernel of the store last used)")  # fmt: skip
    options = parser.parse_args()
    names = options.only or [*ROWS, *(["cold"] if options.cold else [])]
    settings, failed = Settings(options.kernel), False
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs at the beginning\n")
    print("\n".join(head()), flush=True)
    for name in names:
        try:
            for figure in {**ROWS, "cold": cold}[name](settings):
                print("\n".join(figure.lines()), flush=True)
        except PanthorlabError as error:  # the other rows are still worth having
            print("\n".join(Figure(name, "", "not measured").lines()), flush=True)
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
    return 4 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

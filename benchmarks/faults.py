#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Make everything go wrong in a virtual lab, and print a table of what panthorlab made of it.

Exit status: 0 all as expected, 1 a wrong verdict or blame, or something left behind, 4 the campaign could not be run.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from panthorlab.errors import PanthorlabError  # noqa: E402
from tests.virtual_lab import command  # noqa: E402
from tests.virtual_lab.campaign import Fault, Result, build, play  # noqa: E402
from tests.virtual_lab.control import LabClient  # noqa: E402
from tests.virtual_lab.faults import FAULTS  # noqa: E402

HEAD = f"| {'fault':18} | {'how':62} | {'expected':36} | {'seconds':>7} | what happened |"


@contextmanager
def lab(folder: Path, boards: int, kernel: str) -> Iterator[LabClient]:
    """A lab of the campaign's own."""
    folder.mkdir()
    process = command.start(folder, boards=boards, kernel=kernel)
    try:
        yield LabClient(folder)
    finally:
        command.stop(process)


def row(result: Result) -> str:
    fault = result.fault
    wrong = [f"WRONG: {short(problem)}" for problem in result.problems]
    happened = "; ".join([*wrong, short(result.happened)]).replace("|", "/")
    return f"| {fault.name:18} | {fault.how:62} | {fault.expected!s:36} | {result.seconds:7.0f} | {happened} |"


def short(text: str) -> str:
    """The console's last words, which errors quote, are in the logs."""
    return textwrap.shorten(text.partition("\n")[0], 160, placeholder=" …")


def campaign(faults: Mapping[str, Fault], folder: Path) -> int:
    """Status to exit with."""
    kernels = build(faults.values(), folder)
    wrong = 0
    print(f"{HEAD}\n|{'-' * 20}|{'-' * 64}|{'-' * 38}|{'-' * 8}:|---------------|", flush=True)
    with lab(folder / "lab", max(fault.boards for fault in faults.values()), kernels[""]) as client:
        for fault in faults.values():
            result = play(fault, client, folder / fault.name, kernels)
            wrong += bool(result.problems)
            print(row(result), flush=True)
    print(f"\n{len(faults)} faults, {wrong} not as expected; logs: {folder}")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", action="append", choices=list(FAULTS), metavar="NAME", help="only this; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="only those that the tests of every change try")
    parser.add_argument("--list", action="store_true", help="print the faults, and try none")
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep logs here (default: a new directory)")
    options = parser.parse_args()
    chosen = {
        name: fault
        for name, fault in FAULTS.items()
        if (not options.only or name in options.only) and (not options.quick or fault.quick)
    }
    if options.list:
        for fault in chosen.values():
            print(f"{fault.name:18} {fault.how}; expected: {fault.expected}")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a fault that is under way is undone, the lab ended
    folder = (options.output or Path(tempfile.mkdtemp(prefix="panthorlab-faults-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return campaign(chosen, folder)
    except PanthorlabError as error:
        print(f"faults: {error}" + (f"\n  hint: {error.hint}" if error.hint else ""), file=sys.stderr)
        return 4


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0-or-later
"""The order of suites, which is the same for `panthorlab validate` and for plain pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from panthorlab.run.suites import find_suites

ROOT = Path(__file__).parents[3]


def test_plain_pytest_takes_suites_in_the_order_of_a_run() -> None:
    """Else the probe's test, last but one in the alphabet, finds the faults that watch workloads are there for."""
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "suites",
        "--board",
        "qemu-g610",
        "--kernel",
        "any",
        "--deep",
        "--collect-only",
        "-q",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    files = dict.fromkeys(line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line)
    assert list(files) == [f"suites/{path.name}" for path in find_suites([]).values()]
    assert next(iter(files)) == "suites/test_probe.py"

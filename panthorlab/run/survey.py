# SPDX-License-Identifier: GPL-2.0-or-later
"""Ask suites what their tests need: pytest collects them in a process of its own, and nothing is booted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from panthorlab import spawn
from panthorlab.errors import UsageError
from panthorlab.run.record import Need
from panthorlab.run.record.codec import decode
from panthorlab.run.suitepytest import suite_environment, suite_pytest

PATIENCE: Final = 600.0
"""Seconds that importing all suites may take: three, but with a hundredth of a busy machine some minutes."""
SHOWN: Final = 20
_INTERNAL: Final = "INTERNALERROR> "
NO_TESTS: Final = 5
"""pytest's exit status if it found none."""


def survey(suites: Iterable[Path], *, leave_nothing: bool = False) -> list[Need]:
    """What every test of `suites` needs, in the order in which they would run. `leave_nothing`: not even what Python
    compiles stays beside them.

    Raises UsageError for a suite that cannot be imported, has no test, or has a marker that makes no sense.
    """
    files = [str(suite) for suite in suites]
    with TemporaryDirectory(prefix="panthorlab-") as folder:
        answer = Path(folder, "needs.json")
        what = ("--strict-markers", "--collect-only", "-q", "--needs", str(answer), *files)
        env = suite_environment()
        if leave_nothing:
            env["PYTHONDONTWRITEBYTECODE"] = "1"
        try:
            done = spawn.run(suite_pytest("--rootdir", folder, *what), timeout=PATIENCE, cwd=Path(folder), env=env)
        except subprocess.TimeoutExpired:
            raise UsageError(
                f"the suites were not imported within {PATIENCE:.0f} s",
                hint="a suite must not do its work when it is imported; or this machine has no time for it",
            ) from None
        if done.returncode == 0:
            return [decode(Need, fields) for fields in json.loads(answer.read_text())]
    if done.returncode == NO_TESTS:
        raise UsageError(f"there is no test in {', '.join(files)}", hint="functions test_… are tests")
    output = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    lines = [line for line in output if line.startswith(("E   ", "ERROR"))]
    if not lines:  # a suite that ends pytest itself: where, and by what
        lines = [line.removeprefix(_INTERNAL) for line in output if line.startswith(_INTERNAL)][-3:] or output
    raise UsageError(
        "the suites cannot be read:\n" + "\n".join(lines[:SHOWN]), hint="pytest --collect-only on them says more"
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""Suites by name: the pytest files of `suites/`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from panthorlab.errors import UsageError
from panthorlab.paths import data_dirs


def all_suites() -> dict[str, Path]:
    """Every suite that can be found: `test_heap_exit_claim.py` is `heap-exit-claim`."""
    return {
        file.stem.removeprefix("test_").replace("_", "-"): file
        for folder in data_dirs("suites")
        for file in sorted(folder.glob("test_*.py"))
    }


def turn(suite: str) -> tuple[bool, bool, str]:
    """Sorts suites by name: the probe needs a log without anybody's faults, claims come before what decides less."""
    return ("probe" not in suite, "claim" not in suite, suite)


def find_suites(names: Sequence[str]) -> dict[str, Path]:
    """The suites called `names`, or whose name begins so (`heap-exit`); all of them if none is named.

    In their `turn`, so that a run that is cut short has what decides. Raises UsageError for an unknown name.
    """
    suites = all_suites()
    if not suites:
        raise UsageError("no suites found", hint="run from a checkout, or name one in $PANTHORLAB_PATH")
    chosen: dict[str, Path] = {}
    for name in names or [""]:
        matches = {key: file for key, file in suites.items() if key == name or key.startswith(name)}
        if name in suites:
            matches = {name: suites[name]}
        if not matches:
            close = difflib.get_close_matches(name, suites, n=1)
            raise UsageError(
                f"there is no suite `{name}`",
                hint=f"did you mean `{close[0]}`?" if close else f"suites: {', '.join(suites)}",
            )
        chosen |= matches
    return {name: chosen[name] for name in sorted(chosen, key=turn)}

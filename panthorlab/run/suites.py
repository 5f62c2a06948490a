# SPDX-License-Identifier: GPL-2.0-or-later
"""Suites by name: the pytest files of `suites/`; or by path, where the user says."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from panthorlab.errors import UsageError
from panthorlab.paths import data_dirs, hint_here


def all_suites() -> dict[str, Path]:
    """Every suite that can be found: `test_heap_exit_claim.py` is `heap-exit-claim`."""
    return {suite_name(file): file for folder in data_dirs("suites") for file in sorted(folder.glob("test_*.py"))}


def turn(suite: str) -> tuple[bool, bool, bool, bool, bool, str]:
    """Sorts suites by name: the probe needs a log without anybody's faults, claims come before what decides less, what
    else counts before what may leave a driver that works no more, what takes the GPU away comes when the others have
    had it, and who looks for what all have lost comes last."""
    counts = any(word in suite for word in ("claim", "controls", "watch"))
    return ("probe" not in suite, "claim" not in suite, not counts, "lost" in suite, "unplug" in suite, suite)


def find_suites(names: Sequence[str]) -> dict[str, Path]:
    """The suites called `names`, or whose name begins so (`heap-exit`), or that are at a path; all that can be found by
    name if none is named.

    In their `turn`, so that a run that is cut short has what decides. Raises UsageError for an unknown name.
    """
    suites = all_suites()
    if not suites:
        raise UsageError("no suites found", hint="run from a checkout, or name one in $PANTHORLAB_PATH")
    if "" in names:
        raise UsageError("a suite without a name", hint="leave --suite out to run all; is a variable empty?")
    chosen: dict[str, Path] = {}
    for name in names or [""]:
        chosen |= _at(Path(name).expanduser()) if _is_path(name) else _called(name, suites)
    return {name: chosen[name] for name in sorted(chosen, key=turn)}


def named_suites(names: Sequence[str]) -> frozenset[str]:
    """The suites that `names` name: by name, by its beginning, or by file. A directory names none."""
    return frozenset(
        suite
        for name in names
        if not (_is_path(name) and Path(name).expanduser().is_dir())
        for suite in find_suites([name])
    )


def lasting(names: Sequence[str]) -> list[str]:
    """The same names, but paths whole: a run may be resumed from elsewhere."""
    return [str(Path(name).expanduser().resolve()) if _is_path(name) else name for name in names]


def _is_path(name: str) -> bool:
    return "/" in name or name.endswith(".py")


def _at(path: Path) -> dict[str, Path]:
    files = sorted(path.glob("test_*.py")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise UsageError(f"there is no suite at {path}", hint="a file test_NAME.py, or a directory of such files")
    return {suite_name(file): file.resolve() for file in files}


def _called(name: str, suites: Mapping[str, Path]) -> dict[str, Path]:
    if name in suites:
        return {name: suites[name]}
    matches = {key: file for key, file in suites.items() if key.startswith(name)}
    if not matches:
        here = hint_here("suites", f"test_{name.replace('-', '_')}.py", "--suite")
        close = difflib.get_close_matches(name, suites, n=1)
        raise UsageError(
            f"there is no suite `{name}`",
            hint=here or (f"did you mean `{close[0]}`?" if close else f"suites: {', '.join(suites)}"),
        )
    return matches


def suite_name(file: Path) -> str:
    """What `--suite` calls the suite in `file`."""
    return file.stem.removeprefix("test_").replace("_", "-")

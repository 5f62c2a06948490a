# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab compare` of two matrices: each kernel with its own of the older one, so that a queue of stable kernels is
held against the last releases.

A kernel's own is the one with the same release, else the only other one of its series: 6.12.118-rc1 and 6.12.117.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab.errors import LabError, UsageError
from panthorlab.history.find import LOG, run_dirs
from panthorlab.run.matrix import RECORD
from panthorlab.run.record import ArmKernel
from panthorlab.run.record.log import read_run

_SERIES: Final = re.compile(r"[0-9]+\.[0-9]+")


@dataclass(frozen=True)
class Pairs:
    """Runs of two matrices. `paired`: their names, the old run and the new one. `settings`: (what, old, new) that the
    matrices asked for, as JSON."""

    paired: tuple[tuple[str, Path, Path], ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    settings: tuple[tuple[str, str, str], ...]


def is_matrix(directory: Path) -> bool:
    """Whether a matrix was made there."""
    return (directory / RECORD).is_file()


def pair(old: Path, new: Path) -> Pairs:
    """Raises UsageError, LabError."""
    then, now = _runs(old), _runs(new)
    matched = _match(tuple(then), tuple(now))
    asked = _asked(old), _asked(new)
    return Pairs(
        tuple((_name(a, b), then[a], now[b]) for a, b in matched),
        tuple(name for name in then if name not in {a for a, _ in matched}),
        tuple(name for name in now if name not in {b for _, b in matched}),
        tuple(
            (key, json.dumps(asked[0].get(key)), json.dumps(asked[1].get(key)))
            for key in sorted({*asked[0], *asked[1]})
            if asked[0].get(key) != asked[1].get(key)
        ),
    )


def _name(old: str, new: str) -> str:
    return old if old == new else f"{old} → {new}"


def _runs(folder: Path) -> dict[str, Path]:
    """By release; with the store key where two kernels have one."""
    found: list[tuple[str, str, Path]] = []
    for run in run_dirs([folder]):
        kernel = next((event for event in read_run(run) if isinstance(event, ArmKernel)), None)
        if kernel is not None and run.parent == folder.resolve():
            found.append((kernel.release, kernel.key, run))
    if not found:
        raise UsageError(f"{folder} is a matrix without a run", hint=f"a run has {LOG}; make the matrix again")
    releases = Counter(release for release, _, _ in found)
    return {release if releases[release] == 1 else f"{release} {key[:6]}": run for release, key, run in found}


def _match(then: tuple[str, ...], now: tuple[str, ...]) -> list[tuple[str, str]]:
    same = [(name, name) for name in then if name in now]
    rest = [[name for name in names if (name, name) not in same] for names in (then, now)]
    if len(then) == len(now) == 1:
        return [(then[0], now[0])]
    by_series = [_by_series(names) for names in rest]
    return same + [(by_series[0][series], name) for series, name in by_series[1].items() if series in by_series[0]]


def _by_series(names: list[str]) -> dict[str, str]:
    """Where a series has one kernel alone."""
    series = {name: match[0] for name in names if (match := _SERIES.match(name))}
    count = Counter(series.values())
    return {one: name for name, one in series.items() if count[one] == 1}


def _asked(folder: Path) -> Mapping[str, object]:
    try:
        asked = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise LabError(f"{folder / RECORD} cannot be read: {error}", hint="make the matrix again") from error
    if not isinstance(asked, dict):
        raise LabError(f"{folder / RECORD} is no record of a matrix", hint="make the matrix again")
    return asked

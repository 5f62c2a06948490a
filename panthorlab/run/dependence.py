# SPDX-License-Identifier: GPL-2.0-or-later
"""What a boot in exact time depends on besides its kernel, its seed and its settings, kept beside its logs.

The same seed is the same run only as long as all of this is the same.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from panthorlab import __version__
from panthorlab.errors import UsageError
from panthorlab.files import digest, sha256, write_whole
from panthorlab.paths import PACKAGE, data_dirs
from panthorlab.run.job import Job

FILE: Final = "depends-on.json"
HOST_SIDE: Final = ("board", "fuzz", "kmsg", "run")
"""The parts of the package that decide when the guest is told what."""
SOURCES: Final = (".py", ".c", ".h")


def dependence(job: Job, qemu: str) -> dict[str, str]:
    """By what a person calls it, a version or digest."""
    return {
        "QEMU": qemu,
        "the GPU model": _sources("gpu"),
        "panthorlab's own side": _sources(*HOST_SIDE),
        "the board's file": sha256(Path(job.board)),
        "the suites": digest(sha256(Path(suite)) for suite in job.suites),
    }


def versions() -> dict[str, str]:
    """What must be the same on each host of a run, by what a person calls it; without QEMU, which not every one has."""
    parts = {"the GPU model": "gpu", "the programs for boards": "guest"}
    return {
        "panthorlab": __version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
        **{name: _sources(folder) for name, folder in parts.items()},
        "panthorlab's own side": _sources("."),
        "the suites": digest(
            (suite.name, sha256(suite)) for suite in sorted(next(data_dirs("suites"), PACKAGE).glob("*.py"))
        ),
    }


def keep(job: Job, facts: Mapping[str, object]) -> None:
    """Beside the logs of the boot."""
    write_whole(Path(job.log_dir) / FILE, json.dumps(dependence(job, str(facts.get("qemu"))), indent=1))


def read_kept(log_dir: Path) -> dict[str, str]:
    """Raises UsageError if the boot has none: it did not run in exact time, or an older panthorlab ran it."""
    try:
        kept = json.loads((log_dir / FILE).read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{log_dir / FILE} cannot be read ({error}): the boot cannot be repeated",
            hint="only boots in exact time can: run it again with `--time exact`",
        ) from None
    if not isinstance(kept, dict):
        raise UsageError(f"{log_dir / FILE} is damaged", hint="run it again with `--time exact`")
    return {str(name): str(value) for name, value in kept.items()}


def changed(kept: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """What is no longer the same, in words."""
    for name in now:
        if kept.get(name) != now[name]:
            yield f"{name} ({kept.get(name, 'unknown')[:12]} then, {now[name][:12]} now)"


def _sources(*folders: str) -> str:
    files = sorted(file for folder in folders for file in (PACKAGE / folder).rglob("*") if file.suffix in SOURCES)
    return digest((str(file.relative_to(PACKAGE)), sha256(file)) for file in files)

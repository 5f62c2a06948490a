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
from panthorlab.board.emulated.overlay import contents
from panthorlab.board.registry import find_board_file
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
        "the board's file": sha256(find_board_file(job.board)),
        "the suites": digest(sha256(Path(suite)) for suite in job.suites),
        **({"the overlay": contents.digest(Path(job.overlay))} if job.overlay else {}),
    }


def versions() -> dict[str, str]:
    """What must be the same on each host of a run, by what a person calls it; without QEMU, which not every one has."""
    return {
        "panthorlab": __version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
        **{name: digest(files.items()) for name, files in parts().items()},
    }


def parts() -> dict[str, dict[str, str]]:
    """What `versions` has digests of: of each, its files with theirs."""
    suites = next(data_dirs("suites"), None)
    ours = [file for file in sorted(suites.rglob("*")) if file.is_file() and file.suffix != ".pyc"] if suites else []
    return {
        "the GPU model": dict(_files("gpu")),
        "the programs for boards": dict(_files("guest")),
        "panthorlab's own side": dict(_files(".")),
        "the suites": {str(file.relative_to(suites)): sha256(file) for file in ours if suites},
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
    return digest(_files(*folders))


def _files(*folders: str) -> Iterator[tuple[str, str]]:
    """Of parts of the package, each source with its digest."""
    files = sorted(file for folder in folders for file in (PACKAGE / folder).rglob("*") if file.suffix in SOURCES)
    return ((str(file.relative_to(PACKAGE)), sha256(file)) for file in files)

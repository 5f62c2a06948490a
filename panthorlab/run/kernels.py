# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels and parameters as the command line names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from panthorlab.errors import UsageError
from panthorlab.kernel.job import find_kernel
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.plan import Progress, quiet
from panthorlab.outcome import Side
from panthorlab.run.events import read_events


def resolve_kernel(name: str, *, log: Path, progress: Progress = quiet) -> Kernel:
    """K of the command line: a store key (or its beginning), `RUN:before`, `RUN:after`, or a build directory.

    `log`: where the output of making a build directory bootable goes.
    """
    run, colon, side = name.rpartition(":")
    if colon and side in (Side.BEFORE, Side.AFTER):
        for event in reversed(read_events(Path(run))):
            if event["event"] == "kernel" and event["side"] == side:
                return find_kernel(event["key"], log=log, progress=progress)
        raise UsageError(
            f"{run}: that run has no {side} kernel", hint="its build did not finish; `panthorlab resume` it"
        )
    return find_kernel(name, log=log, progress=progress)


def parse_params(settings: Sequence[str]) -> dict[str, str]:
    """`gpu.NAME=VALUE` settings as {`NAME`: `VALUE`} for the GPU model, which checks names and values itself."""
    params: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.startswith("gpu."):
            raise UsageError(f"--param {setting}: write gpu.NAME=VALUE", hint="`panthorlab gpu params` lists the names")
        params[name.removeprefix("gpu.")] = value
    return params

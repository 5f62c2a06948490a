# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels and parameters as the command line names them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from panthorlab.errors import UsageError
from panthorlab.gpu.params import BY_NAME
from panthorlab.kernel.driver import driver_of
from panthorlab.kernel.find import find_kernel
from panthorlab.kernel.jail.sandbox import UNPROTECTED
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.progress import Progress, quiet
from panthorlab.outcome import Side
from panthorlab.run.record import ArmKernel
from panthorlab.run.record.log import read_events

_BOARD_PARAMS: Final = frozenset(
    {"seed", "trace", "exact.record", "exact.orders", "exact.blocks"}
)  # of the board that starts the model, not of the model


def resolve_kernel(name: str, *, log: Path, progress: Progress = quiet, driver: str | None = None) -> Kernel:
    """K of the command line: a store key (or its beginning), `RUN:before`, `RUN:after`, or a build directory.

    `log`: where the output of making a build directory bootable goes. `driver`: what its GPU must have; None: any.
    Raises UsageError.
    """
    kernel = _find(name, log, progress)
    if driver is not None and (found := driver_of(kernel)).name != driver:
        raise UsageError(
            f"kernel {kernel.key[:12]} ({kernel.title}) has the driver {found.name}, not {driver}",
            hint=f"leave out --driver, or build one: `panthorlab build --driver {driver}`",
        )
    return kernel


def _find(name: str, log: Path, progress: Progress) -> Kernel:
    run, colon, side = name.rpartition(":")
    if colon and side in (Side.BEFORE, Side.AFTER):
        for event in reversed(read_events(Path(run))):
            if isinstance(event, ArmKernel) and event.arm == side:
                return find_kernel(event.key, log=log, progress=progress)
        raise UsageError(
            f"{run}: that run has no {side} kernel", hint="its build did not finish; `panthorlab resume` it"
        )
    return find_kernel(name, log=log, progress=progress)


def notes_of(kernel: Kernel) -> list[str]:
    """What every report on this kernel must say."""
    return [] if kernel.jailed else [f"the kernel was {UNPROTECTED}"]


def parse_params(settings: Sequence[str]) -> dict[str, str]:
    """`gpu.NAME=VALUE` settings as {`NAME`: `VALUE`}. Raises UsageError for a name or value the GPU model refuses."""
    params: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.startswith("gpu."):
            raise UsageError(f"--param {setting}: write gpu.NAME=VALUE", hint="`panthorlab gpu params` lists the names")
        name = name.removeprefix("gpu.")
        if name not in _BOARD_PARAMS:
            _check_param(name, value)
        params[name] = value
    return params


def _check_param(name: str, value: str) -> None:
    """The model would refuse it as well, but only when kernels are built and a board boots."""
    known = BY_NAME.get(name)
    if known is None:
        near = difflib.get_close_matches(name, BY_NAME, n=1)
        did_you_mean = f"did you mean `gpu.{near[0]}`? " if near else ""
        raise UsageError(
            f"the emulated GPU has no parameter `gpu.{name}`",
            hint=f"{did_you_mean}`panthorlab gpu params` lists them with their meaning",
        )
    try:
        known.parse(value)
    except ValueError as error:
        why = str(error) if str(error).startswith(name) else f"{name}: {error}"
        raise UsageError(f"--param gpu.{why}", hint="`panthorlab gpu params` lists them with their meaning") from None

# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's drivers for Mali CSF GPUs, one row each; all other code takes facts about a driver from here.

The guest programs have their part of the table in `guest/drivers.h`; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from panthorlab.errors import SourceError, UsageError

ReadFile = Callable[[str], bytes | None]
"""Content of a file of a tree by relative path, or None."""

_BUILT: Final = re.compile(r"^CONFIG_(\w+)=([ym])$", re.MULTILINE)
FEATURES: Final[Mapping[str, str]] = {
    "probe": "it takes the GPU, boots its firmware, and tells what the GPU is (DEV_QUERY GPU_INFO)",
    "csif": "it reads what the firmware says of its interface, and tells it (DEV_QUERY CSIF_INFO)",
    "vm": "address spaces and buffer objects (VM_CREATE, VM_BIND, BO_CREATE)",
    "groups": "groups with queues, and jobs on them (GROUP_CREATE, GROUP_SUBMIT)",
    "heaps": "tiler heaps (TILER_HEAP_CREATE)",
    "power": "it sends an idle GPU to sleep, and wakes it up",
    "recovery": "it resets a GPU whose firmware does not answer",
}
"""Features that a driver may have. Suites name those they need by `pytest.mark.driver(…)`."""


@dataclass(frozen=True)
class Fix:
    """How to tell that a driver evicts a VM's groups before it destroys it: `symbol` is called in `file`."""

    symbol: str
    file: str


@dataclass(frozen=True)
class Driver:
    """`name`: on the command line, of the module and platform driver, and the prefix of its kernel messages.
    `symbol`: its Kconfig symbol. `directory`: of its sources in the tree. `since`: first Linux release with it.
    `series`: Linux series used if no base is named. `fragments`: from kernel_configs/, in addition to those of every
    kernel. `requests`: modules that it requests by name when it probes, so that `depends=` does not list them.
    `interrupts`: minimum number. `features`: see FEATURES; `fix`: see Fix. `excludes`: fragments of kernel_configs/
    that it cannot be built with, and why."""

    name: str
    symbol: str
    directory: str
    since: tuple[int, int]
    series: str
    features: frozenset[str]
    interrupts: int = 0
    fragments: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()
    fix: Fix | None = None
    excludes: Mapping[str, str] = field(default_factory=dict, hash=False)

    def is_in(self, read: ReadFile) -> bool:
        """Whether a tree has the driver."""
        return read(f"{self.directory}/Kconfig") is not None

    def has_fix(self, read: ReadFile) -> bool:
        """Whether the driver in this tree has the fix described by `fix`; False for a driver without one."""
        text = (read(self.fix.file) if self.fix else None) or b""
        return self.fix is not None and re.search(rb"\b" + self.fix.symbol.encode() + rb"\s*\(", text) is not None

    def too_old(self, version: str) -> bool:
        """Whether the release number alone shows that this Linux lacks the driver."""
        numbers = re.match(r"(\d+)\.(\d+)", version)
        return numbers is not None and (int(numbers[1]), int(numbers[2])) < self.since

    def missing(self, name: str, version: str) -> SourceError:
        """The error for the tree called `name`, which lacks the driver."""
        first = ".".join(map(str, self.since))
        hint = f"use {first} or newer"
        return SourceError(
            f"{name} is Linux {version}, which has no {self.name} driver (it came with {first})",
            hint=f"{hint}, e.g. the default base (leave out --base) or --base debian:VERSION",
        )


PANTHOR: Final = Driver(
    name="panthor",
    symbol="DRM_PANTHOR",
    directory="drivers/gpu/drm/panthor",
    since=(6, 10),
    series="6.12",
    features=frozenset(FEATURES),
    interrupts=3,
    requests=("governor_simpleondemand",),
    # fixed in 6.12.75, 6.18.15, 6.19.6, and all newer
    fix=Fix("panthor_sched_prepare_for_vm_destruction", "drivers/gpu/drm/panthor/panthor_mmu.c"),
)
TYR: Final = Driver(
    name="tyr",
    symbol="DRM_TYR",
    directory="drivers/gpu/drm/tyr",
    since=(6, 18),
    series="7.3",  # the first that boots the firmware
    features=frozenset({"probe"}),
    fragments=("tyr",),
    excludes={"kasan": "Linux allows no KASAN with Rust and gcc"},
)
DRIVERS: Final = (PANTHOR, TYR)
WORDS: Final = (*(driver.name for driver in DRIVERS), "mali")
"""Words, one of which occurs in every line of the kernel log about a driver or its GPU."""


def by_name(name: str) -> Driver:
    """Raises KeyError."""
    return {driver.name: driver for driver in DRIVERS}[name]


def configured(values: Mapping[str, str | None]) -> list[Driver]:
    """The drivers that a configuration has, built in or as modules; `values` as in .config."""
    return [driver for driver in DRIVERS if values.get(driver.symbol) in ("y", "m")]


def requested(values: Mapping[str, str | None]) -> Driver:
    """The driver that a configuration requests. If it requests none: panthor, because the tree's own configuration may
    enable it. Raises UsageError for several."""
    return only(values, "the configuration that was asked for") if configured(values) else PANTHOR


def only(values: Mapping[str, str | None], what: str) -> Driver:
    """The one driver in `values`; `what` describes them in messages. Raises UsageError if there is none, or several:
    which of them would bind the GPU would be chance."""
    found = configured(values)
    if len(found) == 1:
        return found[0]
    symbols = " or ".join(f"CONFIG_{driver.symbol}" for driver in found or DRIVERS)
    if not found:
        raise UsageError(f"{what} has no driver for the GPU", hint=f"set {symbols}")
    raise UsageError(
        f"{what} has {' and '.join(driver.name for driver in found)}, and the GPU takes one driver",
        hint=f"set only {symbols}",
    )


class Built(Protocol):
    """A kernel of the store, see `model.Kernel`."""

    @property
    def path(self) -> Path: ...

    @property
    def title(self) -> str: ...


def driver_of(kernel: Built) -> Driver:
    """The driver of the GPU in `kernel`, by its `.config`. Raises UsageError, see `only`."""
    values = dict(_BUILT.findall((kernel.path / "config").read_text(errors="replace")))
    return only(values, f"kernel {kernel.title}")

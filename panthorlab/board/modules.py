# SPDX-License-Identifier: GPL-2.0-or-later
"""Which modules a board loads for its GPU, and in which order."""

from __future__ import annotations

import re
from collections.abc import Mapping

from panthorlab.errors import LabError
from panthorlab.kernel.driver import DRIVERS

SHIM = "panthor_pci_shim"
_DEPENDS = re.compile(rb"(?:^|\0)depends=([^\0]*)\0")
_VERMAGIC = re.compile(rb"(?:^|\0)vermagic=([^\0]*)\0")


def module_name(file_name: str) -> str:
    """`panthor-pci-shim.ko` → `panthor_pci_shim`, as /proc/modules has it."""
    return file_name.removesuffix(".ko").replace("-", "_")


def depends(module: bytes) -> tuple[str, ...]:
    """The names in the `depends=` line of a module's .modinfo."""
    found = _DEPENDS.search(module)
    names = found.group(1).decode("ascii", "replace").split(",") if found else []
    return tuple(name.replace("-", "_") for name in names if name)


def vermagic(module: bytes) -> str:
    """The module's vermagic, which the kernel compares with its own on loading; its first word is the release."""
    found = _VERMAGIC.search(module)
    return found.group(1).decode("ascii", "replace").strip() if found else ""


def gpu_order(modules: Mapping[str, bytes], *, shim: bool) -> list[str]:
    """The modules to load for the GPU's driver, in this order, without those that are built into the Image."""
    wanted = [name for driver in DRIVERS for name in (*driver.requests, driver.name) if name in modules]
    return load_order(modules, (*wanted, *([SHIM] if shim else [])))


def load_order(modules: Mapping[str, bytes], wanted: tuple[str, ...]) -> list[str]:
    """The wanted modules and all they need, dependencies first. Raises LabError if one is missing."""
    order: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in order:
            return
        if name in path:
            raise LabError(f"modules need each other: {' → '.join((*path, name))}")
        if name not in modules:
            raise LabError(
                f"module {name} is needed by {path[-1]} and was not built" if path else f"module {name} was not built"
            )
        for needed in depends(modules[name]):
            visit(needed, (*path, name))
        order.append(name)

    for name in wanted:
        visit(name, ())
    return order

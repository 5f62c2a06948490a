# SPDX-License-Identifier: GPL-2.0-or-later
"""Identifying a tree by its files: the version of the Linux kernel, and whether it has a driver for the GPU."""

from __future__ import annotations

import re

from panthorlab.errors import SourceError
from panthorlab.kernel.driver import DRIVERS, PANTHOR, ReadFile

_FIELD = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)[ \t]*$", re.MULTILINE)


def kernel_version(makefile: str) -> str | None:
    """What `make kernelversion` prints, e.g. `6.12.117`, `7.3.0-rc1`; None if this is not the kernel's Makefile."""
    fields: dict[str, str] = dict(_FIELD.findall(makefile))
    if not fields.get("VERSION") or "PATCHLEVEL" not in fields or "KBUILD" not in makefile:
        return None
    version = fields["VERSION"]
    if len(version) == 4:  # U-Boot and barebox have the kernel's Makefile, and the year in the place of its version
        return None
    for part in ("PATCHLEVEL", "SUBLEVEL"):
        version += f".{fields[part]}" if fields.get(part) else ""
    return version + fields.get("EXTRAVERSION", "")


def check_tree(name: str, read: ReadFile) -> str:
    """Version of a kernel tree that has a driver for the GPU. Raises SourceError for anything else."""
    makefile = read("Makefile")
    version = kernel_version(makefile.decode(errors="replace")) if makefile is not None else None
    if version is None or read("Kconfig") is None:
        raise SourceError(
            f"{name} is not a Linux kernel tree (no top-level Makefile and Kconfig of one)",
            hint="give the top directory of a kernel source tree, 6.10 or newer",
        )
    if not any(driver.is_in(read) for driver in DRIVERS):
        raise PANTHOR.missing(name, version)
    return version

# SPDX-License-Identifier: GPL-2.0-or-later
"""What a tree is, read from its own files: a Linux kernel of which version, with panthor or without."""

from __future__ import annotations

import re

from panthorlab.errors import SourceError
from panthorlab.kernel.source.base import ReadFile

DRIVER = "drivers/gpu/drm/panthor"
FIX_SYMBOL = "panthor_sched_prepare_for_vm_destruction"
FIX_CALLER = f"{DRIVER}/panthor_mmu.c"

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
    """Version of a kernel tree with panthor. Raises SourceError for anything else."""
    makefile = read("Makefile")
    version = kernel_version(makefile.decode(errors="replace")) if makefile is not None else None
    if version is None or read("Kconfig") is None:
        raise SourceError(
            f"{name} is not a Linux kernel tree (no top-level Makefile and Kconfig of one)",
            hint="give the top directory of a kernel source tree, 6.10 or newer",
        )
    if read(f"{DRIVER}/Kconfig") is None:
        raise no_panthor(name, version)
    return version


def no_panthor(name: str, version: str) -> SourceError:
    return SourceError(
        f"{name} is Linux {version}, which has no panthor driver (it came with 6.10)",
        hint="use 6.10 or newer, e.g. the default base or --base debian:6.12.73",
    )


def too_old(version: str) -> bool:
    """Whether a release number alone says that panthor is not in it."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) < (6, 10)


def has_fix(read: ReadFile) -> bool:
    """Whether panthor evicts a VM's groups before it destroys it (6.12.75 does, 6.18.15, 6.19.6, all newer)."""
    text = read(FIX_CALLER) or b""
    return re.search(rb"\b" + FIX_SYMBOL.encode() + rb"\s*\(", text) is not None

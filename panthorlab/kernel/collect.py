# SPDX-License-Identifier: GPL-2.0-or-later
"""From an O= directory to a Kernel in the store: which files, and what identifies each."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from panthorlab.kernel import store
from panthorlab.kernel.elf import build_id
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.plan import SidePlan
from panthorlab.kernel.tools import disk_errors

IMAGES = {"arm64": "arch/arm64/boot/Image"}
_PARTS = {"System.map": "System.map", ".config": "config", "vmlinux": "vmlinux"}


@dataclass(frozen=True)
class Artefacts:
    """Where a build left what is wanted. `shim`: the directory with the out-of-tree module."""

    objects: Path
    shim: Path
    guest: Path
    dtbs: tuple[str, ...]


def collect(plan: SidePlan, artefacts: Artefacts) -> Kernel:
    """Copy everything into a new store directory and publish it under `plan.key`."""
    scratch = store.new_directory()
    try:
        with disk_errors():
            kernel = _fill(plan, artefacts, scratch)
            store.write_record(kernel, plan.core_key)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return store.publish(scratch, plan.key)


def _fill(plan: SidePlan, artefacts: Artefacts, into: Path) -> Kernel:
    objects = artefacts.objects
    _copy(objects / IMAGES[plan.arch], into / "Image")
    for source, name in _PARTS.items():
        _copy(objects / source, into / name)
    (into / "modules").mkdir()
    for module in [*built_modules(objects), *built_modules(artefacts.shim)]:
        _copy(module, into / "modules" / module.name)
    for name in artefacts.dtbs:
        (into / "dtbs").mkdir(exist_ok=True)
        _copy(objects / "arch" / plan.arch / "boot/dts" / name, into / "dtbs" / Path(name).name)
    (into / "guest").mkdir()
    for program in sorted(artefacts.guest.iterdir()):
        if program.is_file() and is_elf(program):
            _copy(program, into / "guest" / program.name)
    modules = sorted((into / "modules").glob("*.ko"))
    return Kernel(
        key=plan.key, path=into, arch=plan.arch, title=plan.title, patches=plan.patches,
        release=(objects / "include/config/kernel.release").read_text().strip(), build_id=build_id(into / "vmlinux"),
        modules={path.stem.replace("-", "_"): build_id(path) for path in modules},
        digests=digests(into, [into / "Image", *modules, *sorted((into / "dtbs").glob("*.dtb"))]),
        fragments=tuple(path.stem for path in plan.fragments),
    )


def built_modules(directory: Path) -> list[Path]:
    """The modules that `modules.order` of a build lists."""
    order = directory / "modules.order"
    names = order.read_text().split() if order.exists() else []
    return [_module(directory, name) for name in names]


def digests(root: Path, files: Iterable[Path]) -> dict[str, str]:
    """sha256 by file name."""
    found = {}
    for path in files:
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _module(directory: Path, name: str) -> Path:
    # Out of tree the names are absolute or relative to the O= directory, by kernel version; the last part is ours.
    module = Path(name).with_suffix(".ko")
    return directory / (module.name if module.is_absolute() or not (directory / module).exists() else module)


def _copy(source: Path, target: Path) -> None:
    shutil.copy(source, target, follow_symlinks=True)

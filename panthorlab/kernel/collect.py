# SPDX-License-Identifier: GPL-2.0-or-later
"""From an O= directory to a Kernel in the store: which files, and what identifies each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from panthorlab.errors import BuildError
from panthorlab.files import disk_errors, sha256
from panthorlab.kernel import store
from panthorlab.kernel.elf import build_id
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.plan import SidePlan

IMAGES = {"arm64": "arch/arm64/boot/Image"}
_PARTS = {"System.map": "System.map", ".config": "config", "vmlinux": "vmlinux"}


@dataclass(frozen=True)
class Artefacts:
    """Where a build left what is wanted. `shim`: the directory with the out-of-tree module.

    `core`: a stored kernel that has everything but the guest programs and the shim already.
    """

    objects: Path
    shim: Path
    guest: Path
    dtbs: tuple[str, ...]
    core: Kernel | None = None


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
    (into / "modules").mkdir()
    if artefacts.core is None:
        release = _fill_core(plan, artefacts, into)
    else:
        release = artefacts.core.release
        _link_core(artefacts.core.path, into)
    _copy_modules(artefacts.shim, into)
    (into / "guest").mkdir()
    for program in sorted(artefacts.guest.iterdir()):
        if program.is_file() and is_elf(program):
            _copy(artefacts.guest, program, into / "guest" / program.name)
    modules = sorted((into / "modules").glob("*.ko"))
    return Kernel(
        key=plan.key, path=into, arch=plan.arch, title=plan.title, patches=plan.patches, release=release,
        build_id=build_id(into / "vmlinux"),
        modules={path.stem.replace("-", "_"): build_id(path) for path in modules},
        digests=digests([into / "Image", *modules, *sorted((into / "dtbs").glob("*.dtb"))]),
        fragments=tuple(path.stem for path in plan.fragments),
    )


def _fill_core(plan: SidePlan, artefacts: Artefacts, into: Path) -> str:
    objects = artefacts.objects
    _copy(objects, objects / IMAGES[plan.arch], into / "Image")
    for source, name in _PARTS.items():
        _copy(objects, objects / source, into / name)
    _copy_modules(objects, into)
    for name in artefacts.dtbs:
        (into / "dtbs").mkdir(exist_ok=True)
        _copy(objects, objects / "arch" / plan.arch / "boot/dts" / name, into / "dtbs" / Path(name).name)
    return (objects / "include/config/kernel.release").read_text().strip()


def _link_core(core: Path, into: Path) -> None:
    """Everything of a stored kernel but its guest programs; files of the store never change, so links will do."""
    plain = [core / "Image", *(core / name for name in _PARTS.values())]
    for source in [*plain, *core.glob("modules/*"), *core.glob("dtbs/*")]:
        target = into / source.relative_to(core)
        target.parent.mkdir(exist_ok=True)
        os.link(source, target)


def _copy_modules(directory: Path, into: Path) -> None:
    for module in built_modules(directory):
        target = into / "modules" / module.name
        target.unlink(missing_ok=True)
        _copy(directory, module, target)


def built_modules(directory: Path) -> list[Path]:
    """The modules that `modules.order` of a build lists."""
    order = directory / "modules.order"
    names = order.read_text().split() if order.exists() else []
    return [_module(directory, name) for name in names]


def digests(files: Iterable[Path]) -> dict[str, str]:
    """sha256 by file name."""
    return {path.name: sha256(path) for path in files}


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _module(directory: Path, name: str) -> Path:
    # Out of tree the names are absolute or relative to the O= directory, by kernel version; the last part is ours.
    module = Path(name).with_suffix(".ko")
    return directory / (module.name if module.is_absolute() or not (directory / module).exists() else module)


def _copy(root: Path, source: Path, target: Path) -> None:
    """Copy a build product. What was built is untrusted: a link out of the build directory is not followed."""
    if source.is_symlink() or not source.resolve().is_relative_to(root.resolve()):
        raise BuildError(f"the build made {source} a link out of its directory; it is not taken")
    shutil.copyfile(source, target)
    target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)

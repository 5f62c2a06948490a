# SPDX-License-Identifier: GPL-2.0-or-later
"""From an O= directory to a Kernel in the store: which files, and what identifies each."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from panthorlab.arch import ARCHES
from panthorlab.files import disk_errors
from panthorlab.kernel import store
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.elf import build_id
from panthorlab.kernel.jail import inside
from panthorlab.kernel.model import Kernel

RELEASE = "include/config/kernel.release"
"""In an O= directory: what `make kernelrelease` has said."""
NOTES = "gcov"
"""Of a stored kernel: where the compiler's notes (.gcno) lie, each as /sys/kernel/debug/gcov has what it counts."""
_PARTS = {"System.map": "System.map", ".config": "config", "vmlinux": "vmlinux"}


@dataclass(frozen=True)
class Artefacts:
    """Where a build left what is wanted. `shim`: the directory with the out-of-tree module; None: `core` has it, too.

    `core`: a stored kernel that has everything but the guest programs and the shim already. `built_as`: what `objects`
    was called where it was built. `shim_key`: see Kernel.
    """

    objects: Path
    shim: Path | None
    guest: Path
    dtbs: tuple[str, ...]
    core: Kernel | None = None
    jailed: bool = True
    built_as: str = ""
    shim_key: str = ""


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
    if artefacts.shim is not None:
        _copy_modules(artefacts.shim, into)
    (into / "guest").mkdir()
    for program in sorted(artefacts.guest.iterdir()):
        if (inside.read(artefacts.guest, program.name, 4) or b"") == b"\x7fELF":
            _copy(artefacts.guest, program.name, into / "guest" / program.name)
    modules = sorted((into / "modules").glob("*.ko"))
    return Kernel(
        key=plan.key,
        path=into,
        arch=plan.arch,
        title=plan.title,
        patches=plan.patches,
        release=release,
        build_id=build_id(into / "vmlinux"),
        modules={path.stem.replace("-", "_"): build_id(path) for path in modules},
        digests=digests(
            into,
            ["Image", *(str(path.relative_to(into)) for path in [*modules, *sorted((into / "dtbs").glob("*.dtb"))])],
        ),
        fragments=tuple(path.stem for path in plan.fragments),
        jailed=artefacts.jailed,
        shim_key=artefacts.shim_key,
    )


def _fill_core(plan: SidePlan, artefacts: Artefacts, into: Path) -> str:
    objects, arch = artefacts.objects, ARCHES[plan.arch]
    _copy(objects, arch.image_path, into / "Image")
    for source, name in _PARTS.items():
        _copy(objects, source, into / name)
    _copy_modules(objects, into)
    for name in artefacts.dtbs:
        (into / "dtbs").mkdir(exist_ok=True)
        _copy(objects, f"{arch.boot_directory}/dts/{name}", into / "dtbs" / Path(name).name)
    copy_notes(plan.profiled, artefacts, into)
    return inside.text(objects, RELEASE).strip()


def _link_core(core: Path, into: Path) -> None:
    """Everything of a stored kernel but its guest programs; files of the store never change, so links will do."""
    plain = [core / "Image", *(core / name for name in _PARTS.values())]
    notes = core.glob(f"{NOTES}/**/*.gcno")
    for source in [*plain, *core.glob("modules/*"), *core.glob("dtbs/*"), *notes]:
        target = into / source.relative_to(core)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)


def copy_notes(names: Iterable[str], artefacts: Artefacts, into: Path) -> None:
    """Copy the compiler's notes for the C files and directories (`DIR/`) that are instrumented for gcov."""
    objects = artefacts.objects
    for name in names:
        # a file may have none: it is not compiled in this configuration, or its Makefile forbids to profile it
        pattern = f"{name}**/*.gcno" if name.endswith("/") else f"{glob.escape(name.removesuffix('.c'))}.gcno"
        for path in sorted(objects.glob(pattern)):
            target = into / NOTES / artefacts.built_as.lstrip("/") / path.relative_to(objects)
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(objects, str(path.relative_to(objects)), target)


def _copy_modules(directory: Path, into: Path) -> None:
    for module in built_modules(directory):
        target = into / "modules" / Path(module).name
        target.unlink(missing_ok=True)
        _copy(directory, module, target)


def built_modules(directory: Path) -> list[str]:
    """The modules that `modules.order` of a build lists, as paths in its directory."""
    order = inside.read(directory, "modules.order") or b""
    return [_module(directory, name) for name in order.decode(errors="replace").split()]


def digests(root: Path, names: Iterable[str]) -> dict[str, str]:
    """sha256 of files in `root`, by the last part of their names."""
    found = {}
    for name in names:
        with inside.opened(root, name) as file:
            found[Path(name).name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _module(directory: Path, name: str) -> str:
    # Out of tree the names are absolute or relative to the O= directory, by kernel version; the last part is ours.
    module = Path(name).with_suffix(".ko")
    return module.name if module.is_absolute() or not (directory / module).exists() else str(module)


def _copy(root: Path, name: str, target: Path) -> None:
    """Copy a build product. What was built is untrusted: no link is followed, wherever it leads."""
    with inside.opened(root, name) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
        executable = os.fstat(source.fileno()).st_mode & 0o100
    target.chmod(0o755 if executable else 0o644)

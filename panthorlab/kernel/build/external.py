# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel that somebody else built: its O= directory is taken into the store, with guest programs for it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from panthorlab.arch import ARCHES, DEFAULT
from panthorlab.errors import UsageError
from panthorlab.kernel import driver, store
from panthorlab.kernel.build import config, guest
from panthorlab.kernel.build.collect import built_modules, collect, digests
from panthorlab.kernel.build.key import FORMAT
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.build.steps import Builder, build_extras
from panthorlab.kernel.build.toolchain import find_toolchain
from panthorlab.kernel.elf import build_id
from panthorlab.kernel.jail import inside
from panthorlab.kernel.jail.sandbox import sandbox
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.progress import Progress
from panthorlab.kernel.source import makefile
from panthorlab.kernel.source.base import Base
from panthorlab.kernel.source.localsource import reader
from panthorlab.outcome import Side
from panthorlab.paths import cache_dir


def import_build(path: Path, *, log: Path, progress: Progress) -> Kernel:
    """The store's copy of the kernel in build directory `path`, which is only read.

    Raises UsageError if it is no finished build of a kernel with one driver for the GPU, or its source tree is gone.
    """
    needed = ("vmlinux", "System.map", ".config", "include/config/kernel.release")
    missing = [name for name in needed if inside.read(path, name, 1) is None]
    if missing:
        lacking = ", no ".join(missing)
        raise UsageError(f"{path} is not a finished kernel build: it has no {lacking}", hint="build it first")
    values = config.parse_dotconfig(inside.text(path, ".config"))
    arch = next((arch for arch in ARCHES.values() if values.get(arch.option) == "y"), None)
    if arch is None or inside.read(path, arch.image_path, 1) is None:
        wanted = arch or DEFAULT
        raise UsageError(
            f"{path} has no {wanted.name} kernel {wanted.image}",
            hint=f"build it with ARCH={wanted.name}, target {wanted.image}",
        )
    found = driver.only(values, f"the kernel in {path}")
    source = (path / "source").resolve() if (path / "source").exists() else path
    makefile.check_tree(str(source), reader(source))

    release = inside.text(path, "include/config/kernel.release").strip()
    contents = digests(path, ["vmlinux", arch.image_path, *built_modules(path)])
    core = hashlib.sha256(repr((build_id(path / "vmlinux"), sorted(contents.items()))).encode()).hexdigest()
    key = hashlib.sha256(f"{FORMAT} {core} {guest.digest()}".encode()).hexdigest()
    if kernel := store.load(key, progress):
        return kernel
    base = Base(f"dir-{core}", str(source), release, source, driver.PANTHOR.has_fix(reader(source)))
    plan = SidePlan(
        side=Side.AFTER,
        key=key,
        core_key=core,
        title=f"{release} from {path}",
        base=base,
        changes={},
        reports=(),
        fragments=(),
        config_key="",
        arch=arch.name,
        toolchain=find_toolchain(arch.name),
        profiled=(f"{found.directory}/",) if values.get("GCOV_KERNEL") == "y" else (),
    )
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", buffering=1, errors="replace") as file:
        jobs = len(os.sched_getaffinity(0))
        builder = Builder(plan, path, cache_dir("external", key[:32]), file, progress, jobs, sandbox(), foreign=True)
        return collect(plan, build_extras(builder, core=store.with_core(core, progress)))

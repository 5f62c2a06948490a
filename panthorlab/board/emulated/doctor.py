# SPDX-License-Identifier: GPL-2.0-or-later
"""What boards need on this machine, as a list of checks that `panthorlab doctor` prints."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from panthorlab import debs
from panthorlab.board.emulated import qemu
from panthorlab.board.emulated.exact import plugin
from panthorlab.checks import Check, check
from panthorlab.errors import LabError
from panthorlab.paths import cache_dir


def _program(name: str) -> Callable[[], str]:
    def probe() -> str:
        path = shutil.which(name)
        if path is None:
            raise LabError("not on PATH")
        return path

    return probe


def _qemu() -> str:
    """Check for an installed QEMU, one in the cache, or the possibility to download one; downloads nothing."""
    found, refused = qemu.installed_qemu()
    if found:
        return f"{found.version}, {found.origin}"
    if not Path(debs.APT_HELPER).exists():
        raise LabError("; ".join(refused) or f"no {qemu.PROGRAM} on PATH, and no apt to get one with")
    pinned = qemu.pinned_packages()
    root = qemu.cached_root(pinned)
    if root:
        return f"Debian's, in the cache: {root}"
    size = sum(deb.size for deb in pinned) / 1e6
    what = f"{size:.0f} MB" if pinned else "not pinned for this machine"
    return f"Debian's will be downloaded into the cache: {what}"


def _exact() -> str:
    """Check that the QEMU that is here takes the plugin of exact time; compiles it into the cache if need be."""
    found, _ = qemu.installed_qemu()
    root = qemu.cached_root(qemu.pinned_packages())
    if found is None and root is not None:
        found = qemu.check(qemu.unpacked_qemu(root))
    if found is None:
        return "there is no QEMU to ask yet"
    if why := plugin.unusable(found):
        raise LabError(why)
    return f"QEMU {found.version} takes the plugin; `doctor --exact` proves it"


def _cache() -> str:
    path = cache_dir()
    free = shutil.disk_usage(path).free
    if free < 1 << 30:
        raise LabError(f"{path} has only {free >> 20} MiB free")
    return f"{path}, {free >> 30} GiB free"


def _cpus() -> str:
    return f"{len(os.sched_getaffinity(0))} usable; each emulated board takes one"


def checks() -> tuple[Check, ...]:
    """In the order to print them. None of them uses the network, or changes anything but plugins in the cache."""
    return (
        check("QEMU", _qemu, f"install {qemu.WHERE}"),
        check("exact time", _exact, "install gcc and libc6-dev; without it boards live in the host's time"),
        check("apt mirror", debs.debian_mirror, "run `apt-get update`; only needed to fetch QEMU"),
        check("dpkg-deb", _program("dpkg-deb"), "install dpkg; only needed to unpack QEMU"),
        check("setpriv", _program("setpriv"), "install util-linux: it keeps QEMU from outliving panthorlab"),
        check("cache", _cache, "free some space, or point XDG_CACHE_HOME elsewhere"),
        check("CPUs", _cpus, ""),
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU that can attach the emulated GPU: one that is installed, else Debian's, unpacked into the cache.

`vfio-user-pci` came with QEMU 10.1. Where the distribution's QEMU is older, the packages named in `qemu-debs.lock`
are fetched by hash and run from the cache by their own dynamic loader: no root, nothing installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from panthorlab import debs, spawn
from panthorlab.arch import DEFAULT
from panthorlab.debs import Deb, ProgressCallback
from panthorlab.errors import LabError
from panthorlab.paths import cache_dir

PROGRAM = DEFAULT.qemu_program
PACKAGE = DEFAULT.qemu_package
MINIMUM = (10, 1)
LOCK = Path(__file__).with_name("qemu-debs.lock")
SUITES = (("trixie", "trixie-backports"), ("sid",))
"""Where to look for new enough packages if the pinned ones are gone; within a group, the last suite is preferred."""
WHERE = (
    "QEMU 10.1 or newer with vfio-user-pci: Debian trixie-backports and sid, Fedora 43, Ubuntu 26.04, "
    "or built from source; put it on PATH"
)
_ANSWER_TIMEOUT = 60.0
_from_cache: list[Qemu] = []  # found there by this process


@dataclass(frozen=True)
class Qemu:
    """`argv`: how to start it. `origin`: `PATH` or `cache`, and the file."""

    argv: tuple[str, ...]
    version: str
    origin: str


def find_qemu(on_progress: ProgressCallback = lambda _text: None) -> Qemu:
    """The QEMU to use. Downloads one if none here is new enough. Raises LabError that says which versions would do."""
    found, refused = installed_qemu()
    if found:
        return found
    try:
        if not _from_cache:
            _from_cache.append(_cached_qemu(on_progress))
        return _from_cache[0]
    except (LabError, OSError) as error:
        tried = "".join(f"\n  {line}" for line in refused) or "\n  none on PATH"
        hints = [*filter(None, [getattr(error, "hint", None)]), f"install {WHERE}"]
        raise LabError(f"no usable {PROGRAM}:{tried}\n  Debian's package: {error}", hint="; or ".join(hints)) from error


@cache
def installed_qemu() -> tuple[Qemu | None, tuple[str, ...]]:
    """The first usable QEMU on PATH, and why those before it are not usable."""
    refused: list[str] = []
    for folder in os.get_exec_path():
        path = Path(folder, PROGRAM)
        if not os.access(path, os.X_OK):
            continue
        qemu = Qemu((str(path),), "", f"PATH: {path}")
        try:
            return check(qemu), tuple(refused)
        except LabError as error:
            refused.append(f"{path}: {error}")
    return None, tuple(refused)


def check(qemu: Qemu) -> Qemu:
    """`qemu` with its version filled in. Raises LabError if it is too old or was built without vfio-user."""
    text = _ask(qemu, "--version")
    found = re.search(r"version (\d+)\.(\d+)(?:\.(\d+))?", text)
    if not found:
        raise LabError(f"does not tell its version: {text.strip()[:200]!r}")
    version = found[0].removeprefix("version ")
    if (int(found[1]), int(found[2])) < MINIMUM:
        raise LabError(f"version {version} is too old, {'.'.join(map(str, MINIMUM))} is the first with vfio-user-pci")
    if "x-msg-timeout" not in _ask(qemu, "-device", "vfio-user-pci,help"):
        raise LabError(f"version {version} was built without vfio-user-pci")
    return Qemu(qemu.argv, version, qemu.origin)


def _ask(qemu: Qemu, *arguments: str) -> str:
    try:
        done = spawn.run([*qemu.argv, *arguments], timeout=_ANSWER_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"cannot be run: {error}") from error
    return (done.stdout + done.stderr).decode("utf-8", "replace")


# -- Debian's package in the cache ------------------------------------------------------------------------------


def _cached_qemu(on_progress: ProgressCallback) -> Qemu:
    pinned = pinned_packages()
    base = cache_dir("qemu")
    with debs.exclusive(base):
        root = cached_root(pinned) or debs.provide(
            base,
            debs.tree_key(pinned),
            "QEMU",
            pinned,
            lambda: resolve(debs.debian_mirror()),
            lambda root: check(unpacked_qemu(root)),
            on_progress,
        )
    return check(unpacked_qemu(root))


def pinned_packages() -> list[Deb]:
    """The packages of the lock file; none if it is for another architecture than this machine's."""
    pinned_for, pinned = debs.parse_lock(LOCK.read_text())
    return pinned if pinned_for == debs.architecture() else []


def cached_root(pinned: list[Deb]) -> Path | None:
    """The unpacked tree of these packages in the cache, if it is there."""
    root = cache_dir("qemu") / debs.tree_key(pinned) / "root"
    return root if root.is_dir() else None


def resolve(mirror: str) -> list[Deb]:
    """The packages that give a new enough QEMU today. Raises LabError."""
    refused = []
    for suites in SUITES:
        with tempfile.TemporaryDirectory(dir=cache_dir("qemu")) as folder:
            found = debs.PackageResolver(Path(folder), mirror, suites).resolve(PACKAGE)
        version = next((deb.name.split("_")[1] for deb in found if deb.name.startswith(f"{PACKAGE}_")), "?")
        number = re.match(r"(\d+)\.(\d+)", version)
        if number and (int(number[1]), int(number[2])) >= MINIMUM:
            return found
        refused.append(f"{suites[-1]} has {version}")
    raise LabError(f"no new enough {PACKAGE} in the archive: {', '.join(refused)}")


def unpacked_qemu(root: Path) -> Qemu:
    """QEMU in an unpacked tree, started by the tree's own dynamic loader and libraries."""
    program = root / "usr/bin" / PROGRAM
    if not program.exists():
        raise LabError(f"{root} holds no {PROGRAM}", hint=f"delete {root.parent} and try again")
    start, library_path = debs.loader(root)
    argv = (start, "--library-path", library_path, str(program), "-L", str(root / "usr/share/qemu"))
    return Qemu(argv, "", f"cache: {program}")

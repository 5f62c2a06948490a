# SPDX-License-Identifier: GPL-2.0-or-later
"""Finished kernels in the cache, `kernels/KEY/` with `kernel.json`: each is immutable, and complete or absent.

A kernel's directory is written under a temporary name, synced to disk, and then renamed. `load` compares every file
with the digest recorded at `publish`; a damaged kernel is moved aside and counts as absent, so that it is built again.
A damaged record affects no other kernel.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from panthorlab.errors import BuildError, LabError, UsageError
from panthorlab.files import UNREADABLE, disk_errors, read_object, sha256, sync, sync_below, write_whole
from panthorlab.kernel.elf import build_id
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.progress import quiet
from panthorlab.paths import cache_dir, cache_path

RECORD = "kernel.json"
_OLD_RECORD = ("Image", "System.map", "config", "vmlinux")
ASIDE = "new-damaged-"  # like every `new-…`: owned by nobody, and deleted after a day
_OF_RECORD = "checksum"
_WORDS = ("key", "arch", "release", "build_id", "title")
_DAMAGED_HINT = "give the patch or source again, and it is built anew; or `panthorlab build`"


def store_dir() -> Path:
    return cache_dir("kernels")


def load(key: str, note: Callable[[str], None] = quiet) -> Kernel | None:
    """The kernel stored under exactly this key, verified and marked as used now; None if there is none.

    A damaged kernel is moved aside, reported to `note`, and counts as absent.
    """
    path = store_dir() / key
    if not key or not path.is_dir():
        return None
    kernel, why = examine(path)
    if kernel is None:
        note(f"{set_aside(path, why)}: it is built again")
        return None
    os.utime(path / RECORD)
    return kernel


def has(key: str) -> bool:
    """Whether a kernel is stored under exactly this key. Changes nothing."""
    return cache_path("kernels", key, RECORD).is_file()


def read_record(record: Path) -> Kernel:
    """The kernel in the directory of `record`, also outside the store. Raises LabError if it is damaged."""
    kernel, why = examine(record.parent)
    if kernel is None:
        raise LabError(f"the kernel in {record.parent} is damaged: {why}", hint="copy it there again, or build it")
    return kernel


def examine(path: Path) -> tuple[Kernel | None, str]:
    """(the kernel in a directory, "") if it is exactly as it was stored; else (None, what is wrong with it)."""
    kernel = _recorded(path / RECORD)
    if kernel is None:
        return None, f"{RECORD} is missing or cannot be read"
    if path.parent == store_dir() and kernel.key != path.name:
        return None, f"{RECORD} is of another kernel"
    why = _why_damaged(kernel)
    return (None, why) if why else (kernel, "")


def _recorded(record: Path) -> Kernel | None:
    """The kernel as its record describes it; None if the record is missing or damaged."""
    data = read_object(record)
    if data is None or ((_OF_RECORD in data or "files" in data) and data.get(_OF_RECORD) != _checksum(data)):
        return None
    words: dict[str, Any] = {name: data.get(name) for name in _WORDS}
    if not all(isinstance(word, str) for word in words.values()):
        return None  # record of an older version, without a checksum
    try:
        return Kernel(
            path=record.parent,
            **words,
            **{name: data[name] for name in ("modules", "digests", "files") if name in data or name != "files"},
            patches=tuple(data["patches"]),
            fragments=tuple(data["fragments"]),
            jailed=data.get("jailed", True),
            shim_key=data.get("shim_key", ""),
        )
    except (KeyError, TypeError):
        return None


def _checksum(data: Mapping[str, Any]) -> str:
    text = json.dumps({name: value for name, value in data.items() if name != _OF_RECORD}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _why_damaged(kernel: Kernel) -> str:
    """What is wrong with the files of a kernel; empty if they are as they were stored.

    Records of older versions do not list every file; then only the listed ones are checked.
    """
    try:
        present = tuple(
            sorted(
                (str(path.relative_to(kernel.path)), stat.st_size, stat.st_mtime_ns, stat.st_ino)
                for path in kernel.path.rglob("*")
                if path.is_file() and (stat := path.stat())
            )
        )
        if kernel.files:
            return _differs(kernel.path, present, tuple(sorted(kernel.files.items())))
        places = {"Image": "Image", ".ko": "modules/{}", ".dtb": "dtbs/{}"}
        known = {places[Path(name).suffix or name].format(name): digest for name, digest in kernel.digests.items()}
        why = _differs(kernel.path, present, (*((name, "") for name in _OLD_RECORD), *sorted(known.items())))
        return why or ("" if build_id(kernel.path / "vmlinux") == kernel.build_id else "vmlinux is of another build")
    except (BuildError, OSError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, OSError) and error.errno not in UNREADABLE:
            raise
        return f"{RECORD} or vmlinux makes no sense: {error}"


@lru_cache(maxsize=64)
def _differs(path: Path, present: tuple[tuple[str, int, int, int], ...], files: tuple[tuple[str, str], ...]) -> str:
    """The first difference from `files` (name and expected digest, if known); empty if none. `present`: key of the
    cache that saves this process from reading unchanged files again."""
    sizes = {name: size for name, size, _, _ in present}
    for name, digest in files:
        if not sizes.get(name):
            return f"{name} is {'empty' if name in sizes else 'missing'}"
        try:
            if digest and sha256(path / name) != digest:
                return f"{name} is not what was stored"
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            return f"{name} cannot be read: {error.strerror}"
    return "" if any(name == "Image" for name, _ in files) else "it has no Image"


def set_aside(path: Path, why: str) -> str:
    """Move a damaged kernel out of the way. Returns a message about it."""
    aside = Path(tempfile.mkdtemp(prefix=f"{ASIDE}{path.name[:24]}-", dir=store_dir()))
    try:
        path.rename(aside)  # onto an empty directory
    except FileNotFoundError:
        aside.rmdir()  # another run was faster
    return f"the stored kernel {path.name[:12]} is damaged ({why}) and was moved aside"


def write_record(kernel: Kernel, core_key: str) -> None:
    """Write `kernel.json`, with the digests of all files, into the kernel's still unpublished directory."""
    files = {
        str(path.relative_to(kernel.path)): sha256(path)
        for path in sorted(kernel.path.rglob("*"))
        if path.is_file() and path.name != RECORD
    }
    data = {**asdict(replace(kernel, files=files)), "core_key": core_key}
    del data["path"]
    write_whole(kernel.path / RECORD, json.dumps({**data, _OF_RECORD: _checksum(data)}, indent=1))


def new_directory() -> Path:
    """An empty directory to fill and `publish`."""
    path = Path(tempfile.mkdtemp(prefix="new-", dir=store_dir()))
    path.chmod(0o755)
    return path


def publish(scratch: Path, key: str) -> Kernel:
    """Make `scratch` the kernel of `key`, atomically. If another run was faster, its kernel is returned."""
    target = store_dir() / key
    with disk_errors():
        sync_below(scratch)
        try:
            scratch.rename(target)
        except OSError:
            if load(key) is None:  # the existing one was damaged, and has now been moved aside
                scratch.rename(target)
            else:
                shutil.rmtree(scratch)
        sync(target.parent)
    kernel = load(key)
    if kernel is None:
        raise LabError(f"the kernel {key[:12]} cannot be read back", hint="is the disk failing? see `dmesg`")
    return kernel


def directories() -> list[Path]:
    """The directories of all kernels in the store, damaged or not, most recently used first."""
    found = [path for path in store_dir().iterdir() if path.is_dir() and not path.name.startswith("new-")]
    return sorted(found, key=_used, reverse=True)


def _used(path: Path) -> float:
    record = path / RECORD
    return (record if record.exists() else path).stat().st_mtime


def kernels() -> Iterator[Kernel]:
    """All kernels in the store with a readable record, most recently used first. Their files are not checked."""
    for path in directories():
        if kernel := _recorded(path / RECORD):
            yield kernel


def with_core(core_key: str, note: Callable[[str], None] = quiet, *, shim_key: str | None = None) -> Kernel | None:
    """A verified stored kernel that differs from the wanted one at most in its guest programs and its shim module; with
    `shim_key`, in the programs alone."""
    wanted = {"core_key": core_key} | ({} if shim_key is None else {"shim_key": shim_key})
    for path in directories():
        data = read_object(path / RECORD)
        if data is not None and wanted.items() <= data.items() and (kernel := load(path.name, note)):
            return kernel
    return None


def find(prefix: str) -> Kernel:
    """The kernel whose key starts with `prefix`. Raises UsageError if there is none, or more than one; LabError if it
    is damaged."""
    found = [path for path in directories() if prefix and path.name.startswith(prefix)]
    if len(found) == 1:
        kernel, why = examine(found[0])
        if kernel is None:
            raise LabError(set_aside(found[0], why), hint=_DAMAGED_HINT)
        os.utime(found[0] / RECORD)
        return kernel
    readable = list(kernels())
    some = [kernel for kernel in readable if kernel.path in found] or readable[:5]
    known = ", ".join(f"{kernel.key[:12]} ({kernel.title})" for kernel in some)
    if found:
        raise UsageError(f"{prefix} could be any of {known}", hint="give more digits of the key")
    if prefix and any(store_dir().glob(f"{ASIDE}{glob.escape(prefix[:24])}*")):
        raise LabError(f"the stored kernel {prefix[:12]} was damaged and has been moved aside", hint=_DAMAGED_HINT)
    raise UsageError(
        f"no kernel {prefix!r} in the store, and no build directory of that name",
        hint=f"the last ones: {known}" if known else "the store is empty; `panthorlab build` fills it",
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""Files on their way to another host, which keeps them by their content, so that each goes there once."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

from panthorlab.errors import LabError
from panthorlab.files import digest, exclusive, sha256
from panthorlab.kernel import store
from panthorlab.kernel.progress import quiet
from panthorlab.paths import cache_dir

CHUNK: Final = 8 << 20
KEPT: Final = 30 * 86400.0
"""Seconds after its last use for which a parcel is kept. Kernels are kept by the rules of the store."""
KERNEL: Final = "kernel"
EXECUTABLE: Final = 0o100
"""Of a file's mode, what decides how a board takes it."""


@dataclass(frozen=True)
class Parcel:
    """What lies in `root` on this host, all of it or these `members`; on another it gets a directory of its own, which
    both call `name`. `KERNEL`: the kernel of the store whose key it has."""

    name: str
    key: str
    root: Path
    members: tuple[str, ...]

    @classmethod
    def of(cls, name: str, root: Path, members: Iterable[str] = ()) -> Parcel:
        """Under the key of its content. No `members`: everything. Raises OSError."""
        chosen = tuple(sorted(members)) or tuple(sorted(path.name for path in root.iterdir()))
        return cls(name, digest(sorted(_described(root, chosen))), root, chosen)

    def chunks(self) -> Iterator[bytes]:
        """A tar of it, in pieces. Raises OSError."""
        with tempfile.TemporaryFile(dir=cache_dir("hosts")) as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                for member in self.members:
                    tar.add(self.root / member, member)
            file.seek(0)
            while piece := file.read(CHUNK):
                yield piece


def _described(root: Path, members: Iterable[str]) -> Iterator[tuple[str, int, str]]:
    for member in members:
        top = root / member
        for path in [top, *(top.rglob("*") if top.is_dir() and not top.is_symlink() else [])]:
            name = str(path.relative_to(root))
            if path.is_symlink():
                yield name, 0, str(path.readlink())
            else:
                yield name, path.stat().st_mode & EXECUTABLE, sha256(path) if path.is_file() else ""


def kept(name: str, key: str, fetch: Callable[[IO[bytes]], None]) -> Path:
    """Where the parcel lies on this host; `fetch` writes its tar, if it is not here yet. Raises LabError, OSError."""
    folder = cache_dir("hosts", "parcels")
    with exclusive(folder / f".{key}.lock", f"the parcel {key[:12]}", lambda: None):
        here = _kernel(key) if name == KERNEL else _parcel(folder / key)
        if here is not None:
            return here
        with tempfile.TemporaryFile(dir=folder) as file:
            fetch(file)
            file.seek(0)
            return _publish_kernel(file, key) if name == KERNEL else _publish(file, folder, key)


def _kernel(key: str) -> Path | None:
    kernel = store.load(key, quiet)
    return kernel.path if kernel is not None else None


def _parcel(path: Path) -> Path | None:
    if not path.is_dir():
        return None
    os.utime(path)
    return path


def _publish_kernel(file: IO[bytes], key: str) -> Path:
    scratch = store.new_directory()
    try:
        unpack(file, scratch, "tar")
        return store.publish(scratch, key).path
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _publish(file: IO[bytes], folder: Path, key: str) -> Path:
    for old in folder.iterdir():
        if not old.name.startswith(".") and time.time() - old.stat().st_mtime > KEPT:
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as made:
        scratch = Path(made, "files")
        scratch.mkdir()
        unpack(file, scratch, "tar")  # which leaves links as they are: those of an overlay are meant on the board
        if (found := Parcel.of("", scratch).key) != key:
            raise LabError(f"a parcel came as {found[:12]}, and {key[:12]} was sent", hint="is a disk failing?")
        scratch.rename(folder / key)
    return folder / key


def unpack(file: IO[bytes], folder: Path, rules: Literal["data", "tar"] = "data") -> None:
    """A tar from another host: nothing of it lands outside `folder`, and by the rules for data no link leads there.
    Raises LabError."""
    try:
        with tarfile.open(fileobj=file, mode="r:*") as tar:
            tar.extractall(folder, filter=rules)  # noqa: S202 - both keep it within
    except tarfile.TarError as error:
        raise LabError(f"files from another host cannot be unpacked: {error}") from error


def packed_logs(folder: Path, without: frozenset[str]) -> bytes:
    """The logs of a boot, as a compressed tar."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz", compresslevel=1) as tar:
        for path in sorted(folder.iterdir()):
            if path.name not in without:
                tar.add(path, path.name)
    return data.getvalue()

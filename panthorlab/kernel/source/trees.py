# SPDX-License-Identifier: GPL-2.0-or-later
"""One private tree per base, unpacked once and patched in place, so that builds are incremental.

`trees/KEY/src` is the tree, `trees/KEY/base.json` says what it is, `trees/KEY/pristine` keeps the original of every
file that a patch has ever touched, `trees/KEY/obj-…` are the O= directories. Only files whose content changes are
written: all others keep their times, and make rebuilds exactly what it must.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Final

from panthorlab.arch import ARCHES
from panthorlab.errors import LabError, PatchError, SourceError
from panthorlab.files import LOCK_SECONDS, disk_errors, exclusive, read_object, sync
from panthorlab.kernel.driver import PANTHOR, ReadFile
from panthorlab.kernel.jail.sandbox import Bind, sandbox
from panthorlab.kernel.progress import Progress
from panthorlab.kernel.source import makefile
from panthorlab.kernel.source.base import Base, Changes
from panthorlab.kernel.source.localsource import DirectorySource, RevisionSource, reader
from panthorlab.kernel.source.spec import Source, UnknownYetError
from panthorlab.paths import cache_dir, cache_path

CLEAN_SECONDS = 600.0
NO_MODES: Final[Mapping[str, bool]] = MappingProxyType({})


class TakenAwayError(Exception):
    """A tree is no longer in the cache, or is to be unpacked again."""


def open_base(source: Source, progress: Progress) -> Base:
    """The private tree of `source`, unpacked now if it is not there yet.

    Raises SourceError if it is no kernel or has no driver for the GPU; then nothing of it is kept.
    """
    home = _home(source.key)
    record = home / "base.json"
    base = _recorded(source.key, record)
    if base is None:
        with locked(source.key, progress):
            base = _recorded(source.key, record)
            if base is None:
                if record.exists():
                    progress(f"the record of {source.title} in the cache is damaged: unpacking it again")
                _unpack(source, home, progress)
                base = _recorded(source.key, record)
    if base is None:
        raise LabError(f"{record} cannot be read back", hint="is the disk failing? see `dmesg`")
    os.utime(record)  # last use, for the garbage collector
    return named(base, source)


def _recorded(key: str, record: Path) -> Base | None:
    """The base described by a tree's record; None if there is no record, or it is damaged."""
    tree = record.with_name("src")
    match read_object(record):
        case {"title": str(title), "version": str(version), "has_fix": bool(has_fix)} if tree.is_dir():
            return Base(key, title, version, tree, has_fix)
    return None


def is_sound(home: Path) -> bool:
    """Whether the record of the tree in `trees/KEY` can be read, and the tree is there."""
    return _recorded("", home / "base.json") is not None


def is_there(key: str) -> bool:
    """Whether the private tree of a source is in the cache."""
    return is_sound(cache_path("trees", _short(key)))


def forget(base: Base) -> None:
    """Have a tree whose content has changed unpacked again the next time. Call it under `locked`."""
    (base.path.parent / "base.json").unlink(missing_ok=True)


def named(base: Base, source: Source) -> Base:
    """The tree with the title and commit of `source`, whichever source it was unpacked from."""
    commit = source.commit if isinstance(source, RevisionSource) else ""
    return replace(base, title=source.title, commit=commit)


def look(source: Source) -> tuple[Base, ReadFile]:
    """The base that `open_base` would give, and its files; nothing is unpacked, written or marked as used.

    Sources on the user's disk are read there. Raises UnknownYetError for a source that must be unpacked first.
    """
    home = cache_path("trees", _short(source.key))
    known = _recorded(source.key, home / "base.json")
    if known is not None:
        base = named(known, source)
        return base, lambda path: read_base(base, path)
    if not isinstance(source, RevisionSource | DirectorySource):
        raise UnknownYetError(source.title)

    def read(path: str) -> bytes | None:
        if isinstance(source, DirectorySource):
            tree_path(source.path, path)  # refuses what leads out of it
        return source.read(path)

    version = makefile.check_tree(source.title, read)
    return named(Base(source.key, source.title, version, home / "src", PANTHOR.has_fix(read)), source), read


def _unpack(source: Source, home: Path, progress: Progress) -> None:
    scratch = Path(tempfile.mkdtemp(prefix="new-", dir=cache_dir("trees")))
    try:
        with disk_errors():
            tree = scratch / "src"
            tree.mkdir()
            source.unpack(tree, progress)
            version = makefile.check_tree(source.title, reader(tree))
            if (tree / ".config").exists() or (tree / "include/config").exists():
                progress("cleaning the copy of the tree")
                _clean(tree)
            data = {"title": source.title, "version": version, "has_fix": PANTHOR.has_fix(reader(tree))}
            (scratch / "base.json").write_text(json.dumps(data, indent=1))
            scratch.chmod(0o700)
            os.sync()  # a hundred thousand files: cheaper than one by one
            if home.exists():
                shutil.rmtree(home)
            scratch.replace(home)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _clean(tree: Path) -> None:
    """`make mrproper`, which runs the tree's Makefiles."""
    box, binds, output = sandbox(), (Bind("src", tree, writable=True),), list[str]()
    box.hand_over(tree, *_below(tree))
    for arch in ARCHES:  # each has generated headers of its own
        argv = ["make", "-s", "-C", box.where(binds, "src"), f"ARCH={arch}", "mrproper"]
        if status := box.run(argv, binds, on_line=output.append, timeout=CLEAN_SECONDS):
            last = "\n".join(output[-4:])
            raise SourceError(
                f"the tree has been built in, and its `make mrproper` fails with status {status}: {last}",
                hint="clean it yourself, or give a git revision: PATH@REV",
            )
    box.take_back(tree, *_below(tree))


def _below(tree: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(tree):
        yield from (Path(folder, name) for name in (*folders, *files))


def locked(key: str, progress: Progress, timeout: float = LOCK_SECONDS) -> AbstractContextManager[None]:
    """Only one run at a time changes a tree. See `files.exclusive`."""
    path = cache_dir("trees") / f"{_short(key)}.lock"
    text = "waiting for another run that builds from the same tree"
    return exclusive(path, f"the tree {key}", lambda: progress(text), timeout)


def programs_locked(key: str, progress: Progress, timeout: float = LOCK_SECONDS) -> AbstractContextManager[None]:
    """Only one run at a time makes guest programs alone for kernels of a tree. It changes nothing in the tree, and
    reads the base as `kept` and `read_base` have it: so it has no need of `locked`."""
    path = cache_dir("trees") / f"{_short(key)}.programs.lock"
    text = "waiting for another run that makes guest programs for the same tree"
    return exclusive(path, f"the guest programs of the tree {key}", lambda: progress(text), timeout)


@contextmanager
def kept(base: Base) -> Iterator[None]:
    """For who reads a base outside `locked`. Raises TakenAwayError if the tree is not there, or was taken away
    meanwhile, so that what was read may be of half a tree: its record goes first."""
    record = base.path.parent / "base.json"
    try:
        with record.open() as file:  # while it is open, no other file is the same
            if _recorded(base.key, record) is None:
                raise TakenAwayError(str(base.path))
            yield
            if not os.path.samestat(os.fstat(file.fileno()), record.stat()):
                raise TakenAwayError(str(base.path))
    except FileNotFoundError as error:
        raise TakenAwayError(str(base.path)) from error


def names_in_base(base: Base, folder: str, pattern: str) -> set[str]:
    """The names of the files in a directory of the base that match a pattern, and perhaps of some that it lacks and a
    patch has put there. Whatever patch is applied now, or while this looks."""
    found = {path.name for path in (base.path / folder).glob(pattern)}
    # Afterwards, for what a patch deletes is saved there before.
    return found | {path.name for path in (_pristine(base) / "files" / folder).glob(pattern)}


def read_base(base: Base, path: str) -> bytes | None:
    """A file of the base as it was unpacked, whatever patch is applied now; None if the base lacks it.

    Raises PatchError if the path leaves the tree.
    """
    pristine, absent = _pristine(base) / "files" / path, _pristine(base) / "absent" / path
    current = tree_path(base.path, path)
    # Originals are saved before a tree is written, so looking there again afterwards closes the race.
    for _ in range(2):
        if absent.is_file():
            return None
        if pristine.is_file():
            return pristine.read_bytes()
        content = _content(current)
    return content


def _content(path: Path) -> bytes | None:
    """None also of a file that is deleted at this very moment."""
    try:
        return path.read_bytes() if path.is_file() else None
    except FileNotFoundError:
        return None


def tree_path(root: Path, path: str) -> Path:
    """`root/path`. Raises PatchError for a path that leaves the tree, also through a symbolic link."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise PatchError(f"the patch names a file outside the tree: {path}", hint="paths must be relative to the tree")
    place = root
    for part in parts:
        if place != root and place.is_file():
            raise PatchError(
                f"the patch names {path}, but {place.relative_to(root)} is a file", hint="is it for this tree?"
            )
        place /= part
        if place.is_symlink():
            raise PatchError(
                f"the patch names {path}, which is reached through a symbolic link",
                hint="name the file that the link leads to",
            )
    return place


def check_changes(base: Base, changes: Changes) -> None:
    """Raise PatchError if `changes` make a file of a directory."""
    for path in changes:
        if changes[path] is not None and tree_path(base.path, path).is_dir():
            raise PatchError(
                f"the patch makes {path}, which is a directory of the tree", hint="is the patch for this tree?"
            )


def set_changes(base: Base, changes: Changes, executable: Mapping[str, bool] = NO_MODES) -> list[str]:
    """Make the tree the base with exactly `changes`. `executable`: which of the files can be run; of others, those
    that can in the base, and new scripts. Call it under `locked`. Returns the paths that were written."""
    with disk_errors():
        for path in changes:
            _save_original(base, path)
        written = []
        for path in sorted(set(changes) | set(_ever_touched(base))):
            target = changes[path] if path in changes else read_base(base, path)
            runs = executable.get(path, _runs(base, path))
            if _write_if_different(tree_path(base.path, path), target, executable=runs):
                written.append(path)
    return written


def _save_original(base: Base, path: str) -> None:
    pristine, absent = _pristine(base) / "files" / path, _pristine(base) / "absent" / path
    if pristine.exists() or absent.exists():
        return
    current = tree_path(base.path, path)
    keep = pristine if current.is_file() else absent
    keep.parent.mkdir(parents=True, exist_ok=True)
    scratch = keep.with_name(keep.name + ".new~")
    if current.is_file():
        shutil.copy2(current, scratch)
    else:
        scratch.touch()
    sync(scratch)  # after a power cut an empty original would pass for the base's file
    scratch.replace(keep)


def _ever_touched(base: Base) -> Iterator[str]:
    for kind in ("files", "absent"):
        top = _pristine(base) / kind
        for path in top.rglob("*"):
            if path.is_file() and not path.name.endswith(".new~"):
                yield str(path.relative_to(top))


def originals(base: Base) -> Iterator[tuple[str, Path | None]]:
    """Every file that a patch has ever touched, and where it is as it was unpacked; None: the base lacks it. Call it
    under `locked`."""
    for path in _ever_touched(base):
        kept = _pristine(base) / "files" / path
        yield path, kept if kept.is_file() else None


def _runs(base: Base, path: str) -> bool | None:
    """Whether a file can be run in the base; None if the base lacks it."""
    original = _pristine(base) / "files" / path
    return bool(original.stat().st_mode & 0o100) if original.is_file() else None


def _write_if_different(path: Path, content: bytes | None, *, executable: bool | None) -> bool:
    exists = path.is_file()
    if content is None:
        if exists:
            path.unlink()
        return exists
    # Patches come here without modes; a new script that cannot be run would look like a patch that does not build.
    mode = 0o755 if (content.startswith(b"#!") if executable is None else executable) else 0o644
    if exists and path.read_bytes() == content and path.stat().st_mode & 0o100 == mode & 0o100:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new~")
    scratch.write_bytes(content)
    scratch.chmod(mode)
    scratch.replace(path)
    return True


def _pristine(base: Base) -> Path:
    return base.path.parent / "pristine"


def _home(key: str) -> Path:
    return cache_dir("trees") / _short(key)


def _short(key: str) -> str:
    return key[:32]

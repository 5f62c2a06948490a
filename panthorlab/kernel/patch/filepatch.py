# SPDX-License-Identifier: GPL-2.0-or-later
"""The structure of a patch, and the files of a tree that its names refer to.

Names are untrusted: none may leave the tree. They may also be relative to any directory: with `a/`, `i/` or no prefix,
inside the driver's directory (`git diff --relative`), or with the absolute path of somebody's tree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchedFile, PatchSet

from panthorlab.errors import PatchError
from panthorlab.kernel.driver import DRIVERS, ReadFile
from panthorlab.kernel.patch.difflines import diff_lines
from panthorlab.kernel.patch.hunks import Hunk
from panthorlab.kernel.patch.mails import PatchText

NULL = "/dev/null"
_TOPS = frozenset(
    {  # directories of a kernel tree
        "arch",
        "block",
        "certs",
        "crypto",
        "Documentation",
        "drivers",
        "fs",
        "include",
        "init",
        "io_uring",
        "ipc",
        "kernel",
        "lib",
        "LICENSES",
        "mm",
        "net",
        "rust",
        "samples",
        "scripts",
        "security",
        "sound",
        "tools",
        "usr",
        "virt",
    }
)
_MAX_NAME, _MAX_PATH = 120, 1000  # a kernel's are shorter by far, and no file system refuses these
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_DEEPEST = 8  # directories in front of a tree that are taken away


@dataclass(frozen=True)
class FilePatch:
    """What a patch does to one file. `old` or `new` is None for a file that is made or removed."""

    old: str | None
    new: str | None
    hunks: tuple[Hunk, ...]
    copy: bool = False  # of `old`, which stays

    def reversed(self) -> FilePatch:
        shift, hunks = 0, []
        for hunk in self.hunks:
            hunks.append(hunk.reversed(hunk.start + shift + (not hunk.old) - (not hunk.new)))
            shift += len(hunk.new) - len(hunk.old)
        return FilePatch(self.new, self.old, tuple(hunks))

    @property
    def name(self) -> str:
        return self.new or self.old or ""


def parse_diff(patch: PatchText) -> list[FilePatch]:
    """The structure of a patch. Raises PatchError for what is malformed, binary, or makes links."""
    try:
        parsed = PatchSet(diff_lines(patch.text, patch.title))
    except UnidiffParseError as error:
        raise PatchError(
            f"{patch.title}: damaged patch: {str(error).strip()[:200]}",
            hint="was it cut off, or wrapped by a mail client?",
        ) from error
    files = [_file_patch(file, patch) for file in parsed]
    if not any(file.old != file.new or any(hunk.changes for hunk in file.hunks) for file in files):
        if any(line.startswith("new mode ") for file in parsed for line in file.patch_info or ()):
            names = ", ".join(_strip(file.name, 1) for file in files[:3])
            raise PatchError(
                f"{patch.title} changes only the modes of files ({names}), which makes no other kernel",
                hint="there is nothing to compare",
            )
        raise PatchError(
            f"{patch.title} is not a patch: it changes no file", hint="give the output of git format-patch or diff -u"
        )
    return files


def _file_patch(file: PatchedFile, patch: PatchText) -> FilePatch:
    old, new = _path(file.source_file, patch), _path(file.target_file, patch)
    name = new or old
    if file.is_binary_file:
        raise PatchError(f"{patch.title} changes the binary file {name}", hint="only text can be patched here")
    if file.is_symlink or file.is_submodule:
        raise PatchError(
            f"{patch.title} makes a symbolic link or submodule of {name}", hint="only plain files can be patched here"
        )
    # diff -N without git names the file that is not there by the start of time.
    if _epoch(file.source_timestamp) and file.is_added_file:
        old = None
    if _epoch(file.target_timestamp) and file.is_removed_file:
        new = None
    copy = any(line.startswith("copy from ") for line in file.patch_info or ())
    if old and new and not copy and not any(line.startswith("rename from ") for line in file.patch_info or ()):
        old = new  # `x.c.orig` and `x.c`, `a/x.c` and `b/x.c` are one file
    return FilePatch(old, new, tuple(_hunks(file)), copy)


def _hunks(file: PatchedFile) -> Iterator[Hunk]:
    for hunk in file:
        lines: list[tuple[str, str]] = []
        for line in hunk:
            if line.line_type in ("+", "-", " "):
                lines.append((line.line_type, line.value))
            elif line.line_type == "\\" and lines:
                lines[-1] = (lines[-1][0], lines[-1][1].removesuffix("\n"))
        yield Hunk(hunk.source_start, tuple(lines))


def _epoch(timestamp: str | None) -> bool:
    return re.match(r"(?:1970-01-01|1969-12-31) ", timestamp or "") is not None


def _path(name: str, patch: PatchText) -> str | None:
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = _unquote(name[1:-1])
    if name == NULL:
        return None
    parts = name.split("/")
    if not name.strip("/") or ".." in parts or "\0" in name:
        raise outside(patch.title, name)
    if ".git" in parts or len(name) > _MAX_PATH or max(map(len, parts)) > _MAX_NAME:
        raise PatchError(
            f"{patch.title} names a file that no kernel tree has: {name[:_MAX_NAME]!r}", hint="is it for the kernel?"
        )
    return name


def _unquote(name: str) -> str:
    """A file name as git quotes it, like C: `\\303\\266`, `\\t`, `\\"`."""

    def char(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code, 8) & 0xFF) if code[0].isdigit() else _ESCAPES.get(code, code)

    return re.sub(r"\\([0-7]{1,3}|.)", char, name)


def outside(title: str, name: str) -> PatchError:
    return PatchError(
        f"{title} names a file outside the tree: {name[:_MAX_NAME]!r}",
        hint="paths in a patch must be relative to the tree",
    )


def find_files(files: Sequence[FilePatch], read: ReadFile, title: str) -> tuple[list[FilePatch], str]:
    """The files of the tree that a patch means, and a sentence if its names are not from the tree's top.

    As `patch -p1`, or `-p0` for names without `a/` and `b/`; other ways to read them are only taken if all files are
    there then, and were not before. Raises PatchError for names from the root of a file system that lead nowhere.
    """
    stripped = _renamed(files, lambda name: _strip(name, 1))
    there = [_present(way, read) for way in (stripped, files)]
    tops = {name.partition("/")[0] for file in files for name in (file.old, file.new) if name and "/" in name}
    plain = there[1] > there[0] or (there[0] == there[1] and tops <= _TOPS)
    usual = list(files) if plain else stripped
    wanted = sum(1 for file in files if file.old)
    absolute = any(name.startswith("/") for file in files for name in (file.old, file.new) if name)
    if max(there) < wanted or absolute:
        for way, where in _other_ways(files):
            if _present(way, read) == wanted > 0:
                return way, where
    if absolute:
        raise outside(
            title, next(name for file in files for name in (file.old, file.new) if name and name.startswith("/"))
        )
    return usual, ""


def _other_ways(files: Sequence[FilePatch]) -> Iterator[tuple[list[FilePatch], str]]:
    for depth in range(2, _DEEPEST + 1):
        yield _renamed(files, lambda name, depth=depth: _strip(name, depth)), f"read with {depth} directories stripped"  # type: ignore[misc]
    folders = (folder for driver in DRIVERS for folder in (driver.directory, *PurePosixPath(driver.directory).parents))
    for folder in dict.fromkeys(map(str, folders)):
        for depth in (1, 0) if folder != "." else ():
            way = _renamed(files, lambda name, folder=folder, depth=depth: f"{folder}/{_strip(name, depth)}")  # type: ignore[misc]
            yield way, f"read as a patch made in {folder}"


def _renamed(files: Sequence[FilePatch], name: Callable[[str], str]) -> list[FilePatch]:
    return [
        replace(file, old=name(file.old) if file.old else None, new=name(file.new) if file.new else None)
        for file in files
    ]


def _strip(name: str, depth: int) -> str:
    """As patch(1): `/usr/src/x` has a directory without a name in front. A name with fewer directories stays."""
    parts = [part for part in name.lstrip("/").split("/") if part] if not name.startswith("/") else name.split("/")
    return "/".join(parts[depth:]) if len(parts) > depth else name


def _present(files: Sequence[FilePatch], read: ReadFile) -> int:
    return sum(1 for file in files if file.old and not file.old.startswith("/") and read(file.old) is not None)

# SPDX-License-Identifier: GPL-2.0-or-later
"""The files that a program needs to run: its interpreter and shared objects, found in an unpacked root file system."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from panthorlab.errors import LabError

MAX_LINKS = 40


def resolve(root: Path, path: str) -> list[str]:
    """The paths, absolute in `root`, that lead to the file at `path`: symbolic links first, the file last.

    Links are resolved inside `root`, never on the host. Raises FileNotFoundError, and LabError for a loop.
    """
    places: list[str] = []
    pending = list(PurePosixPath(path).parts[1:])
    at = PurePosixPath("/")
    for _ in range(MAX_LINKS * 16):
        if not pending:
            return [*places, str(at)]
        part = pending.pop(0)
        if part in ("..", "."):
            at = at.parent if part == ".." else at
            continue
        here = root / str(at / part).lstrip("/")
        if here.is_symlink():
            places.append(str(at / part))
            target = PurePosixPath(os.readlink(here))  # noqa: PTH115 - the target as it is written
            if target.is_absolute():
                at = PurePosixPath("/")
            pending = [*(p for p in target.parts if p != "/"), *pending]
        elif here.exists():
            at = at / part
        else:
            raise FileNotFoundError(2, "no such file in the packages", path)
    raise LabError(f"{path}: symbolic links go round in circles")


def closure(
    root: Path, programs: Iterable[str], libraries: str, elsewhere: frozenset[str] = frozenset()
) -> dict[str, str | None]:
    """Every path that `programs` (absolute in `root`) need: themselves, interpreters, shared objects, links. The value
    is None for a file, the target for a symbolic link.

    `libraries`: the directory that the dynamic linker searches after those of RUNPATH. Links to directories (a merged
    /usr) are left out, because the board has none; a file reached through one gets a link of its own instead.
    `elsewhere`: names of shared objects and interpreters that the board gets in another way.
    Raises LabError for a missing file, naming what needs it.
    """
    needed: dict[str, str | None] = {}
    pending = [(path, "the overlay") for path in programs]
    while pending:
        path, by = pending.pop()
        try:
            places = resolve(root, path)
        except FileNotFoundError:
            raise LabError(f"{path}, which {by} needs, is in none of the packages") from None
        seen = places[-1] in needed
        needed |= _entries(root, path, places)
        if seen:
            continue
        for name, run_path in _dependencies(root / places[-1].lstrip("/")):
            if PurePosixPath(name).name not in elsewhere:
                pending.append((_find(root, name, run_path, libraries, places[-1]), places[-1]))
    return needed


def _entries(root: Path, path: str, places: list[str]) -> dict[str, str | None]:
    made: dict[str, str | None] = {places[-1]: None}
    for place in places[:-1]:
        link = root / place.lstrip("/")
        if link.is_dir():
            made[path] = places[-1]
        else:
            made[place] = os.readlink(link)  # noqa: PTH115 - the target as it is written
    return made


def _find(root: Path, name: str, run_path: list[str], libraries: str, user: str) -> str:
    if name.startswith("/"):
        return name
    origin = str(PurePosixPath(user).parent)
    folders = [part.replace("$ORIGIN", origin) for part in run_path]
    folders += [libraries, str(PurePosixPath(libraries).parent)]
    for folder in folders:
        if (root / folder.lstrip("/") / name).exists() or (root / folder.lstrip("/") / name).is_symlink():
            return f"{folder}/{name}"
    raise LabError(f"{name}, which {user} needs, is in none of the packages")


def _dependencies(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(shared object or interpreter, RUNPATH) of an ELF file; nothing for any other file."""
    with path.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            return
        file.seek(0)
        try:
            elf = ELFFile(file)
            for segment in elf.iter_segments():
                if isinstance(segment, InterpSegment):
                    yield segment.get_interp_name(), []
            dynamic = elf.get_section_by_name(".dynamic")
            if not isinstance(dynamic, DynamicSection):
                return
            tags = list(dynamic.iter_tags())
        except ELFError as error:
            raise LabError(f"{path} is a damaged program: {error}") from error
        run_path = [
            part
            for tag in tags
            if (found := _attribute(tag, "runpath") or _attribute(tag, "rpath"))
            for part in found.split(":")
        ]
        for tag in tags:
            if name := _attribute(tag, "needed"):
                yield name, run_path


def _attribute(tag: object, name: str) -> str:
    """The string that a dynamic tag refers to; pyelftools has it as an attribute named after the kind of tag."""
    return str(getattr(tag, name, ""))

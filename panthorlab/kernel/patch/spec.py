# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding the files of a patch by the name that the user gives.

| spec | is |
|---|---|
| `-` | standard input |
| `FILE` | a diff, a mail, an mbox; also a pipe of the shell's |
| `DIRECTORY` | the patches in it, or those that quilt's file `series` there lists |
| `OLD..NEW` | the commits of a git range |
| `MESSAGE-ID`, `https://lore.kernel.org/…` | a series on a mailing list |
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from panthorlab.errors import PatchError
from panthorlab.kernel.patch.files import PatchFiles, bounded
from panthorlab.kernel.patch.gitrange import read_range
from panthorlab.kernel.patch.mailinglist import fetch, message_id
from panthorlab.kernel.patch.mails import PATCH_SUFFIXES
from panthorlab.kernel.patch.series import Series
from panthorlab.kernel.source.git import git, is_repository

MAX_NAME = 1000
_SUFFIXES = (*PATCH_SUFFIXES, ".mbox", ".eml", ".mbx")


def find(
    spec: str, repository: Path | None = None, version: int | None = None, stdin: BinaryIO | None = None
) -> PatchFiles | Series:
    """What `spec` names (table above). `repository`: where a git range is looked up (else the current directory).

    `version`: of a series on a mailing list, instead of the newest. Raises PatchError if it names nothing, LabError if
    b4 is needed and missing or the list cannot be reached.
    """
    if spec == "-":
        return _file("standard input", stdin or sys.stdin.buffer)
    require_name(spec)
    path = Path(spec).expanduser()
    if path.is_dir():
        return _directory(path)
    if path.exists():  # a file, or a pipe of the shell's
        with path.open("rb") as file:
            return _file(path.name if path.is_file() else spec, file, str(path))
    repository = repository or Path.cwd()
    name, _, revision = spec.partition("@")
    if revision and Path(name).expanduser().is_dir():
        raise PatchError(f"{spec} is a kernel tree, not a patch", hint=f"--base {spec}")
    if mail := message_id(spec):
        fetched = fetch(mail, version)
        return PatchFiles(((mail, fetched.mbox),), notes=fetched.notes)
    if re.match(r"https?://", spec):
        raise PatchError(f"no such patch: {spec}", hint="only lore.kernel.org is known: download it, give the file")
    if ".." in spec and ".." not in spec.split("/"):
        return read_range(spec, repository)
    raise PatchError(f"no such patch: {spec}", hint=_other_names(spec, repository))


def _file(name: str, file: BinaryIO, path: str = "") -> PatchFiles:
    return PatchFiles(((name, bounded(file, path or name)),))


def require_name(spec: str) -> None:
    """Raise PatchError if `spec` cannot name anything at all."""
    if not spec:  # an unset variable of a script's; as a path it would be the current directory
        raise PatchError("a PATCH is empty", hint="leave it out, or name a patch")
    if "\n" in spec or len(spec) > MAX_NAME:
        raise PatchError("a PATCH is the text of one, not its name", hint="give its text to standard input, and `-`")


def _other_names(spec: str, repository: Path) -> str:
    if not spec.startswith("-") and is_repository(repository):
        argv = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{spec}^{{commit}}")
        if git(repository, *argv, ok=(0, 1, 128)).strip():
            return f"it is a commit: for its patch alone write {spec}^..{spec}, for all since v6.18 v6.18..{spec}"
    return "a file, a directory of patches, -, a git range like v6.18..fix, or a message-id"


def _directory(path: Path) -> PatchFiles:
    series = path / "series"
    if series.is_file():
        files = list(_listed(series))
    else:
        files = sorted((file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file()), key=_natural)
    if not files:
        raise PatchError(
            f"there are no patches in {path}", hint=f"looked for {', '.join(_SUFFIXES)} and a file `series`"
        )
    content: list[tuple[str, bytes]] = []
    for file in files:
        if not file.resolve().is_relative_to(path.resolve()):
            raise PatchError(f"{file} leads to a file that is not in {path}", hint="give the patch itself")
        with file.open("rb") as opened:
            content.append((file.name, bounded(opened, str(file))))
    return PatchFiles(tuple(content), chosen=series.is_file())


def _listed(series: Path) -> Iterator[Path]:
    """The files that quilt's list of patches names. How many directories to strip is found out for each patch."""
    for line in series.read_text(errors="replace").splitlines():
        words = re.split(r"(?:^|\s)#", line)[0].split()
        if not words:
            continue
        if "-R" in words[1:]:
            raise PatchError(f"{series}: {words[0]} is to be reversed (-R)", hint="apply it reversed to the base first")
        if not (series.parent / words[0]).is_file():
            raise PatchError(
                f"{series} names {words[0]}, which is not in {series.parent}", hint="is it still to be made?"
            )
        yield series.parent / words[0]


def _natural(file: Path) -> list[tuple[int, str]]:
    """So that `10-x.patch` comes after `9-x.patch`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", file.name)]

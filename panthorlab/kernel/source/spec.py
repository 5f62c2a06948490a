# SPDX-License-Identifier: GPL-2.0-or-later
"""Resolving the user's name for a base to a Source: something with a content key that can be unpacked.

| spec | source |
|---|---|
| (none) | newest `linux-source-6.12` that the machine's apt knows |
| `linux-source-6.12`, `linux-source-6.12=VERSION` | that package of the machine's apt |
| `debian:6.18.5` | any version the Debian archive carries |
| `kernel.org:6.18.5` | release tarball |
| `PATH` | a directory, as it is (never written to) |
| `PATH@REV` | a git tree at a revision |
| `FILE.tar.xz` | a tarball of a kernel tree |
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from panthorlab.errors import LabError, SourceError
from panthorlab.kernel.driver import PANTHOR
from panthorlab.kernel.progress import Progress, quiet

DEFAULT_SERIES = PANTHOR.series


class Source(Protocol):
    """An available kernel tree. `key`: equal keys mean equal content. `title`: for people."""

    @property
    def key(self) -> str: ...

    @property
    def title(self) -> str: ...

    def unpack(self, into: Path, progress: Progress) -> None:
        """Fill the empty directory `into` with the tree. Raises SourceError, LabError."""


class UnknownYetError(LabError):
    """A base must be fetched to know more about it, and fetching is forbidden (`look`)."""

    def __init__(self, title: str) -> None:
        super().__init__(
            f"{title} is not in the cache yet: whether the patches fit it cannot be told",
            hint="have it unpacked: panthorlab build --base SRC (or validate) does that once",
        )


def resolve(
    spec: str | None, progress: Progress = quiet, *, look: bool = False, series: str = DEFAULT_SERIES
) -> Source:
    """The Source that `spec` names (table above). Cheap if it was resolved before.

    `look`: use no network and write nothing. `series`: of the default base. Raises SourceError for a spec that names
    nothing, LabError for no network, UnknownYetError if `look` forbids a necessary request.
    """
    if look and (source := _remembered(spec, series)) is not None:
        return source
    # Imported here: `requests` alone takes longer than the rest of a run that builds nothing.
    from panthorlab.kernel.source import debian, kernelorg

    if spec is None or spec == "default":
        return debian.default_source(series, progress)
    if match := re.fullmatch(r"linux-source-(\d+\.\d+)(?:=(\S+))?", spec):
        return debian.package_source(match[1], match[2], progress)
    scheme, colon, rest = spec.partition(":")
    if colon and scheme in ("debian", "kernel.org"):
        if not rest:
            raise SourceError(f"{spec}: which version?", hint=f"e.g. {scheme}:6.18.5")
        if scheme == "debian":
            return debian.archive_source(rest, progress)
        release = kernelorg.release_source(rest, progress)
        assert release is not None  # noqa: S101 - it was allowed to ask
        return release
    assert spec is not None  # noqa: S101 - all others have returned
    return _local(spec)


def _remembered(spec: str | None, series: str) -> Source | None:
    """The earlier resolution of a spec that needs apt or the network; None for a spec that names something on disk."""
    from panthorlab.kernel.source import debian

    scheme, colon, version = (spec or "").partition(":")
    if spec is None or spec == "default":
        found: Source | None = debian.remembered_source(series, archive=False)
    elif match := re.fullmatch(r"linux-source-(\d+\.\d+(?:=\S+)?)", spec):
        found = debian.remembered_source(match[1], archive=False)
    elif colon and version and scheme == "debian":
        found = debian.remembered_source(version, archive=True)
    elif colon and version and scheme == "kernel.org":
        from panthorlab.kernel.source import kernelorg

        found = kernelorg.release_source(version, quiet, look=True)
    else:
        return None
    if found is None:
        raise UnknownYetError(spec or f"Linux {series}")
    return found


def _local(spec: str) -> Source:
    from panthorlab.kernel.source import localsource

    path = Path(spec).expanduser()
    if not spec:  # an unset variable of a script's; as a path it would be the current directory
        raise SourceError("--base is empty", hint="give a directory, or leave it out for the default")
    if path.is_dir():
        return localsource.directory_source(path.resolve())
    if path.is_file():
        return localsource.tarball_source(path.resolve())
    for at in re.finditer("@", spec):  # a path may have one, and so may a revision (HEAD@{1})
        tree, revision = Path(spec[: at.start()]).expanduser(), spec[at.end() :]
        if at.start() and revision and tree.is_dir():
            return localsource.revision_source(tree.resolve(), revision)
    raise SourceError(
        f"no such kernel source: {spec}",
        hint="a directory, PATH@REVISION, a tarball, linux-source-6.12, debian:VERSION or kernel.org:VERSION",
    )

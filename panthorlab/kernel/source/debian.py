# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel sources from Debian: the machine's `linux-source-*` packages, and every version the archive carries.

Resolutions of specs are cached, so that the second run asks neither apt nor the network: forever for a version of the
archive (a release never changes), until the package lists change for the machine's own apt.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from panthorlab.errors import LabError, SourceError
from panthorlab.files import read_object
from panthorlab.kernel.driver import PANTHOR
from panthorlab.kernel.progress import Progress
from panthorlab.kernel.source import apt
from panthorlab.kernel.source.archive import unpack_source_package, unpack_tarball
from panthorlab.kernel.tools import TREE_BYTES, need_space
from panthorlab.paths import cache_dir, cache_path


@dataclass(frozen=True)
class PackageSource:
    """A `linux-source-X.Y` package of the machine's apt (upstream with Debian's patches)."""

    package: apt.BinaryPackage

    @property
    def key(self) -> str:
        return f"deb-{self.package.sha256}"

    @property
    def title(self) -> str:
        return f"{self.package.name} {self.package.version}"

    def unpack(self, into: Path, progress: Progress) -> None:
        need_space(into, TREE_BYTES)
        with tempfile.TemporaryDirectory(dir=cache_dir("downloads")) as scratch:
            progress(f"downloading {self.title}")
            deb = apt.download_package(self.package, Path(scratch))
            progress(f"unpacking {self.title}")
            unpack_source_package(deb, into)


@dataclass(frozen=True)
class ArchiveSource:
    """One version of Linux from the Debian archive: the upstream tarball of its source package (without Debian's
    patches), or, where the mirror has that no more, its linux-source package (with them).
    """

    ring: apt.ArchiveRing
    origin: apt.SourcePackage | apt.BinaryPackage

    @property
    def key(self) -> str:
        return f"{'orig' if isinstance(self.origin, apt.SourcePackage) else 'deb'}-{self.origin.sha256}"

    @property
    def title(self) -> str:
        if isinstance(self.origin, apt.SourcePackage):
            debian = f"{self.origin.package} {self.origin.version}"
            return f"Linux {self.origin.upstream} (upstream tarball of Debian's {debian})"
        return f"{self.origin.name} {self.origin.version}"

    @property
    def _folder(self) -> Path:
        return cache_dir("downloads", self.origin.sha256[:32])

    def fetch(self, progress: Progress) -> Path:
        """The tarball or package in the cache, downloaded if missing. Raises LabError if it is not available."""
        for path in self._folder.iterdir():
            if path.suffix in (".xz", ".gz", ".deb"):
                return path
        need_space(self._folder, TREE_BYTES)
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            progress(f"downloading {self.title}")
            got = apt.PackageArchive(self.ring).download(self.origin, Path(scratch))
            return got.rename(self._folder / got.name)

    def unpack(self, into: Path, progress: Progress) -> None:
        need_space(into, TREE_BYTES)
        try:
            got = self.fetch(progress)
        except LabError:
            progress("reading the indices of the Debian archive")  # they may have been cleaned away
            apt.PackageArchive(self.ring).update()
            got = self.fetch(progress)
        progress(f"unpacking {got.name}")
        if isinstance(self.origin, apt.SourcePackage):
            unpack_tarball(got, into)
        else:
            unpack_source_package(got, into)
        shutil.rmtree(self._folder)


def default_source(series: str, progress: Progress) -> PackageSource | ArchiveSource:
    """The newest release of `series` in the machine's apt; if there is none, in the archive."""
    try:
        return package_source(series, None, progress)
    except SourceError:
        progress(f"this machine's apt knows no linux-source-{series}; looking in the Debian archive")
    known = [source for ring in apt.RINGS for source in _archive(ring, series, refresh=False, progress=progress)]
    releases = {source.upstream for source in known if source.upstream.startswith(f"{series}.")}
    if not releases:
        raise LabError(
            f"no Linux {series} source is to be had here",
            hint="run apt-get update, or give a tree on disk: --base PATH",
        )
    return archive_source(max(releases, key=version_order), progress)


def package_source(series: str, version: str | None, progress: Progress) -> PackageSource:
    """`linux-source-SERIES` of the machine's apt, newest or exactly `version`. Raises SourceError if it has none."""
    name = f"linux-source-{series}"
    memory = cache_dir("sources") / f"{name}.json"
    state = apt.lists_state()
    remembered = _recall(memory)
    if remembered.get("state") != state:
        progress(f"asking apt for {name}")
        remembered = {"state": state, "packages": [asdict(package) for package in apt.known_packages(name)]}
        _remember(memory, remembered)
    packages = [apt.BinaryPackage(**package) for package in remembered["packages"]]
    if not packages:
        raise SourceError(
            f"this machine's apt knows no package {name}",
            hint="run apt-get update as root, or take it from the archive: --base debian:VERSION",
        )
    if version is None:
        return PackageSource(max(packages, key=lambda package: version_order(apt.upstream_version(package.version))))
    for package in packages:
        if version in (package.version, apt.upstream_version(package.version)):
            return PackageSource(package)
    known = ", ".join(package.version for package in packages)
    raise SourceError(
        f"this machine's apt has no {name} {version}", hint=f"it has {known}; or try --base debian:{version}"
    )


def archive_source(version: str, progress: Progress) -> ArchiveSource:
    """Linux `version` (upstream, or Debian's full version) from whichever suite of the archive carries it."""
    wanted = re.sub(r"-rc(\d+)", r"~rc\1", version.removeprefix("v"))
    if not re.fullmatch(r"[0-9][0-9A-Za-z.+~-]*", wanted):
        raise SourceError(f"{version!r} is no kernel version", hint="e.g. debian:6.18.5")
    if PANTHOR.too_old(wanted):  # the oldest driver
        raise PANTHOR.missing(f"debian:{version}", wanted)
    memory = cache_dir("sources") / f"debian-{wanted}.json"
    if found := _recall(memory):
        return _from_memory(found)
    known: set[str] = set()
    trouble: LabError | None = None
    for refresh in (False, True):  # lists may be hours old, the version minutes
        for ring in apt.RINGS:
            if refresh and apt.PackageArchive(ring).just_updated():
                continue
            candidates = _archive(ring, series_of(wanted), refresh=refresh, progress=progress)
            known.update(candidate.upstream for candidate in candidates)
            for candidate in [entry for entry in candidates if wanted in (entry.upstream, entry.version)]:
                source = ArchiveSource(ring, candidate)
                try:
                    source.fetch(progress)
                except LabError as error:  # a mirror's indices may name what it does not have (any more)
                    trouble = error
                    continue
                kind = "source" if isinstance(candidate, apt.SourcePackage) else "package"
                _remember(memory, {"ring": ring.name, kind: asdict(candidate)})
                return source
    close = ", ".join(nearest(wanted, known - {wanted}))
    if trouble is not None:
        raise LabError(f"Linux {version} cannot be downloaded: {trouble}", hint=f"the nearest others: {close}")
    raise SourceError(f"the Debian archive carries no Linux {version}", hint=f"the nearest that it has: {close}")


def _archive(
    ring: apt.ArchiveRing, series: str, *, refresh: bool, progress: Progress
) -> list[apt.SourcePackage | apt.BinaryPackage]:
    """All that a ring has of a series: upstream tarballs first, each kind newest first."""
    private = apt.PackageArchive(ring)
    if refresh or not private.fresh():
        progress(f"reading the indices of the Debian archive ({len(ring.suites)} suites)")
        private.update()
    sources = sorted(private.linux_sources(["linux", f"linux-{series}"]), key=_newest, reverse=True)
    return [*sources, *sorted(private.packages(f"linux-source-{series}"), key=_newest, reverse=True)]


def _newest(package: apt.SourcePackage | apt.BinaryPackage) -> tuple[tuple[int, int], ...]:
    return version_order(package.version)


def _from_memory(found: dict[str, Any]) -> ArchiveSource:
    ring = next(ring for ring in apt.RINGS if ring.name == found["ring"])
    if "package" in found:
        return ArchiveSource(ring, apt.BinaryPackage(**found["package"]))
    return ArchiveSource(ring, apt.SourcePackage(**found["source"]))


def remembered_source(spec: str, *, archive: bool) -> PackageSource | ArchiveSource | None:
    """The cached result of `package_source` or `archive_source`, without using the network or writing anything.

    `spec`: `6.12` or `6.12=VERSION` of the machine's apt; with `archive`, a version of the Debian archive.
    """
    if archive:
        wanted = re.sub(r"-rc(\d+)", r"~rc\1", spec.removeprefix("v"))
        found = _recall(cache_path("sources", f"debian-{wanted}.json"))
        return _from_memory(found) if found else None
    series, _, version = spec.partition("=")
    name = f"linux-source-{series}"
    remembered = _recall(cache_path("sources", f"{name}.json"))
    if remembered.get("state") == apt.lists_state():
        packages = [apt.BinaryPackage(**package) for package in remembered["packages"]]
    else:
        packages = apt.known_packages(name)
    fitting = [
        package
        for package in packages
        if not version or version in (package.version, apt.upstream_version(package.version))
    ]
    newest = max(fitting, key=lambda package: version_order(apt.upstream_version(package.version)), default=None)
    return PackageSource(newest) if newest else None


def series_of(version: str) -> str:
    """`6.18.5` → `6.18`."""
    numbers = re.match(r"\d+\.\d+", version)
    return numbers[0] if numbers else version


def version_order(version: str) -> tuple[tuple[int, int], ...]:
    """Sort key: numbers compare as numbers, `~` (a release candidate) before the end. Enough for kernel versions."""
    order = [(-1, 0) if part == "~" else (1, int(part)) for part in re.findall(r"\d+|~", version)]
    return (*order, (0, 0))


def nearest(wanted: str, known: Iterable[str], count: int = 6) -> list[str]:
    """The versions closest to `wanted`: those of its series around it, else of the series next to it."""
    ordered = sorted((version for version in known if not PANTHOR.too_old(version)), key=version_order)
    same = [version for version in ordered if series_of(version) == series_of(wanted)]
    pool = same or ordered
    place = sum(1 for version in pool if version_order(version) < version_order(wanted))
    start = max(0, min(place - count // 2, len(pool) - count))
    return pool[start : start + count]


def _recall(memory: Path) -> dict[str, Any]:
    return read_object(memory) or {}


def _remember(memory: Path, data: dict[str, Any]) -> None:
    scratch = memory.with_suffix(".new")
    scratch.write_text(json.dumps(data, indent=1))
    scratch.replace(memory)

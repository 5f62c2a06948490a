# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel sources from Debian: the machine's `linux-source-*` packages, and every version the archive carries.

What a spec was resolved to is remembered, so that the second run asks neither apt nor the network: forever for a
version of the archive (a release never changes), until the package lists change for the machine's own apt.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from panthorlab.errors import LabError, SourceError
from panthorlab.kernel import apt, makefile
from panthorlab.kernel.archive import unpack_source_package, unpack_tarball
from panthorlab.kernel.plan import Progress
from panthorlab.kernel.tools import TREE_BYTES, need_space
from panthorlab.paths import cache_dir


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
    """The upstream tarball of one version of Debian's `linux` source package (upstream without Debian's patches)."""

    ring: str
    source: apt.SourcePackage

    @property
    def key(self) -> str:
        return f"orig-{self.source.sha256}"

    @property
    def title(self) -> str:
        debian = f"{self.source.package} {self.source.version}"
        return f"Linux {self.source.upstream} (upstream tarball of Debian's {debian})"

    def unpack(self, into: Path, progress: Progress) -> None:
        need_space(into, TREE_BYTES)
        ring = next(ring for ring in apt.RINGS if ring.name == self.ring)
        private = apt.PrivateApt(ring)
        with tempfile.TemporaryDirectory(dir=cache_dir("downloads")) as scratch:
            progress(f"downloading {self.source.file}")
            try:
                tarball = private.download(self.source, Path(scratch))
            except LabError:
                # The lists may have been cleaned away, or name a version that has moved since.
                progress("reading the indices of the Debian archive")
                private.update()
                tarball = private.download(self.source, Path(scratch))
            progress(f"unpacking {self.source.file}")
            unpack_tarball(tarball, into)


def default_source(series: str, progress: Progress) -> PackageSource | ArchiveSource:
    """The newest release of `series` that the machine's apt knows; if it knows none, that the archive has."""
    try:
        return package_source(series, None, progress)
    except SourceError:
        progress(f"this machine's apt knows no linux-source-{series}; looking in the Debian archive")
    known = [source for ring in apt.RINGS for source in _archive(ring, series, refresh=False, progress=progress)[1]]
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
        remembered = {"state": state, "packages": [asdict(package) for package in apt.machine_packages(name)]}
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
        f"this machine's apt has no {name} {version}", hint=f"it has {known}; or try --base debian:{version}",
    )


def archive_source(version: str, progress: Progress) -> ArchiveSource:
    """Linux `version` (upstream, or Debian's full version) from whichever suite of the archive carries it."""
    wanted = re.sub(r"-rc(\d+)", r"~rc\1", version.removeprefix("v"))
    if not re.fullmatch(r"[0-9][0-9A-Za-z.+~-]*", wanted):
        raise SourceError(f"{version!r} is no kernel version", hint="e.g. debian:6.18.5")
    if makefile.too_old(wanted):
        raise makefile.no_panthor(f"debian:{version}", wanted)
    memory = cache_dir("sources") / f"debian-{wanted}.json"
    if found := _recall(memory):
        return ArchiveSource(found["ring"], apt.SourcePackage(**found["source"]))
    known: set[str] = set()
    for refresh in (False, True):  # lists may be hours old, the version minutes
        for ring in apt.RINGS:
            fetched, sources = _archive(ring, series_of(wanted), refresh=refresh, progress=progress)
            known.update(source.upstream for source in sources)
            match = [source for source in sources if wanted in (source.upstream, source.version)]
            if match:
                best = max(match, key=lambda source: version_order(source.version))
                _remember(memory, {"ring": ring.name, "source": asdict(best)})
                return ArchiveSource(ring.name, best)
            if refresh and not fetched:
                break
    close = ", ".join(nearest(wanted, known))
    raise SourceError(f"the Debian archive carries no Linux {version}", hint=f"the nearest that it has: {close}")


def _archive(ring: apt.Ring, series: str, *, refresh: bool, progress: Progress) -> tuple[bool, list[apt.SourcePackage]]:
    """Sources of a ring, and whether its lists were fetched now."""
    private = apt.PrivateApt(ring)
    fetch = refresh or not private.fresh()
    if fetch:
        progress(f"reading the indices of the Debian archive ({len(ring.suites)} suites)")
        private.update()
    return fetch, private.linux_sources(["linux", f"linux-{series}"])


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
    ordered = sorted((version for version in known if not makefile.too_old(version)), key=version_order)
    same = [version for version in ordered if series_of(version) == series_of(wanted)]
    pool = same or ordered
    place = sum(1 for version in pool if version_order(version) < version_order(wanted))
    start = max(0, min(place - count // 2, len(pool) - count))
    return pool[start:start + count]


def _recall(memory: Path) -> dict[str, Any]:
    try:
        data = json.loads(memory.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _remember(memory: Path, data: dict[str, Any]) -> None:
    scratch = memory.with_suffix(".new")
    scratch.write_text(json.dumps(data, indent=1))
    scratch.replace(memory)

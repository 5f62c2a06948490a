# SPDX-License-Identifier: GPL-2.0-or-later
"""apt as a library of kernel sources: the machine's own, and a private one that sees the whole Debian archive."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from panthorlab import apt
from panthorlab.errors import LabError
from panthorlab.kernel.tools import run
from panthorlab.paths import cache_dir

LISTS_FRESH_SECONDS = 6 * 3600
UPDATE_SECONDS = 300
DOWNLOAD_SECONDS = 1800


@dataclass(frozen=True)
class ArchiveRing:
    """Suites whose indices are fetched together: the cheap ones first."""

    name: str
    suites: tuple[tuple[str, str], ...]


RINGS = (
    ArchiveRing(
        "near",
        tuple(
            [
                ("debian", f"{release}-{pocket}")
                for release in ("bookworm", "trixie", "forky")
                for pocket in ("backports", "updates", "proposed-updates")
            ]
            + [("debian", "experimental")]
            + [("debian-security", f"{release}-security") for release in ("bookworm", "trixie", "forky")]
        ),
    ),
    ArchiveRing("far", tuple(("debian", suite) for suite in ("trixie", "sid", "forky", "bookworm"))),
)


@dataclass(frozen=True, order=True)
class SourcePackage:
    """One version of Debian's `linux` source. `sha256` and `file` are of its upstream tarball."""

    upstream: str
    version: str
    package: str
    file: str
    sha256: str


@dataclass(frozen=True)
class BinaryPackage:
    """One version of a `linux-source-X.Y` package: a tree with Debian's patches applied."""

    name: str
    version: str
    sha256: str

    @property
    def upstream(self) -> str:
        return upstream_version(self.version)


def upstream_version(version: str) -> str:
    """`6.18.5-1~bpo13+1` → `6.18.5`; `7.3~rc7-1~exp1` → `7.3~rc7`."""
    return version.split(":")[-1].rpartition("-")[0] or version


def parse_showsrc(text: str) -> list[SourcePackage]:
    """The upstream tarballs in the output of `apt-cache showsrc`, one per version."""
    found = {}
    for record in text.split("\n\n"):
        package = re.search(r"^Package: (\S+)$", record, re.MULTILINE)
        version = re.search(r"^Version: (\S+)$", record, re.MULTILINE)
        tarball = re.search(r"^ ([0-9a-f]{64}) \d+ (\S+\.orig\.tar\.\w+)$", record, re.MULTILINE)
        if package and version and tarball:
            upstream = upstream_version(version[1])
            found[version[1]] = SourcePackage(upstream, version[1], package[1], tarball[2], tarball[1])
    return list(found.values())


class PackageArchive:
    """One ring of the archive, seen through a private apt in the cache."""

    def __init__(self, ring: ArchiveRing) -> None:
        self._ring = ring
        self._apt = apt.PrivateApt(cache_dir("apt", ring.name))
        self._stamp = self._apt.folder / "updated"

    def linux_sources(self, packages: Sequence[str]) -> list[SourcePackage]:
        """Every version in the ring of the source packages named."""
        done = run(["apt-cache", "showsrc", "--only-source", *packages], timeout=60, env=self._apt.env, ok=(0, 100))
        return parse_showsrc(done.stdout.decode(errors="replace"))

    def packages(self, name: str) -> list[BinaryPackage]:
        """Every version of a binary package that the ring has."""
        return known_packages(name, self._apt.env)

    def fresh(self) -> bool:
        """Whether the lists were fetched a short while ago."""
        return self._stamp.exists() and time.time() - self._stamp.stat().st_mtime < LISTS_FRESH_SECONDS

    def just_updated(self) -> bool:
        """Whether the lists were fetched within this run."""
        return self._stamp.exists() and time.time() - self._stamp.stat().st_mtime < 60

    def update(self) -> None:
        """Fetch the indices. It is an error only if none of the suites exists."""
        self._configure()
        done = run(["apt-get", "update", "-q"], timeout=UPDATE_SECONDS, env=self._apt.env, ok=(0, 100))
        if done.returncode == 0 or b"Failed to fetch" not in done.stderr:
            self._stamp.touch()
        if not any(self._apt.lists.glob("*Sources*")):
            lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line[:2] in ("W:", "E:")]
            raise LabError(
                f"the Debian archive cannot be reached: {lines[0] if lines else 'apt-get update brought nothing'}",
                hint="check the network and proxy settings, or give a kernel tree on disk: --base PATH",
            )

    def download(self, source: SourcePackage | BinaryPackage, into: Path) -> Path:
        """Download the upstream tarball of a source, or a package, verified by apt, into an empty directory."""
        if isinstance(source, BinaryPackage):
            return download_package(source, into, self._apt.env)
        argv = ["apt-get", "source", "-qq", "--download-only", "--tar-only", "--only-source"]
        run([*argv, f"{source.package}={source.version}"], timeout=DOWNLOAD_SECONDS, cwd=into, env=self._apt.env)
        if not (into / source.file).is_file():
            raise LabError(f"apt-get source did not bring {source.file}", hint="is the mirror being updated? try again")
        return into / source.file

    def _configure(self) -> None:
        mirrors = apt.mirrors()
        self._apt.configure(
            [
                f"{kind} {mirrors[archive]} {suite} main"
                for archive, suite in self._ring.suites
                for kind in ("deb-src", "deb")
            ]
        )


def known_packages(name: str, env: Mapping[str, str] | None = None) -> list[BinaryPackage]:
    """Versions of package `name` that apt (the machine's own, unless `env` says otherwise) knows."""
    done = run(["apt-cache", "show", name], timeout=60, ok=(0, 100), env=env)
    found = []
    for record in done.stdout.decode(errors="replace").split("\n\n"):
        version = re.search(r"^Version: (\S+)$", record, re.MULTILINE)
        digest = re.search(r"^SHA256: ([0-9a-f]{64})$", record, re.MULTILINE)
        if version and digest:
            found.append(BinaryPackage(name, version[1], digest[1]))
    return found


def download_package(package: BinaryPackage, into: Path, env: Mapping[str, str] | None = None) -> Path:
    """`apt-get download` into an empty directory: needs no root and is verified by apt."""
    argv = ["apt-get", "download", "-qq", f"{package.name}={package.version}"]
    run(argv, timeout=DOWNLOAD_SECONDS, cwd=into, env=env)
    debs = list(into.glob("*.deb"))
    if len(debs) != 1:
        raise LabError(
            f"apt-get download {package.name} left {len(debs)} files", hint="run apt-get update, then try again"
        )
    return debs[0]


def lists_state() -> str:
    """Changes whenever the machine's package lists do; cheap."""
    parts = []
    for name in ("/var/lib/apt/lists", "/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/preferences.d"):
        try:
            stat = Path(name).stat()
        except FileNotFoundError:
            continue
        parts.append(f"{name}:{stat.st_mtime_ns}:{stat.st_ino}")
    return ";".join(parts)

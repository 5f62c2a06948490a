# SPDX-License-Identifier: GPL-2.0-or-later
"""apt as a library of kernel sources: the machine's own, and a private one that sees the whole Debian archive.

The private one has its own configuration, lists and an empty package status in the cache; the system's apt is
neither read for packages nor changed. Only the mirror is taken from it, so that it works where the machine's apt works.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from panthorlab.errors import LabError
from panthorlab.kernel.tools import run
from panthorlab.paths import cache_dir

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ARCHIVES = ("debian", "debian-security")
LISTS_FRESH_SECONDS = 6 * 3600
UPDATE_SECONDS = 300
DOWNLOAD_SECONDS = 1800


@dataclass(frozen=True)
class Ring:
    """Suites whose indices are fetched together: the cheap ones first."""

    name: str
    suites: tuple[tuple[str, str], ...]


RINGS = (
    Ring("near", tuple(
        [("debian", f"{release}-{pocket}") for release in ("bookworm", "trixie", "forky")
         for pocket in ("backports", "updates", "proposed-updates")]
        + [("debian", "experimental")]
        + [("debian-security", f"{release}-security") for release in ("bookworm", "trixie", "forky")]
    )),
    Ring("far", tuple(("debian", suite) for suite in ("trixie", "sid", "forky", "bookworm"))),
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


class PrivateApt:
    """One ring of the archive, seen through a private apt in the cache."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._dir = cache_dir("apt", ring.name)
        self._stamp = self._dir / "updated"

    def linux_sources(self, packages: Sequence[str]) -> list[SourcePackage]:
        """Every version of the source packages named that the ring has."""
        done = run(["apt-cache", "showsrc", "--only-source", *packages], timeout=60, env=self._env(), ok=(0, 100))
        return parse_showsrc(done.stdout.decode(errors="replace"))

    def packages(self, name: str) -> list[BinaryPackage]:
        """Every version of a binary package that the ring has."""
        return known_packages(name, self._env())

    def fresh(self) -> bool:
        """Whether the lists were fetched a short while ago."""
        return self._stamp.exists() and time.time() - self._stamp.stat().st_mtime < LISTS_FRESH_SECONDS

    def just_updated(self) -> bool:
        """Whether the lists were fetched within this run."""
        return self._stamp.exists() and time.time() - self._stamp.stat().st_mtime < 60

    def update(self) -> None:
        """Fetch the indices. A suite that does not exist is no error; none at all is."""
        self._configure()
        done = run(["apt-get", "update", "-q"], timeout=UPDATE_SECONDS, env=self._env(), ok=(0, 100))
        if done.returncode == 0 or b"Failed to fetch" not in done.stderr:
            self._stamp.touch()
        if not any((self._dir / "lists").glob("*Sources*")):
            lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line[:2] in ("W:", "E:")]
            raise LabError(
                f"the Debian archive cannot be reached: {lines[0] if lines else 'apt-get update brought nothing'}",
                hint="check the network and proxy settings, or give a kernel tree on disk: --base PATH",
            )

    def download(self, source: SourcePackage | BinaryPackage, into: Path) -> Path:
        """Download the upstream tarball of a source, or a package, verified by apt, into an empty directory."""
        if isinstance(source, BinaryPackage):
            return download_package(source, into, self._env())
        argv = ["apt-get", "source", "-qq", "--download-only", "--tar-only", "--only-source"]
        run([*argv, f"{source.package}={source.version}"], timeout=DOWNLOAD_SECONDS, cwd=into, env=self._env())
        if not (into / source.file).is_file():
            raise LabError(f"apt-get source did not bring {source.file}", hint="is the mirror being updated? try again")
        return into / source.file

    def _env(self) -> dict[str, str]:
        return {"APT_CONFIG": str(self._dir / "apt.conf")}

    def _configure(self) -> None:
        for name in ("lists/partial", "archives/partial", "etc"):
            (self._dir / name).mkdir(parents=True, exist_ok=True)
        (self._dir / "status").touch()
        signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
        mirrors = machine_mirrors()
        lines = [
            f"{kind} {signed}{mirrors[archive]} {suite} main"
            for archive, suite in self._ring.suites for kind in ("deb-src", "deb")
        ]
        (self._dir / "sources.list").write_text("\n".join(lines) + "\n")
        settings = {
            "Dir::State": self._dir, "Dir::State::status": self._dir / "status",
            "Dir::State::lists": self._dir / "lists", "Dir::Cache": self._dir,
            "Dir::Etc::sourcelist": self._dir / "sources.list",
            "Dir::Etc::sourceparts": self._dir / "etc", "Dir::Etc::parts": self._dir / "etc",
            "Dir::Etc::main": self._dir / "etc" / "none", "Acquire::Languages": "none", "APT::Sandbox::User": "root",
        }
        # Of the machine's own settings only how it fetches (proxies, time-outs); none of its hooks.
        dump = run(["apt-config", "dump", "--no-empty", "--format", '%F "%v";%n', "Acquire"], timeout=30)
        fetching = [line for line in dump.stdout.decode(errors="replace").splitlines() if line.startswith("Acquire::")]
        text = [*fetching, *(f'{name} "{value}";' for name, value in settings.items())]
        (self._dir / "apt.conf").write_text("\n".join(text) + "\n")


def machine_mirrors() -> dict[str, str]:
    """Where the machine's own apt gets `debian` and `debian-security` from, if it is a Debian."""
    done = run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], timeout=30, ok=(0, 100))
    mirrors: dict[str, str] = {}
    for uri in sorted(set(done.stdout.decode(errors="replace").split())):
        name = uri.rstrip("/").rpartition("/")[2]
        if name in ARCHIVES and uri.startswith(("http:", "https:")):
            mirrors.setdefault(name, uri.rstrip("/"))
    if "debian" not in mirrors:
        raise LabError(
            "this machine's apt knows no mirror of Debian", hint="add one to apt's sources, or name another --base"
        )
    mirrors.setdefault("debian-security", mirrors["debian"] + "-security")  # mirrors have them side by side
    return mirrors


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
            f"apt-get download {package.name} left {len(debs)} files", hint="run apt-get update, then try again",
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

# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages without root and without the system's package database: resolve, download, unpack.

A private apt configuration with an empty package status sees other suites of the machine's own Debian mirror.
Packages are unpacked, never installed: no maintainer script runs.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from panthorlab.errors import LabError

APT_HELPER = "/usr/lib/apt/apt-helper"
KEYRINGS = ("/usr/share/keyrings", "/etc/apt/trusted.gpg.d")
_APT_TIMEOUT = 300.0
_DOWNLOAD_TIMEOUT = 1800.0
_UNPACK_TIMEOUT = 120.0
_HINT = "check the network, proxy and apt settings: the machine's own `apt-get update` must work"
_USR_MERGED = ("bin", "sbin", "lib", "lib64")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Deb:
    """One package file of the archive. `path`: below the mirror's root (`pool/…`). `size` in bytes."""

    path: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """File name with version and architecture, epoch dropped, as in the pool."""
        return PurePosixPath(self.path).name


def parse_lock(text: str) -> tuple[str, list[Deb]]:
    """A lock file: `architecture NAME`, then lines `sha256 size path`; `#` begins a comment. Raises ValueError."""
    architecture, debs = "", []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if words[0] == "architecture" and len(words) == 2:
            architecture = words[1]
        elif len(words) == 3 and re.fullmatch(r"[0-9a-f]{64}", words[0]) and words[1].isdigit():
            debs.append(Deb(words[2], int(words[1]), words[0]))
        else:
            raise ValueError(f"line {number} is not `sha256 size path`")
    return architecture, debs


def format_lock(architecture: str, debs: Iterable[Deb]) -> str:
    lines = [f"{deb.sha256} {deb.size} {deb.path}" for deb in sorted(debs, key=lambda deb: deb.path)]
    return "\n".join([f"architecture {architecture}", *lines]) + "\n"


def parse_print_uris(text: str, mirror: str) -> list[Deb]:
    """`apt-get --print-uris` lines `'URI' name size SHA256:…` of files on `mirror`."""
    debs = []
    for line in text.splitlines():
        found = re.fullmatch(r"'([^']+)' \S+ (\d+) SHA256:([0-9a-f]{64})", line.strip())
        if found and found[1].startswith(mirror):
            debs.append(Deb(unquote(found[1].removeprefix(mirror).lstrip("/")), int(found[2]), found[3]))
    return debs


def architecture() -> str:
    """The machine's, in Debian's words (`amd64`)."""
    return _run(["dpkg", "--print-architecture"], env=None).strip()


def debian_mirror() -> str:
    """Where the machine's own apt gets Debian itself from: a URI that ends in `/`. Raises LabError if it has none."""
    targets = _run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"], env=None)
    for line in targets.splitlines():
        origin, _, rest = line.partition("|")
        label, _, uri = rest.partition("|")
        if (origin, label) == ("Debian", "Debian"):
            return _plain(uri).rstrip("/") + "/"
    raise LabError("this machine's apt knows no Debian mirror", hint="on Debian: run `apt-get update` first")


def _plain(uri: str) -> str:
    """The first mirror of a `mirror+file:/LIST` source, as cloud images of Debian have them; else the URI itself."""
    parts = urlsplit(uri)
    if not parts.scheme.startswith("mirror"):
        return uri
    listing = parts.path.rstrip("/")
    try:
        return next(line.split()[0] for line in Path(listing).read_text().splitlines()
                    if line.strip() and not line.startswith("#"))
    except (OSError, StopIteration) as error:
        raise LabError(f"apt's mirror list {listing} cannot be read", hint=_HINT) from error


class PrivateApt:
    """apt on `suites` of `mirror`, with all its state in `folder`; for the machine's own architecture by default."""

    def __init__(self, folder: Path, mirror: str, suites: Sequence[str], architecture: str | None = None) -> None:
        self._folder, self._mirror, self._suites = folder, mirror, tuple(suites)
        self._architecture = architecture
        for part in ("lists/partial", "cache/archives/partial", "keys", "empty"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text("".join(f"deb {mirror} {suite} main\n" for suite in suites))
        for source in (path for ring in KEYRINGS for path in sorted(Path(ring).glob("debian-archive-*"))):
            shutil.copyfile(source, folder / "keys" / source.name)
        (folder / "apt.conf").write_text(self._settings())

    def _settings(self) -> str:
        """Only how the machine's apt fetches (proxies, time-outs) is taken over; none of its hooks."""
        dump = _run(["apt-config", "dump", "--no-empty"], env=None)
        empty = self._folder / "empty"
        own = {
            "Dir::State": self._folder, "Dir::State::status": self._folder / "status",
            "Dir::State::lists": self._folder / "lists", "Dir::Cache": self._folder / "cache",
            "Dir::Etc::sourcelist": self._folder / "sources.list", "Dir::Etc::sourceparts": empty,
            "Dir::Etc::main": empty / "none", "Dir::Etc::parts": empty,
            "Dir::Etc::preferences": empty / "none", "Dir::Etc::preferencesparts": empty,
            "Dir::Etc::trusted": empty / "none", "Dir::Etc::trustedparts": self._folder / "keys",
            "APT::Install-Recommends": "false", "APT::Sandbox::User": "root",
            "Acquire::Languages": "none", "Acquire::ForceHash": "SHA256",
        }
        if self._architecture:
            own |= {"APT::Architecture": self._architecture, "APT::Architectures": self._architecture}
        fetching = [line for line in dump.splitlines() if line.startswith("Acquire::")]
        return "\n".join([*fetching, *(f'{name} "{value}";' for name, value in own.items())]) + "\n"

    def resolve(self, *packages: str) -> list[Deb]:
        """`packages` from the last of the suites, with all they depend on. Raises LabError."""
        env = {**os.environ, "APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C"}
        _run(["apt-get", "update", "-qq"], env=env)
        uris = _run(["apt-get", "install", "-y", "-qq", "--print-uris", "--download-only", "-t", self._suites[-1],
                     *packages], env=env)
        debs = parse_print_uris(uris, self._mirror)
        if not debs:
            raise LabError(f"apt finds no {' '.join(packages)} in {' '.join(self._suites)}", hint=_HINT)
        return debs


def download(debs: Sequence[Deb], mirror: str, store: Path, on_progress: Progress) -> list[Path]:
    """The files of `debs` in `store`, fetched where missing, each with the right sha256. Raises LabError."""
    paths = [store / f"{deb.sha256[:16]}-{deb.name}" for deb in debs]
    wanted = [(deb, path) for deb, path in zip(debs, paths, strict=True) if not _is(path, deb)]
    if not wanted:
        return paths
    total = sum(deb.size for deb, _ in wanted) / 1e6
    on_progress(f"downloading {len(wanted)} packages, {total:.1f} MB")
    with tempfile.TemporaryDirectory(dir=store) as temporary:
        argv = [APT_HELPER, "download-file"]
        for deb, path in wanted:
            argv += [mirror + deb.path, str(Path(temporary, path.name)), f"SHA256:{deb.sha256}"]
        _fetch(argv, Path(temporary), len(wanted), on_progress)
        for deb, path in wanted:
            got = Path(temporary, path.name)
            if not _is(got, deb):
                raise LabError(f"{deb.name} was not downloaded, or is not the file it should be", hint=_HINT)
            got.replace(path)
    return paths


def unpack(paths: Iterable[Path], root: Path) -> None:
    """Unpack package files over each other into `root`, a new directory with a merged /usr."""
    for name in _USR_MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for path in paths:
        tar = ["tar", "-C", str(root), "--keep-directory-symlink", "--no-same-owner", "-xf", "-"]
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(path)], stdout=subprocess.PIPE) as source:
            done = subprocess.run(tar, stdin=source.stdout, capture_output=True, timeout=_UNPACK_TIMEOUT, check=False)
        if source.returncode or done.returncode:
            raise LabError(f"{path.name} cannot be unpacked: {done.stderr.decode('utf-8', 'replace').strip()}",
                           hint=f"disk full? else delete {path}")


def _fetch(argv: Sequence[str], folder: Path, count: int, on_progress: Progress) -> None:
    deadline = time.monotonic() + _DOWNLOAD_TIMEOUT
    said = 0
    with tempfile.TemporaryFile() as output:
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process:
            try:
                while process.poll() is None:
                    if time.monotonic() > deadline:
                        raise LabError(f"packages were not downloaded within {_DOWNLOAD_TIMEOUT:g} s", hint=_HINT)
                    try:
                        process.wait(0.5)
                    except subprocess.TimeoutExpired:
                        here = len(list(folder.glob("*.deb")))
                        if here >= said + 10:
                            said = here
                            on_progress(f"{here} of {count} packages")
            finally:
                process.kill()
        output.seek(0)
        said_last = output.read().decode("utf-8", "replace")
    if process.returncode:
        errors = [line for line in said_last.splitlines() if line.startswith("E:")]
        raise LabError(f"packages could not be downloaded: {' '.join(errors[:3]) or said_last[-300:]}", hint=_HINT)


def _is(path: Path, deb: Deb) -> bool:
    try:
        return path.stat().st_size == deb.size and hashlib.sha256(path.read_bytes()).hexdigest() == deb.sha256
    except FileNotFoundError:
        return False


def _run(argv: Sequence[str], *, env: dict[str, str] | None) -> str:
    try:
        done = subprocess.run(argv, env=env, capture_output=True, stdin=subprocess.DEVNULL, timeout=_APT_TIMEOUT,
                              check=False)
    except FileNotFoundError as error:
        raise LabError(f"there is no `{argv[0]}` here: not a Debian?") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{' '.join(argv[:3])}` took longer than {_APT_TIMEOUT:g} s", hint=_HINT) from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise LabError(f"`{' '.join(argv[:3])}` failed: {said[-500:]}", hint=_HINT)
    return done.stdout.decode("utf-8", "replace")

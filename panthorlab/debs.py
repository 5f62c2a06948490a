# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages without root and without the system's package database: resolve, download, unpack.

A private apt configuration with an empty package status sees other suites of the machine's own Debian mirror.
Packages are unpacked, never installed: no maintainer script runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from panthorlab import apt, spawn
from panthorlab.errors import LabError
from panthorlab.paths import cache_dir

APT_HELPER = "/usr/lib/apt/apt-helper"
_DOWNLOAD_TIMEOUT = 1800.0
_UNPACK_TIMEOUT = 120.0
_USR_MERGED = ("bin", "sbin", "lib", "lib64")
ProgressCallback = Callable[[str], None]


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
    return apt.run(["dpkg", "--print-architecture"]).strip()


def debian_mirror() -> str:
    """Where the machine's own apt gets Debian itself from: a URI that ends in `/`. Raises LabError if it has none."""
    return apt.mirrors()["debian"] + "/"


class PackageResolver:
    """apt on `suites` of `mirror`, with all its state in `folder`; for the machine's own architecture by default."""

    def __init__(self, folder: Path, mirror: str, suites: Sequence[str], architecture: str | None = None) -> None:
        self._mirror, self._suites = mirror, tuple(suites)
        self._apt = apt.PrivateApt(folder)
        self._apt.configure([f"deb {mirror} {suite} main" for suite in suites], architecture)

    def resolve(self, *packages: str) -> list[Deb]:
        """`packages` from the last of the suites, with all they depend on. Raises LabError."""
        apt.run(["apt-get", "update", "-qq"], env=self._apt.env)
        uris = apt.run(
            ["apt-get", "install", "-y", "-qq", "--print-uris", "--download-only", "-t", self._suites[-1], *packages],
            env=self._apt.env,
        )
        debs = parse_print_uris(uris, self._mirror)
        if not debs:
            raise LabError(f"apt finds no {' '.join(packages)} in {' '.join(self._suites)}", hint=apt.HINT)
        return debs


def download(debs: Sequence[Deb], mirror: str, store: Path, on_progress: ProgressCallback) -> list[Path]:
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
                raise LabError(f"{deb.name} was not downloaded, or is not the file it should be", hint=apt.HINT)
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
            raise LabError(
                f"{path.name} cannot be unpacked: {done.stderr.decode('utf-8', 'replace').strip()}",
                hint=f"disk full? else delete {path}",
            )


def provide(
    base: Path,
    key: str,
    name: str,
    pinned: Sequence[Deb],
    resolve: Callable[[], list[Deb]],
    finish: Callable[[Path], object],
    on_progress: ProgressCallback,
) -> Path:
    """`base/key/root`, an unpacked tree of what is called `name`; it appears whole or not at all.

    `pinned`: its packages; `resolve` gives others where there are none, or they cannot be had any more. `finish`:
    completes and checks the new tree. `key`: see `tree_key`; a substitute takes the same.
    """
    mirror, store = debian_mirror(), cache_dir("debs")
    paths: list[Path] = []
    if pinned:
        on_progress(f"fetching {name}")
        try:
            paths = download(pinned, mirror, store, on_progress)
        except LabError as error:
            on_progress(f"the pinned {name} packages cannot be had ({error}); looking for others")
    if not paths:
        paths = download(resolve(), mirror, store, on_progress)
    on_progress(f"unpacking {name}")
    with tempfile.TemporaryDirectory(dir=base) as temporary:
        root = Path(temporary, "tree", "root")
        root.mkdir(parents=True)
        unpack(paths, root)
        finish(root)
        shutil.rmtree(base / key, ignore_errors=True)
        root.parent.rename(base / key)
    return base / key / "root"


def tree_key(pinned: Sequence[Deb], recipe: str = "") -> str:
    """Names an unpacked tree by its packages, and by `recipe`, how it is finished; `resolved` if none are pinned."""
    if not pinned:
        return "resolved"
    return hashlib.sha256("".join([*sorted(deb.sha256 for deb in pinned), recipe]).encode()).hexdigest()[:16]


@contextmanager
def exclusive(base: Path) -> Iterator[None]:
    """Only one process at a time makes a tree in `base`."""
    with (base / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def loader(root: Path) -> tuple[str, str]:
    """The dynamic loader of an unpacked tree, and its library path: with both a program of the tree runs on any host.
    Raises LabError if there is none."""
    loaders = sorted(root.glob("lib64/ld-linux-*.so.*")) + sorted(root.glob("lib/ld-linux-*.so.*"))
    libraries = [str(path) for path in sorted(root.glob("usr/lib/*-linux-gnu*")) if path.is_dir()]
    if not loaders or not libraries:
        raise LabError(f"{root} has no dynamic loader", hint=f"delete {root.parent} and try again")
    return str(loaders[0]), ":".join(libraries)


def _fetch(argv: Sequence[str], folder: Path, count: int, on_progress: ProgressCallback) -> None:
    deadline = time.monotonic() + _DOWNLOAD_TIMEOUT
    shown = 0
    with tempfile.TemporaryFile() as output:
        with spawn.spawn(argv, stdout=output, stderr=output) as process:
            try:
                while process.poll() is None:
                    if time.monotonic() > deadline:
                        raise LabError(f"packages were not downloaded within {_DOWNLOAD_TIMEOUT:g} s", hint=apt.HINT)
                    try:
                        process.wait(0.5)
                    except subprocess.TimeoutExpired:
                        here = len(list(folder.glob("*.deb")))
                        if here >= shown + 10:
                            shown = here
                            on_progress(f"{here} of {count} packages")
            finally:
                process.kill()
        output.seek(0)
        errors_text = output.read().decode("utf-8", "replace")
    if process.returncode:
        errors = [line for line in errors_text.splitlines() if line.startswith("E:")]
        raise LabError(f"packages could not be downloaded: {' '.join(errors[:3]) or errors_text[-300:]}", hint=apt.HINT)


def _is(path: Path, deb: Deb) -> bool:
    try:
        return path.stat().st_size == deb.size and hashlib.sha256(path.read_bytes()).hexdigest() == deb.sha256
    except FileNotFoundError:
        return False

# SPDX-License-Identifier: GPL-2.0-or-later
"""Release tarballs of kernel.org: sha256-checked, resumed after a broken connection, never left incomplete."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import requests

from panthorlab.errors import LabError, SourceError
from panthorlab.files import disk_errors
from panthorlab.kernel.driver import PANTHOR
from panthorlab.kernel.progress import Progress
from panthorlab.kernel.source.archive import unpack_tarball
from panthorlab.kernel.tools import TREE_BYTES, need_space
from panthorlab.paths import cache_dir, cache_path

BASE_URL = "https://cdn.kernel.org/pub/linux/kernel"
BASE_VARIABLE = "PANTHORLAB_KERNEL_ORG"
TIMEOUT = (15.0, 60.0)  # seconds to connect, and between two bytes
TRIES = 4
CHUNK = 1 << 20


@dataclass(frozen=True)
class ReleaseSource:
    """`linux-VERSION.tar.xz` with the sha256 that kernel.org publishes for it."""

    version: str
    url: str
    sha256: str

    @property
    def key(self) -> str:
        return f"orig-{self.sha256}"

    @property
    def title(self) -> str:
        return f"Linux {self.version} (kernel.org)"

    def unpack(self, into: Path, progress: Progress) -> None:
        need_space(into, TREE_BYTES)
        tarball = cache_dir("downloads") / self.url.rpartition("/")[2]
        download(self.url, tarball, self.sha256, progress)
        progress(f"unpacking {tarball.name}")
        unpack_tarball(tarball, into)
        tarball.unlink()


def release_source(version: str, progress: Progress, *, look: bool = False) -> ReleaseSource | None:
    """The release tarball of `version`, e.g. `6.18.5`. Asks the server only once; None if `look` forbids that."""
    version = version.removeprefix("v")
    match = re.fullmatch(r"(\d+)\.\d+(?:\.\d+)?", version)
    if match is None:
        raise SourceError(
            f"kernel.org has no release {version!r}",
            hint="e.g. kernel.org:6.18.5; for a release candidate use a git tree: PATH@v7.3-rc1",
        )
    if PANTHOR.too_old(version):  # the oldest driver
        raise PANTHOR.missing(f"kernel.org:{version}", version)
    base = os.environ.get(BASE_VARIABLE, BASE_URL).rstrip("/")
    folder, name = f"{base}/v{match[1]}.x", f"linux-{version}.tar.xz"
    memory = cache_path("sources") / f"kernel.org-{hashlib.sha256(folder.encode()).hexdigest()[:12]}-{version}"
    if memory.exists() and re.fullmatch(r"[0-9a-f]{64}", known := memory.read_text().strip()):
        return ReleaseSource(version, f"{folder}/{name}", known)
    if look:
        return None
    progress(f"asking {base} for Linux {version}")
    digest = find_digest(_get_text(f"{folder}/sha256sums.asc"), name)
    if digest is None:
        raise SourceError(f"kernel.org has no release {version}", hint=f"looked for {name} in {folder}/sha256sums.asc")
    (cache_dir("sources") / memory.name).write_text(digest)
    return ReleaseSource(version, f"{folder}/{name}", digest)


def find_digest(sums: str, name: str) -> str | None:
    """sha256 of file `name` in the text of `sha256sums.asc`."""
    match = re.search(rf"^([0-9a-f]{{64}}) [ *]{re.escape(name)}$", sums, re.MULTILINE)
    return match[1] if match else None


def download(url: str, target: Path, sha256: str, progress: Progress) -> None:
    """Fetch `url` to `target`; resumes an earlier download in `target.part`.

    Raises LabError for no network (after a few tries) or a file with the wrong digest.
    """
    if target.exists() and _digest(target) == sha256:
        return
    part = target.with_name(target.name + ".part")
    trouble: Exception | None = None
    for _ in range(TRIES):
        try:
            with disk_errors():
                _fetch(url, part, progress)
        except requests.RequestException as error:
            trouble = error
            continue
        if _digest(part) == sha256:
            part.replace(target)
            return
        part.unlink()
        trouble = LabError(f"{url}: its sha256 is not {sha256}")
    if isinstance(trouble, LabError):
        raise LabError(str(trouble), hint="it was damaged or replaced on its way; try again later") from trouble
    raise LabError(
        f"cannot download {url}: {trouble}", hint="check the network; the next try goes on where this one stopped"
    )


def _fetch(url: str, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # complete already (or longer than the file; the digest will show)
        answer.raise_for_status()
        resumed = answer.status_code == requests.codes.partial_content
        length = answer.headers.get("Content-Length", "")
        total = int(length) + (have if resumed else 0) if length.isdigit() else None
        done = have if resumed else 0
        with part.open("ab" if resumed else "wb") as out:
            for chunk in answer.iter_content(CHUNK):
                out.write(chunk)
                done += len(chunk)
                progress(f"downloading {url.rpartition('/')[2]}", done, total)
    if total is not None and done < total:
        raise requests.ConnectionError(f"connection closed after {done} of {total} bytes")


def _get_text(url: str) -> str:
    try:
        answer = requests.get(url, timeout=TIMEOUT)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise LabError(
            f"cannot read {url}: {error}",
            hint="check the network, or use a tree on disk (--base PATH) or Debian's (debian:VERSION)",
        ) from error
    return answer.text


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

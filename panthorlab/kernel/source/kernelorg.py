# SPDX-License-Identifier: GPL-2.0-or-later
"""Release tarballs of kernel.org, by the sha256 that it publishes."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import requests

from panthorlab.errors import LabError, SourceError
from panthorlab.kernel.driver import PANTHOR
from panthorlab.kernel.progress import Progress
from panthorlab.kernel.source.archive import unpack_tarball
from panthorlab.kernel.source.download import TIMEOUT, download
from panthorlab.kernel.tools import TREE_BYTES, need_space
from panthorlab.paths import cache_dir, cache_path

BASE_URL = "https://cdn.kernel.org/pub/linux/kernel"
BASE_VARIABLE = "PANTHORLAB_KERNEL_ORG"


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

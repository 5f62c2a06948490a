# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel that somebody else has built, by URL: the tarball of a build directory, pinned by its sha256.

`https://HOST/PATH.tar.xz#sha256=HEX`. Its one top directory is a tree that was built in (without O=), so that it has
sources, configuration, vmlinux and modules. Code of it runs nowhere but in the jail and on the board.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from panthorlab.errors import LabError, UsageError
from panthorlab.files import exclusive
from panthorlab.kernel.progress import Progress
from panthorlab.kernel.source.archive import SUFFIXES, unpack_tarball
from panthorlab.kernel.source.download import download
from panthorlab.kernel.tools import TREE_BYTES, need_space
from panthorlab.paths import cache_dir

HOME: Final = "prebuilt"
LARGEST: Final = 4 << 30
"""Bytes of a tarball."""
LARGEST_TREE: Final = 24 << 30
"""Bytes that may come out of it."""
_DIGEST: Final = re.compile(r"sha256=([0-9a-f]{64})")
_HOW: Final = "write https://HOST/PATH.tar.xz#sha256=HEX, with the output of sha256sum"


@dataclass(frozen=True)
class Prebuilt:
    """`url` without the digest."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """Of the file."""
        return Path(unquote(urlsplit(self.url).path)).name


def is_url(name: str) -> bool:
    """Whether a kernel is named by URL."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name) is not None


def parse(name: str) -> Prebuilt:
    """Raises UsageError for what is not to be trusted to be what was meant."""
    url, _, fragment = name.partition("#")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise UsageError(f"kernel {name[:200]!r}: {error}", hint=_HOW) from None
    if parts.username is not None:
        raise UsageError(
            "a kernel's URL has a user or password in it, which would be on record", hint="publish it without"
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(host)):
        raise UsageError(f"kernel {url[:200]!r}: only https:// can be trusted", hint=_HOW)
    digest = _DIGEST.fullmatch(fragment)
    if digest is None:
        raise UsageError(f"kernel {url[:200]!r} is not pinned: nobody knows what comes", hint=_HOW)
    found = Prebuilt(url, digest[1])
    if not found.name.endswith(SUFFIXES):
        raise UsageError(f"kernel {url[:200]!r} is no tarball", hint=f"known: {', '.join(SUFFIXES)}")
    return found


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def fetch(kernel: Prebuilt, progress: Progress) -> Path:
    """The tree, in the cache. Raises LabError, UsageError."""
    home = cache_dir(HOME)
    tree = home / kernel.sha256
    with exclusive(home / f"{kernel.sha256}.lock", "this kernel", lambda: progress(f"waiting for {kernel.name}")):
        if not tree.is_dir():
            _unpack(kernel, tree, progress)
        os.utime(tree)  # used now
    return tree


def _unpack(kernel: Prebuilt, tree: Path, progress: Progress) -> None:
    need_space(tree.parent, TREE_BYTES)
    suffix = next(suffix for suffix in SUFFIXES if kernel.name.endswith(suffix))
    tarball = cache_dir("downloads") / f"{kernel.sha256}{suffix}"
    download(kernel.url, tarball, kernel.sha256, progress, largest=LARGEST)
    progress(f"unpacking {kernel.name}")
    scratch = Path(tempfile.mkdtemp(prefix="new-", dir=tree.parent))
    try:
        unpack_tarball(tarball, scratch, largest=LARGEST_TREE)
        _check_links(kernel, scratch)
        scratch.chmod(0o755)
        scratch.rename(tree)
    except OSError as error:
        raise LabError(f"{kernel.name} cannot be unpacked: {error.strerror}") from error
    finally:
        if scratch.is_dir():
            shutil.rmtree(scratch)
    tarball.unlink()


def _check_links(kernel: Prebuilt, tree: Path) -> None:
    """`source` says where a build has its sources: not with us."""
    link = tree / "source"
    if link.is_symlink() and not link.resolve().is_relative_to(tree.resolve()):
        raise UsageError(
            f"{kernel.name} was built with O=, and its sources are elsewhere ({str(link.readlink())[:100]!r})",
            hint="pack a tree that was built in: `make` without O=",
        )

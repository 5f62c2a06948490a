# SPDX-License-Identifier: GPL-2.0-or-later
"""Unpacking tarballs and packages into an empty directory."""

from __future__ import annotations

from pathlib import Path

from panthorlab.errors import SourceError
from panthorlab.kernel.tools import pipeline, run

UNPACK_SECONDS = 900

_DECOMPRESS = {".xz": ("xz", "-dc", "-T0"), ".gz": ("gzip", "-dc"), ".bz2": ("bzip2", "-dc"), ".zst": ("zstd", "-dc")}
SUFFIXES = (".tar", *(f".tar{suffix}" for suffix in _DECOMPRESS))


def extract_argv(into: Path, *, strip: int) -> list[str]:
    """tar from stdin; ownership is ours, members never leave `into` (GNU tar strips `/` and refuses `..`)."""
    return [
        "tar",
        "-x",
        "-C",
        str(into),
        f"--strip-components={strip}",
        "--no-same-owner",
        "--no-same-permissions",
        "--delay-directory-restore",
    ]


def unpack_tarball(tarball: Path, into: Path, *, largest: int | None = None) -> None:
    """Unpack `linux-*.tar.{xz,gz,bz2,zst}`, leaving out its one top directory. One with more than `largest` bytes in it
    is cut off there, which tar calls an error."""
    decompress = _DECOMPRESS.get(tarball.suffix)
    if decompress is None and tarball.suffix != ".tar":
        raise SourceError(f"{tarball.name} is not a tarball that can be read", hint=f"known: {', '.join(SUFFIXES)}")
    stages: list[list[str]] = [[*decompress, str(tarball)]] if decompress else [["cat", str(tarball)]]
    if largest is not None:
        stages.append(["head", "-c", str(largest)])
    pipeline([*stages, extract_argv(into, strip=1)], timeout=UNPACK_SECONDS)


def unpack_source_package(deb: Path, into: Path) -> None:
    """Unpack the tree of a Debian `linux-source-X.Y` binary package: a tarball in usr/src of its tarball."""
    listing = run(["dpkg-deb", "--contents", str(deb)], timeout=120).stdout.decode(errors="replace")
    members = [line.split()[-1] for line in listing.splitlines() if "/usr/src/linux-source-" in line]
    tarballs = [name for name in members if name.endswith(".tar.xz")]
    if not tarballs:
        raise SourceError(f"{deb.name} has no kernel tree in it")
    pipeline(
        [
            ["dpkg-deb", "--fsys-tarfile", str(deb)],
            ["tar", "-xO", tarballs[0]],
            ["xz", "-dc", "-T0"],
            extract_argv(into, strip=1),
        ],
        timeout=UNPACK_SECONDS,
    )

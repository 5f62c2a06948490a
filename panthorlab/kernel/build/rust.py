# SPDX-License-Identifier: GPL-2.0-or-later
"""The Rust toolchain for kernels: rustc, bindgen and the standard library's source, installed or unpacked.

Kernels have minimum versions (scripts/min-tool-version.sh; 7.3: rustc 1.85.0, bindgen 0.71.1, libclang 17). If this
machine's tools are older or missing, the packages of `rust-debs.lock` (Debian 13) are fetched by hash into the cache
and run there by their own dynamic loader: no root, nothing installed. The C compiler is always the machine's own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from panthorlab import debs, spawn
from panthorlab.debs import Deb, ProgressCallback
from panthorlab.errors import LabError
from panthorlab.kernel.jail.bubblewrap import Bind
from panthorlab.paths import cache_dir, cache_path

PACKAGES: Final = ("rustc", "rust-src", "bindgen")
SUITES: Final = (("trixie",), ("trixie", "trixie-backports"), ("sid",))
"""Where to look for new enough packages if the pinned ones are gone; the last of each is preferred."""
LOCK: Final = Path(__file__).with_name("rust-debs.lock")
RUSTC, BINDGEN = (1, 85, 0), (0, 71, 1)
"""Minimum versions of the first kernel that we build with Rust (7.3)."""
INSTALL: Final = "install rustc, rust-src, bindgen and libclang (Debian 13 or newer has the right ones)"
PLACE: Final = "rust"
"""The tree's name in the jail."""
_BIN: Final = "panthorlab"
_NOT_NEEDED: Final = re.compile(
    r"(?!libstd-rust)(?:gcc|cpp|binutils|rpcsvc|lib(?:c-dev|crypt|binutils|gprofng|ctf|sframe|\w*san\d)|[^_]*-dev_)"
)
"""Dependencies to leave out: a C compiler and headers, which the machine has."""
_LIBRARY: Final = "lib/rustlib/src/rust/library"
_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")
# By its own place, for the tree lies elsewhere in the jail than outside.
_WRAPPER: Final = """\
#!/bin/sh
root=${{0%/*}}/..
{more}exec "$root/{loader}" --library-path "{libraries}" "$root/usr/bin/{program}" "$@"
"""
_RECIPE: Final = f"1 {_WRAPPER}"
"""How a tree is finished: what `complete` does. Another recipe makes another tree."""
_TIMEOUT: Final = 60.0


@dataclass(frozen=True)
class Rust:
    """`rustc`, `bindgen`: programs, by path; below `root`, the unpacked tree, if there is one. `version`: of both, for
    people and for keys."""

    rustc: Path
    bindgen: Path
    version: str
    root: Path | None = None

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that are installed on the machine."""
        return () if self.root else (str(self.rustc), str(self.bindgen))

    @property
    def binds(self) -> tuple[Bind, ...]:
        """The directories that the jail needs for an unpacked toolchain."""
        return (Bind(PLACE, self.root),) if self.root else ()

    def make_args(self, where: Callable[[str], str]) -> tuple[str, ...]:
        """`where`: path of a bind by its name, where make runs."""
        top = Path(where(PLACE)) if self.root else None

        def place(path: Path) -> Path:
            return top / path.relative_to(self.root) if top and self.root else path

        rustc = place(self.rustc)
        return (f"RUSTC={rustc}", f"HOSTRUSTC={rustc}", f"BINDGEN={place(self.bindgen)}")


def find_rust(on_progress: ProgressCallback = lambda _text: None, *, look: bool = False) -> Rust:
    """The machine's toolchain if it is new enough, else the one in the cache, which is unpacked now if necessary.

    `look`: unpack nothing, and return the toolchain as if it were unpacked. Raises LabError that says what to install.
    """
    found, refused = installed()
    if found:
        return found
    try:
        return _unpacked(on_progress, look=look)
    except (LabError, OSError) as error:
        tried = "; ".join(refused)
        hints = [INSTALL, *filter(None, [getattr(error, "hint", None)])]
        raise LabError(
            f"this kernel has Rust, and there is no compiler for it: {tried}; Debian's package: {error}",
            hint="; or ".join(hints),
        ) from error


@cache
def installed() -> tuple[Rust | None, tuple[str, ...]]:
    """The toolchain on PATH, if it is complete and new enough; else the reasons why not."""
    rustc, bindgen, refused = shutil.which("rustc"), shutil.which("bindgen"), []
    if rustc is None or bindgen is None:
        missing = [name for name, path in (("rustc", rustc), ("bindgen", bindgen)) if path is None]
        return None, (f"no {' and no '.join(missing)} on PATH",)
    sysroot = _answer(rustc, "--print", "sysroot")
    real = Path(sysroot, "bin/rustc")  # rustup's is a program that looks for it in the user's home
    for name, path, least in (("rustc", str(real), RUSTC), ("bindgen", bindgen, BINDGEN)):
        answer = _answer(path, "--version")
        number = _VERSION.search(answer)
        if number is None:
            refused.append(f"{path} does not tell its version")
        elif tuple(map(int, number.groups())) < least:
            refused.append(f"{name} {number[0]} is older than {'.'.join(map(str, least))}")
    if not Path(sysroot, _LIBRARY, "core/src/lib.rs").is_file():
        refused.append(f"{sysroot}/{_LIBRARY} has no source of the standard library (rust-src)")
    if not refused and not _binds(bindgen):
        refused.append(f"{bindgen} finds no libclang")
    if refused:
        return None, tuple(refused)
    return Rust(real, Path(bindgen), f"{_answer(str(real), '--version')}; {_answer(bindgen, '--version')}"), ()


def _answer(*argv: str) -> str:
    """The first line of what a program says; empty if it says nothing, or cannot be run."""
    try:
        done = spawn.run(argv, timeout=_TIMEOUT, env={**os.environ, "LC_ALL": "C"})
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return lines[0].strip() if lines and done.returncode == 0 else ""


def _binds(bindgen: str) -> bool:
    """Whether `bindgen` can parse C: only then does it load libclang."""
    with tempfile.TemporaryDirectory(prefix="panthorlab-") as folder:
        header = Path(folder, "header.h")
        header.write_text("struct panthorlab { int field; };\n")
        try:
            done = spawn.run([bindgen, str(header)], timeout=_TIMEOUT, env={**os.environ, "LC_ALL": "C"})
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0 and b"pub struct panthorlab" in done.stdout


# -- Debian's packages in the cache -----------------------------------------------------------------------------


def _unpacked(on_progress: ProgressCallback, *, look: bool) -> Rust:
    pinned = pinned_packages()
    key = debs.tree_key(pinned, _RECIPE)
    root = cache_path("rust", key, "root")
    if not root.is_dir() and not look:
        base = cache_dir("rust")
        with debs.exclusive(base):
            if not root.is_dir():
                debs.provide(base, key, "rustc", pinned, lambda: resolve(debs.debian_mirror()), complete, on_progress)
    return Rust(root / _BIN / "rustc", root / _BIN / "bindgen", _versions_of(root, pinned), root)


def pinned_packages() -> list[Deb]:
    """The packages of the lock file; none if it is for another architecture than this machine's."""
    pinned_for, pinned = debs.parse_lock(LOCK.read_text())
    return pinned if pinned_for == debs.architecture() else []


def _versions_of(root: Path, pinned: list[Deb]) -> str:
    """The versions, as the tree has them written down."""
    try:
        return (root / _BIN / "version").read_text().strip()
    except FileNotFoundError:  # only looked for
        wanted = [deb.name.split("_") for deb in pinned]
        found = {name: version for name, version, *_ in wanted}
        return "; ".join(f"{name} {found.get(name, '?')}" for name in ("rustc", "bindgen"))


def resolve(mirror: str) -> list[Deb]:
    """The packages that give new enough programs today. Raises LabError."""
    refused = []
    for suites in SUITES:
        with tempfile.TemporaryDirectory(dir=cache_dir("rust")) as folder:
            found = debs.PackageResolver(Path(folder), mirror, suites).resolve(*PACKAGES)
        versions = {deb.name.split("_")[0]: deb.name.split("_")[1] for deb in found}
        if all(
            (number := _VERSION.search(versions.get(name, ""))) and tuple(map(int, number.groups())) >= least
            for name, least in (("rustc", RUSTC), ("bindgen", BINDGEN))
        ):
            return [deb for deb in found if not _NOT_NEEDED.match(deb.name)]
        refused.append(f"{suites[-1]} has rustc {versions.get('rustc')}, bindgen {versions.get('bindgen')}")
    raise LabError(f"no new enough rustc and bindgen in the archive: {', '.join(refused)}")


def complete(root: Path) -> None:
    """Put programs into the tree that start its own with its own libraries, and see that they run. Raises LabError."""
    start, libraries = debs.loader(root)
    inside = [str(Path(part).relative_to(root)) for part in libraries.split(":")]
    clang = next(iter(sorted(root.glob("usr/lib/llvm-*/lib/libclang*.so*"))), None)
    if clang is None:
        raise LabError(f"{root} holds no libclang", hint=f"delete {root.parent} and try again")
    for part in root.glob("usr/src/rustc-*/*"):  # of what is big, kernels want the library alone
        if part.name != "library":
            shutil.rmtree(part) if part.is_dir() and not part.is_symlink() else part.unlink()
    folder, versions = root / _BIN, []
    folder.mkdir()
    own = {"rustc": "", "bindgen": f'export LIBCLANG_PATH="$root/{clang.parent.relative_to(root)}"\n'}
    for program, more in own.items():
        wrapper = folder / program
        wrapper.write_text(
            _WRAPPER.format(
                more=more,
                loader=Path(start).relative_to(root),
                program=program,
                libraries=":".join(f"$root/{part}" for part in inside),
            )
        )
        wrapper.chmod(0o755)
        answer = _answer(str(wrapper), "--version")
        if not _VERSION.search(answer):
            raise LabError(f"{program} of Debian's package does not run here", hint=INSTALL)
        versions.append(answer)
    if not _binds(str(folder / "bindgen")):
        raise LabError("bindgen of Debian's package finds no libclang here", hint=INSTALL)
    (folder / "version").write_text("; ".join(versions) + "\n")

# SPDX-License-Identifier: GPL-2.0-or-later
"""The cross compiler: which one, and what identifies it in a store key."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from panthorlab import spawn
from panthorlab.errors import LabError, UsageError
from panthorlab.kernel.rust import Rust


@dataclass(frozen=True)
class Arch:
    """A kernel ARCH: GNU triplet prefix, the host machine that needs no cross compiler, and the Debian package."""

    name: str
    prefix: str
    machine: str
    packages: tuple[str, ...]


ARCHES: Mapping[str, Arch] = {
    "arm64": Arch("arm64", "aarch64-linux-gnu-", "aarch64", ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross")),
}

# Programs that a kernel build runs on the host, and the Debian package that has each.
HOST_TOOLS: Mapping[str, str] = {
    "make": "make", "gcc": "gcc", "ld": "binutils", "flex": "flex", "bison": "bison", "bc": "bc",
    "tar": "tar", "xz": "xz-utils", "git": "git", "find": "findutils", "dpkg-deb": "dpkg", "apt-get": "apt",
    "apt-cache": "apt", "apt-config": "apt", "bwrap": "bubblewrap",
}


_RECORDED = re.compile(r'^CONFIG_(CC_VERSION_TEXT|LD_VERSION|LLD_VERSION)=("[^"\n]*"|\d{1,9})$', re.MULTILINE)
BUILD_TOOLS = ("make", "gcc", "ld", "flex", "bison", "bc")


@dataclass(frozen=True)
class Toolchain:
    """`prefix`: CROSS_COMPILE. `version`: first line of `gcc --version`, of `ld --version`, and what `rust` tells,
    if the kernel has any. `ccache`: use it."""

    arch: str
    prefix: str
    version: str
    ccache: bool
    rust: Rust | None = None

    @property
    def make_args(self) -> tuple[str, ...]:
        args = [f"ARCH={self.arch}", f"CROSS_COMPILE={self.prefix}"]
        if self.ccache:
            args.append(f"CC=ccache {self.prefix}gcc")
        return tuple(args)

    @property
    def programs(self) -> tuple[str, ...]:
        """All that a build starts on the host, by name or path."""
        rust = self.rust.programs if self.rust else ()
        return (f"{self.prefix}gcc", f"{self.prefix}ld", *BUILD_TOOLS, *(("ccache",) if self.ccache else ()), *rust)


def find_toolchain(arch: str, environ: Mapping[str, str] = os.environ) -> Toolchain:
    """`$CROSS_COMPILE` if set, else Debian's cross compiler, else the host's own if the machine is of that arch.

    Raises UsageError for an arch that has none, LabError naming the package that is missing.
    """
    spec = ARCHES.get(arch)
    if spec is None:
        raise UsageError(f"no kernel can be built for arch {arch!r}", hint=f"known: {', '.join(ARCHES)}")
    prefix = environ.get("CROSS_COMPILE")
    if prefix is None:
        native = platform.machine() == spec.machine and shutil.which("gcc") and not shutil.which(f"{spec.prefix}gcc")
        prefix = "" if native else spec.prefix
    if "/" in prefix:
        prefix = str(Path(prefix).expanduser().absolute())  # builds run in another directory
    missing = [tool for tool in (f"{prefix}gcc", f"{prefix}ld") if shutil.which(tool) is None]
    if missing:
        raise LabError(
            f"no compiler for {arch}: {' and '.join(missing)} not found",
            hint=f"install {' '.join(spec.packages)} (Debian), or set CROSS_COMPILE to the prefix of another one",
        )
    return Toolchain(arch, prefix, _versions((f"{prefix}gcc", f"{prefix}ld")), shutil.which("ccache") is not None)


def with_rust(toolchain: Toolchain, rust: Rust) -> Toolchain:
    """The same that can also compile Rust."""
    return replace(toolchain, version=f"{toolchain.version}; {rust.version}", rust=rust)


def built_with(config: Path) -> str:
    """Compiler and linker of a kernel, in words, as its configuration has recorded them; empty if it has not."""
    try:
        text = config.read_text("utf-8", "replace")
    except FileNotFoundError:
        return ""
    found = dict(_RECORDED.findall(text))
    compiler = found.get("CC_VERSION_TEXT", "").strip('"')
    linkers = (("LD", "GNU ld"), ("LLD", "LLD"))
    linker = next((f"{name} {_version(int(number))}" for option, name in linkers
                   if (number := found.get(f"{option}_VERSION", "0")) != "0"), "")
    return "; ".join(part for part in (compiler, linker) if part)


def _version(number: int) -> str:
    """24000 as 2.40, 140006 as 14.0.6 (scripts/ld-version.sh of the kernel)."""
    major, minor, patch = number // 10000, number // 100 % 100, number % 100
    return f"{major}.{minor}" + (f".{patch}" if patch else "")


def check_host_tools(tools: Sequence[str]) -> None:
    """Raise LabError naming every missing program and the packages to install."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        packages = " ".join(sorted({HOST_TOOLS.get(tool, tool) for tool in missing}))
        raise LabError(f"not found: {', '.join(missing)}", hint=f"install {packages} (Debian)")


@cache
def _versions(tools: tuple[str, ...]) -> str:
    lines = []
    for tool in tools:
        done = spawn.run([tool, "--version"], timeout=30, env={**os.environ, "LC_ALL": "C"})
        if done.returncode != 0 or not done.stdout:
            said = done.stderr.decode(errors="replace").strip()[:200]
            raise LabError(f"{tool} --version failed: {said}", hint="is the compiler installed whole?")
        lines.append(done.stdout.decode(errors="replace").splitlines()[0].strip())
    return "; ".join(lines)

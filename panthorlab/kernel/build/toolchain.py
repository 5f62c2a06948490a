# SPDX-License-Identifier: GPL-2.0-or-later
"""The cross compiler: which one, and what identifies it in a store key."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from panthorlab import spawn
from panthorlab.arch import find_arch
from panthorlab.errors import LabError
from panthorlab.kernel.build.rust import Rust
from panthorlab.kernel.tools import BUILD_TOOLS

_RECORDED = re.compile(r'^CONFIG_(CC_VERSION_TEXT|LD_VERSION|LLD_VERSION)=("[^"\n]*"|\d{1,9})$', re.MULTILINE)


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
    row = find_arch(arch)
    prefix = environ.get("CROSS_COMPILE")
    if prefix is None:
        cross = shutil.which(f"{row.cross_compile}gcc")
        native = platform.machine() == row.machine and shutil.which("gcc") and not cross
        prefix = "" if native else row.cross_compile
    if "/" in prefix:
        whole = str(Path(prefix).expanduser().absolute())  # builds run in another directory
        prefix = f"{whole}/" if prefix.endswith("/") else whole  # the compiler's name may have no prefix but its place
    missing = [tool for tool in (f"{prefix}gcc", f"{prefix}ld") if shutil.which(tool) is None]
    if missing:
        raise LabError(
            f"no compiler for {arch}: {' and '.join(missing)} not found",
            hint=f"install {row.compiler_package} {row.libc_package} (Debian), "
            "or set CROSS_COMPILE to the prefix of another one",
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
    linker = next(
        (
            f"{name} {_version(int(number))}"
            for option, name in linkers
            if (number := found.get(f"{option}_VERSION", "0")) != "0"
        ),
        "",
    )
    return "; ".join(part for part in (compiler, linker) if part)


def _version(number: int) -> str:
    """24000 as 2.40, 140006 as 14.0.6 (scripts/ld-version.sh of the kernel)."""
    major, minor, patch = number // 10000, number // 100 % 100, number % 100
    return f"{major}.{minor}" + (f".{patch}" if patch else "")


@cache
def _versions(tools: tuple[str, ...]) -> str:
    lines = []
    for tool in tools:
        done = spawn.run([tool, "--version"], timeout=30, env={**os.environ, "LC_ALL": "C"})
        if done.returncode != 0 or not done.stdout:
            errors = done.stderr.decode(errors="replace").strip()[:200]
            raise LabError(f"{tool} --version failed: {errors}", hint="is the compiler installed whole?")
        lines.append(done.stdout.decode(errors="replace").splitlines()[0].strip())
    return "; ".join(lines)

# SPDX-License-Identifier: GPL-2.0-or-later
"""The architectures that kernels are built for and boards have: one row each, from which everything else derives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from panthorlab.errors import UsageError

ArchName = Literal["arm64"]
"""What a board file may say; a test holds it and the table together."""


@dataclass(frozen=True)
class Arch:
    """One architecture, and what each of the programs that we use calls it.

    `name`: the kernel's ARCH. `source`: its SRCARCH, the directory below `arch/`. `option`: its Kconfig symbol.
    `image`: the target of the kernel's make for a boot loader, and its file in `arch/SRCARCH/boot`. `machine`:
    `uname -m`. `triplet`: GNU's name. `debian`: Debian's. `kcidb`: KCIDB's. `qemu`: the last part of QEMU's program,
    `qemu_package` Debian's package of it, `qemu_machine` the `-machine`, `console` the serial port of that in Linux.
    """

    name: ArchName
    source: str
    option: str
    image: str
    machine: str
    triplet: str
    debian: str
    kcidb: str
    qemu: str
    qemu_package: str
    qemu_machine: str
    console: str

    @property
    def cross_compile(self) -> str:
        """CROSS_COMPILE for Debian's cross compiler."""
        return f"{self.triplet}-"

    @property
    def compiler_package(self) -> str:
        """Debian's package of the cross compiler."""
        return f"gcc-{self.triplet.replace('_', '-')}"

    @property
    def libc_package(self) -> str:
        """Debian's package of the static C library for the cross compiler."""
        return f"libc6-dev-{self.debian}-cross"

    @property
    def libraries(self) -> str:
        """Where Debian has the shared objects of a user space for it."""
        return f"/usr/lib/{self.triplet}"

    @property
    def boot_directory(self) -> str:
        """Where a build leaves what is booted, relative to its O= directory; the device trees are in `dts/` there."""
        return f"arch/{self.source}/boot"

    @property
    def image_path(self) -> str:
        """The kernel image, relative to the O= directory."""
        return f"{self.boot_directory}/{self.image}"

    @property
    def qemu_program(self) -> str:
        return f"qemu-system-{self.qemu}"


ARM64: Final = Arch(
    name="arm64",
    source="arm64",
    option="ARM64",
    image="Image",
    machine="aarch64",
    triplet="aarch64-linux-gnu",
    debian="arm64",
    kcidb="arm64",
    qemu="aarch64",
    qemu_package="qemu-system-arm",
    qemu_machine="virt,gic-version=3",
    console="ttyAMA0",
)
ARCHES: Final[Mapping[str, Arch]] = {arch.name: arch for arch in (ARM64,)}
DEFAULT: Final = ARM64


def find_arch(name: str) -> Arch:
    """The row of a kernel ARCH. Raises UsageError for one that has none."""
    if name not in ARCHES:
        raise UsageError(f"no kernel can be built for arch {name!r}", hint=f"known: {', '.join(ARCHES)}")
    return ARCHES[name]

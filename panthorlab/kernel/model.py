# SPDX-License-Identifier: GPL-2.0-or-later
"""One built kernel, as the store keeps it and boards boot it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Kernel:
    """A finished build in the store: immutable files under `path`, described by `path/kernel.json`.

    `key`: content key (tree + patches + config + toolchain), hex. `release`: `make kernelrelease`.
    `build_id`: GNU build-id of vmlinux, lower-case hex, as in the note of /sys/kernel/notes. `modules`: build-id of
    every module that was built, by module name (`panthor`, `panthor_pci_shim`, underscores as in /proc/modules).
    `digests`: sha256 of Image, modules and DTBs, by file name: the identity of the kernel. `files`: sha256 of every
    file, by path below `path`; empty if an older version stored it. `title`: for people, e.g. `6.12.117 + 1 patch`.
    `jailed`: the code of its tree ran in the jail during the build. `shim_key`: of the sources of the shim among its
    modules; empty if an older version stored it.

    Files under `path`: `Image`, `System.map`, `config`, `vmlinux`, `modules/*.ko`, `dtbs/*.dtb`, and `guest/` with
    the static programs for the board (`init`, `heap-exit`, `iterate`, `kmsg-follow`, …); of a kernel that counts for
    gcov, `gcov/` with the compiler's notes.
    """

    key: str
    path: Path
    arch: str
    release: str
    build_id: str
    title: str
    modules: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    patches: tuple[str, ...] = ()
    fragments: tuple[str, ...] = ()
    jailed: bool = True
    files: Mapping[str, str] = field(default_factory=dict)
    shim_key: str = ""

    @property
    def image(self) -> Path:
        return self.path / "Image"

    @property
    def guest(self) -> Path:
        return self.path / "guest"

    @property
    def modules_dir(self) -> Path:
        return self.path / "modules"

    def has_config(self, *options: str) -> bool:
        """Whether it was built with all of these options (`CONFIG_KASAN`), built in or as modules. Raises OSError."""
        lines = set((self.path / "config").read_text().splitlines())
        return all(lines & {f"{option}=y", f"{option}=m"} for option in options)

    def contains(self, text: bytes) -> bool:
        """Whether its image or one of its modules has `text`. Raises OSError."""
        images = (self.path / "vmlinux", *sorted(self.modules_dir.glob("*.ko")))
        return any(text in image.read_bytes() for image in images if image.is_file())

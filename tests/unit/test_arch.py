# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of architectures: its rows are whole, and it is the only place that spells an architecture."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast, get_args

import pytest

from panthorlab.arch import ARCHES, ARM64, Arch, ArchName, find_arch
from panthorlab.errors import LabError, UsageError
from panthorlab.kernel.build.toolchain import find_toolchain
from panthorlab.paths import PACKAGE

# Names of an architecture in a string. What the host is (the filter of the jail) is no kernel under test, box64 is told
# a processor's name, and a kernel's symbols and log are what they are.
_SPELLED = re.compile(r"""["'/-](?:arm64|aarch64)(?:["'/-]|$)|ttyAMA""", re.MULTILINE)
_OTHERS = {"arch.py", "kernel/jail/seccomp.py"}


def test_board_files_may_say_what_the_table_has() -> None:
    assert get_args(ArchName) == tuple(ARCHES)


def test_a_row_says_what_debian_and_the_kernel_say() -> None:
    assert ARM64.cross_compile == "aarch64-linux-gnu-"
    assert (ARM64.compiler_package, ARM64.libc_package) == ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross")
    assert (ARM64.image_path, ARM64.libraries) == ("arch/arm64/boot/Image", "/usr/lib/aarch64-linux-gnu")
    assert ARM64.qemu_program == "qemu-system-aarch64"


def test_a_second_row_is_enough_for_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(ARM64, name=cast(ArchName, "riscv"), triplet="riscv64-linux-gnu", machine="riscv64", debian="riscv64")
    monkeypatch.setitem(cast(dict[str, Arch], ARCHES), "riscv", row)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(LabError, match="riscv64-linux-gnu-gcc and riscv64-linux-gnu-ld not found") as caught:
        find_toolchain("riscv", {})
    assert "install gcc-riscv64-linux-gnu libc6-dev-riscv64-cross (Debian)" in (caught.value.hint or "")


def test_setup_installs_the_compilers() -> None:
    words = (PACKAGE.parent / "scripts/setup").read_text().split()
    for arch in ARCHES.values():
        assert {arch.compiler_package, arch.libc_package} <= set(words)


def test_an_architecture_without_a_row() -> None:
    with pytest.raises(UsageError, match="no kernel can be built for arch 'vax'") as caught:
        find_arch("vax")
    assert caught.value.hint == "known: arm64"


def test_nothing_else_spells_an_architecture() -> None:
    found = {
        f"{path.relative_to(PACKAGE)}: {match[0]}"
        for path in PACKAGE.rglob("*.py")
        if str(path.relative_to(PACKAGE)) not in _OTHERS
        for match in _SPELLED.finditer(path.read_text())
    }
    assert found == set()

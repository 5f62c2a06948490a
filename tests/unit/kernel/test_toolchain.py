# SPDX-License-Identifier: GPL-2.0-or-later
"""Compilers: found, identified, or named with the package that is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from panthorlab.errors import LabError, UsageError
from panthorlab.kernel.toolchain import Toolchain, check_host_tools, find_toolchain


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for tool in ("gcc", "ld"):
        path = tmp_path / f"my-{tool}"
        path.write_text(f"#!/bin/sh\necho 'my {tool} 1.2.3'; echo more\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_versions_identify_it(compiler: Path) -> None:
    toolchain = find_toolchain("arm64", {"CROSS_COMPILE": "my-"})
    assert (toolchain.prefix, toolchain.version) == ("my-", "my gcc 1.2.3; my ld 1.2.3")


def test_missing_compiler_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabError, match="aarch64-linux-gnu-gcc and aarch64-linux-gnu-ld not found") as caught:
        find_toolchain("arm64", {})
    assert "gcc-aarch64-linux-gnu" in (caught.value.hint or "")


def test_unknown_arch() -> None:
    with pytest.raises(UsageError, match="no kernel can be built for arch 'z80'"):
        find_toolchain("z80", {})


def test_missing_host_tools_are_named_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabError, match="not found: flex, xz") as caught:
        check_host_tools(["flex", "xz"])
    assert caught.value.hint == "install flex xz-utils (Debian)"


@pytest.mark.parametrize(("ccache", "args"), [
    (True, ("ARCH=arm64", "CROSS_COMPILE=x-", "CC=ccache x-gcc")), (False, ("ARCH=arm64", "CROSS_COMPILE=x-")),
])
def test_make_arguments(ccache: bool, args: tuple[str, ...]) -> None:
    assert Toolchain("arm64", "x-", "1", ccache).make_args == args

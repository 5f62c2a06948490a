# SPDX-License-Identifier: GPL-2.0-or-later
"""Compilers: found, identified, or named with the package that is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from panthorlab.errors import LabError, UsageError
from panthorlab.kernel.build.toolchain import Toolchain, built_with, find_toolchain
from panthorlab.kernel.tools import check_host_tools


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


def test_a_prefix_may_be_a_directory(compiler: Path) -> None:
    for name in ("gcc", "ld"):
        (compiler / name).symlink_to(compiler / f"my-{name}")
    assert find_toolchain("arm64", {"CROSS_COMPILE": f"{compiler}/"}).prefix == f"{compiler}/"
    assert find_toolchain("arm64", {"CROSS_COMPILE": f"{compiler}/my-"}).prefix == f"{compiler}/my-"


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


@pytest.mark.parametrize(
    ("ccache", "args"),
    [(True, ("ARCH=arm64", "CROSS_COMPILE=x-", "CC=ccache x-gcc")), (False, ("ARCH=arm64", "CROSS_COMPILE=x-"))],
)
def test_make_arguments(ccache: bool, args: tuple[str, ...]) -> None:
    assert Toolchain("arm64", "x-", "1", ccache).make_args == args


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            'CONFIG_CC_VERSION_TEXT="aarch64-linux-gnu-gcc (Debian 12.2.0-14) 12.2.0"\nCONFIG_LD_VERSION=24000\n'
            "CONFIG_LLD_VERSION=0\n",
            "aarch64-linux-gnu-gcc (Debian 12.2.0-14) 12.2.0; GNU ld 2.40",
        ),
        (
            'CONFIG_CC_VERSION_TEXT="clang version 14.0.6"\nCONFIG_LD_VERSION=0\nCONFIG_LLD_VERSION=140006\n',
            "clang version 14.0.6; LLD 14.0.6",
        ),
        ("CONFIG_LD_VERSION=nonsense\n# CONFIG_LLD_VERSION=1\n", ""),
    ],
)
def test_a_kernel_tells_its_compiler(config: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(config)
    assert built_with(tmp_path / "config") == words
    assert built_with(tmp_path / "none") == ""

# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin, compiled as for QEMU, in a program that calls it as QEMU of either plugin API does."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from panthorlab.board.emulated import coverage_plugin, tcg_plugin
from panthorlab.coverage import counts
from panthorlab.errors import LabError

HOST = Path(__file__).with_name("plugin_host.c")
TEXT = ((0xFFFF800080001000, 0xFFFF800080001010), (0xFFFF800080002000, 0xFFFF800080002008))


@pytest.fixture(params=[4, 7])
def api(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def host(api: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The program and the plugin; then come the plugin's argument, and instructions as START:COUNT, each a block."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compiler = shutil.which("gcc")
    assert compiler, "no gcc; ./scripts/setup installs one"
    program = tmp_path / "host"
    subprocess.run(
        [
            compiler,
            "-O1",
            "-Wall",
            "-Wextra",
            "-Werror",
            f"-DAPI_VERSION={api}",
            f"-I{tcg_plugin.HEADER.parent}",
            "-rdynamic",
            "-o",
            program,
            HOST,
            "-ldl",
        ],
        check=True,
        timeout=60,
    )
    return [str(program), str(coverage_plugin.compiled(api))]


def test_instructions_of_the_ranges_are_counted(host: list[str], tmp_path: Path) -> None:
    live = counts.create(tmp_path / "counts", TEXT)
    blocks = ["ffff800080000ff8:4", "ffff800080001004:9", "ffff800080001004:1", "ffff800080002004:1", "1000:4"]
    subprocess.run([*host, f"counts={live}", *blocks], check=True, timeout=60)
    assert list(counts.read(live).values) == [1, 3, 1, 1, 0, 1]


def test_a_killed_process_loses_nothing(host: list[str], tmp_path: Path) -> None:
    live = counts.create(tmp_path / "counts", TEXT)
    done = subprocess.run([*host, f"counts={live}", "ffff800080001000:1", "kill"], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert counts.read(live).values[0] == 1


@pytest.mark.parametrize("damage", ["missing", "empty", "short", "other", "many"])
def test_a_file_that_does_not_fit_is_refused(damage: str, host: list[str], tmp_path: Path) -> None:
    live = counts.create(tmp_path / "counts", TEXT)
    data = live.read_bytes()
    live.write_bytes({
        "missing": b"", "empty": b"", "short": data[:-8], "other": b"x" * len(data),
        "many": data[:8] + b"\xff" * 8 + data[16:],
    }[damage])  # fmt: skip
    if damage == "missing":
        live.unlink()
    done = subprocess.run([*host, f"counts={live}", "ffff800080001000:1"], check=False, timeout=60, capture_output=True)
    assert done.returncode == 1
    assert str(live).encode() in done.stderr


def test_an_argument_that_it_does_not_know_is_refused(host: list[str]) -> None:
    assert subprocess.run([*host, "file=x"], check=False, timeout=60, capture_output=True).returncode == 1


def test_it_is_compiled_once(host: list[str], api: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcg_plugin, "COMPILER", "no-such-compiler")
    assert str(coverage_plugin.compiled(api)) == host[1]


@pytest.mark.parametrize("changed", ["plugin.c", "plugin.h", "tcg_plugin.h"])
def test_it_is_compiled_anew_for_whatever_it_is_made_of(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tcg_plugin, "HEADER", tmp_path / "tcg_plugin.h")
    (tmp_path / "tcg_plugin.h").write_text("#define ONE 1\n")
    (tmp_path / "plugin.h").write_text("extern int one;\n")
    (tmp_path / "plugin.c").write_text('#include "tcg_plugin.h"\n#include "plugin.h"\nint one = ONE;\n')
    files = tmp_path / "plugin.c", tmp_path / "plugin.h"
    first = tcg_plugin.compiled("x", files, 7)
    assert tcg_plugin.compiled("x", files, 7) == first
    (tmp_path / changed).write_text((tmp_path / changed).read_text() + "\n")
    assert tcg_plugin.compiled("x", files, 7) != first


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for program, said in (("no-such-compiler", "cannot be compiled"), ("false", "does not compile")):
        monkeypatch.setattr(tcg_plugin, "COMPILER", program)
        with pytest.raises(LabError, match=said) as caught:
            coverage_plugin.compiled(7)
        assert caught.value.hint
        assert "Debian: gcc" in caught.value.hint


@pytest.mark.parametrize(("qemu", "expected"), [("10.1.0", 4), ("11.0.2", 4), ("11.1.3", 7), ("12.0.0", 7)])
def test_each_qemu_gets_the_api_that_it_takes(qemu: str, expected: int) -> None:
    assert tcg_plugin.api_version(qemu) == expected

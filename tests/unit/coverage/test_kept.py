# SPDX-License-Identifier: GPL-2.0-or-later
"""Maps of vmlinux that are made once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from panthorlab.coverage.kept import FOLDER, map_of
from panthorlab.coverage.model import DRIVER, from_json
from panthorlab.kernel import gc

FILE = DRIVER + "panthor_x.c"
OTHER = "drivers/base/other.c"
ID = "ab" * 20


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "panthorlab" / FOLDER


@pytest.fixture
def vmlinux(tmp_path: Path) -> Path:
    """A program with a file of the driver, and one of somebody else."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.fail("no host C compiler; ./scripts/setup installs one")
    for name, code in (
        (FILE, "int other(void);\nint main(void) { return other(); }\n"),
        (OTHER, "int other(void) { return 0; }\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(code)
    subprocess.run([compiler, "-g", "-o", "vmlinux", FILE, OTHER], cwd=tmp_path, check=True, timeout=60)
    return tmp_path / "vmlinux"


def test_the_second_time_vmlinux_is_not_read(cache: Path, vmlinux: Path) -> None:
    first = map_of(vmlinux, ID, "key")
    assert set(from_json(first).lines) == {FILE}
    vmlinux.unlink()
    assert map_of(vmlinux, ID, "key") == first
    with pytest.raises(FileNotFoundError):
        map_of(vmlinux, ID, "another kernel")
    assert len(list(cache.iterdir())) == 1


def test_other_files_are_another_map(cache: Path, vmlinux: Path) -> None:
    assert set(from_json(map_of(vmlinux, ID, "key")).lines) == {FILE}
    assert set(from_json(map_of(vmlinux, ID, "key", {OTHER})).lines) == {FILE, OTHER}
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\xfe", b"x" * 100])
def test_a_damaged_one_is_made_again(cache: Path, vmlinux: Path, damage: bytes) -> None:
    first = map_of(vmlinux, ID, "key")
    (kept,) = cache.iterdir()
    kept.write_bytes(damage)
    assert map_of(vmlinux, ID, "key") == first
    digit = kept.read_bytes()
    kept.write_bytes(digit[:-20] + b"7" + digit[-19:])  # still JSON, perhaps
    assert map_of(vmlinux, ID, "key") == first


def test_what_nobody_uses_is_removed_with_the_rest_of_the_cache(cache: Path, vmlinux: Path) -> None:
    map_of(vmlinux, ID, "key")
    (kept,) = cache.iterdir()
    assert kept in {item.path for item in gc.items()}

# SPDX-License-Identifier: GPL-2.0-or-later
"""Which QEMU is taken, and the package lists it comes from. No network: downloads are for the e2e tests."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from panthorlab import debs
from panthorlab.board.emulated import doctor, qemu, tcg_plugin
from panthorlab.checks import Result
from panthorlab.debs import Deb
from panthorlab.errors import LabError

HELP = "vfio-user-pci options:\\n  x-msg-timeout=<uint32>"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(qemu, "_from_cache", [])
    qemu.installed_qemu.cache_clear()
    yield
    qemu.installed_qemu.cache_clear()


def fake(folder: Path, version: str, answer: str = HELP) -> Path:
    folder.mkdir()
    program = folder / qemu.PROGRAM
    told = f"--version) echo 'QEMU emulator {version}';; *) printf '{answer}';;"
    program.write_text(f"#!/bin/sh\ncase $1 in {told} esac\n")
    program.chmod(0o755)
    return program


def test_the_first_good_one_on_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = fake(tmp_path / "old", "version 10.0.13 (Debian)")
    bare = fake(tmp_path / "bare", "version 11.0.50", "Device 'vfio-user-pci' not found")
    good = fake(tmp_path / "good", "version 10.1.0")
    monkeypatch.setenv("PATH", f"{old.parent}:{tmp_path}:{bare.parent}:{good.parent}:{os.environ['PATH']}")
    found = qemu.find_qemu()
    assert (found.argv, found.version) == ((str(good),), "10.1.0")
    refused = qemu.installed_qemu()[1]
    assert "10.0.13 is too old" in refused[0]
    assert "without vfio-user-pci" in refused[1]


def test_none_and_no_way_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = fake(tmp_path / "old", "version 7.2.22")
    monkeypatch.setenv("PATH", str(old.parent))
    with pytest.raises(LabError, match=r"7.2.22 is too old(.|\n)*no `dpkg` here") as caught:
        qemu.find_qemu()
    assert caught.value.hint is not None
    assert "10.1 or newer" in caught.value.hint


@pytest.mark.parametrize("said", ["version ten", ""])
def test_a_qemu_that_says_nothing_useful(tmp_path: Path, said: str) -> None:
    program = fake(tmp_path / "odd", said)
    with pytest.raises(LabError, match="does not tell its version"):
        qemu.check(qemu.Qemu((str(program),), "", ""))


def test_lock_file_of_the_project() -> None:
    architecture, pinned = debs.parse_lock(qemu.LOCK.read_text())
    assert architecture == "amd64"
    assert any(deb.name.startswith("qemu-system-arm_") for deb in pinned)
    assert all(deb.path.startswith("pool/") and deb.size for deb in pinned)
    assert debs.parse_lock(debs.format_lock(architecture, pinned)) == (architecture, pinned)


@pytest.mark.parametrize("text", ["abc 1 pool/x.deb", f"{'0' * 64} x pool/x.deb", f"{'0' * 64} 1"])
def test_bad_lock_line(text: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        debs.parse_lock(f"# comment\n{text}\n")


def test_print_uris() -> None:
    text = (
        "'http://m/debian/pool/main/q/qemu_11%2bds-1%7ebpo_amd64.deb' qemu_1%3a11+ds-1~bpo_amd64.deb 12 SHA256:"
        + "a" * 64
        + "\n'http://other/x.deb' x.deb 1 SHA256:"
        + "b" * 64
        + "\nReading lists...\n"
    )
    wanted = Deb("pool/main/q/qemu_11+ds-1~bpo_amd64.deb", 12, "a" * 64)
    assert debs.parse_print_uris(text, "http://m/debian/") == [wanted]


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, Deb]:
    """A mirror on disk with one real package: `copy:` needs no network and is fetched by apt all the same."""
    if not Path(debs.APT_HELPER).exists():
        pytest.skip("no apt here")
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n"
    )
    (tree / "lib").mkdir()
    (tree / "lib/hello").write_text("hello")
    pool = tmp_path / "mirror/pool"
    pool.mkdir(parents=True)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", str(tree), str(pool / "x_1_all.deb")], check=True, capture_output=True
    )
    data = (pool / "x_1_all.deb").read_bytes()
    return tmp_path / "mirror", Deb("pool/x_1_all.deb", len(data), hashlib.sha256(data).hexdigest())


def test_download_and_unpack(archive: tuple[Path, Deb], tmp_path: Path) -> None:
    mirror, deb = archive
    store = tmp_path / "store"
    store.mkdir()
    said: list[str] = []
    paths = debs.download([deb], f"copy:{mirror}/", store, said.append)
    assert "1 packages" in said[0]
    assert debs.download([deb], "copy:/gone/", store, said.append) == paths
    root = tmp_path / "root"
    root.mkdir()
    debs.unpack(paths, root)
    assert (root / "usr/lib/hello").read_text() == "hello"
    paths[0].write_bytes(b"damaged")
    assert debs.download([deb], f"copy:{mirror}/", store, said.append) == paths
    assert hashlib.sha256(paths[0].read_bytes()).hexdigest() == deb.sha256


def test_another_file_than_the_pinned_one_is_refused(archive: tuple[Path, Deb], tmp_path: Path) -> None:
    mirror, deb = archive
    wrong = Deb(deb.path, deb.size, "0" * 64)
    with pytest.raises(LabError, match="could not be downloaded"):
        debs.download([wrong], f"copy:{mirror}/", tmp_path, lambda _text: None)
    assert not list(tmp_path.glob("*x_1_all.deb"))


def test_a_broken_package_is_a_lab_error(tmp_path: Path) -> None:
    bad = tmp_path / "bad.deb"
    bad.write_bytes(b"not a package")
    (tmp_path / "root").mkdir()
    with pytest.raises(LabError, match="cannot be unpacked"):
        debs.unpack([bad], tmp_path / "root")


def test_doctor_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(debs, "APT_HELPER", str(tmp_path / "none"))
    results = {result.name: result for result in (check() for check in doctor.checks())}
    assert not results["QEMU"].ok
    assert "10.1" in results["QEMU"].hint
    assert not results["setpriv"].ok
    assert results["cache"].ok


def test_doctor_says_whether_there_is_exact_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real QEMU is asked so by tests/e2e."""
    checks = {result.name: check for check in doctor.checks() if (result := check()).name == "exact time"}

    def exact(path: str) -> Result:
        monkeypatch.setenv("PATH", path)
        qemu.installed_qemu.cache_clear()
        return checks["exact time"]()

    usual = os.environ["PATH"]
    good = fake(tmp_path / "good", "version 11.1.3", HELP + "exact: usable\\n")
    bad = fake(tmp_path / "bad", "version 11.1.4", HELP + "qemu: -plugin: invalid option\\n")
    assert exact(f"{good.parent}:{usual}").ok
    refused = exact(f"{bad.parent}:{usual}")
    assert not refused.ok
    assert "QEMU 11.1.4 does not take the exact plugin" in refused.detail
    assert "host's time" in refused.hint
    monkeypatch.setattr(tcg_plugin, "COMPILER", "no-such-compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    alone = exact(f"{fake(tmp_path / 'new', 'version 11.1.5').parent}:{usual}")
    assert "cannot be compiled" in alone.detail

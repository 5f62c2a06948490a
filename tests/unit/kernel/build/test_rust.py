# SPDX-License-Identifier: GPL-2.0-or-later
"""Which Rust compiler is taken, and that an unpacked one runs wherever its tree lies. Nothing is downloaded."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from panthorlab import debs
from panthorlab.debs import Deb
from panthorlab.errors import LabError
from panthorlab.kernel import doctor
from panthorlab.kernel.build import rust
from panthorlab.kernel.build.rust import Rust
from panthorlab.kernel.jail.bubblewrap import Bind

LIBRARY = "lib/rustlib/src/rust/library/core/src/lib.rs"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rust.installed.cache_clear()
    yield
    rust.installed.cache_clear()


def install(
    folder: Path, rustc: str, bindgen: str, *, source: bool = True, libclang: str = "echo pub struct panthorlab"
) -> Path:
    """Programs that tell these versions, in `folder/bin`; rustc's sysroot is `folder`."""
    (folder / "bin").mkdir(parents=True)
    for name, version in (("rustc", rustc), ("bindgen", bindgen)):
        told = f'case $1 in --print) echo {folder};; --version) echo "{name} {version}";; *) {libclang};; esac'
        if version:
            (folder / "bin" / name).write_text(f"#!/bin/sh\n{told}\n")
            (folder / "bin" / name).chmod(0o755)
    if source:
        (folder / LIBRARY).parent.mkdir(parents=True)
        (folder / LIBRARY).touch()
    return folder / "bin"


def test_what_is_installed_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = install(tmp_path / "usr", "1.90.0 (Debian)", "0.72.1")
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    found = rust.find_rust()
    assert found == Rust(path / "rustc", path / "bindgen", "rustc 1.90.0 (Debian); bindgen 0.72.1")
    assert found.binds == ()
    assert found.programs == (str(path / "rustc"), str(path / "bindgen"))
    assert found.make_args(lambda name: pytest.fail(name)) == (
        f"RUSTC={path}/rustc",
        f"HOSTRUSTC={path}/rustc",
        f"BINDGEN={path}/bindgen",
    )


def test_of_rustup_the_real_compiler_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~/.cargo/bin/rustc` starts one elsewhere, which the jail would not show."""
    real = install(tmp_path / "toolchain", "1.90.0", "0.72.1")
    cargo = tmp_path / "cargo"
    cargo.mkdir()
    for name in ("rustc", "bindgen"):
        shutil.copy(real / name, cargo / name)
    monkeypatch.setenv("PATH", f"{cargo}:{os.environ['PATH']}")
    assert rust.find_rust().rustc == real / "rustc"


@pytest.mark.parametrize(
    ("rustc", "bindgen", "source", "why"),
    [
        ("1.84.9", "0.71.1", True, r"rustc 1\.84\.9 is older than 1\.85\.0"),
        ("1.85.0", "0.60.1", True, r"bindgen 0\.60\.1 is older than 0\.71\.1"),
        ("1.85.0", "0.71.1", False, "no source of the standard library"),
        ("unknown", "0.71.1", True, "rustc does not tell its version"),
        ("1.85.0", "", True, "no bindgen on PATH"),
        ("", "0.71.1", True, "no rustc on PATH"),
        ("", "", True, "no rustc and no bindgen on PATH"),
    ],
)
def test_what_is_too_old_or_not_whole_is_not(
    rustc: str, bindgen: str, source: bool, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(install(tmp_path / "usr", rustc, bindgen, source=source)))
    with pytest.raises(LabError, match=f"this kernel has Rust, and there is no compiler for it: .*{why}") as caught:
        rust.find_rust()  # no dpkg on this PATH: not a Debian
    assert (caught.value.hint or "").startswith("install rustc, rust-src, bindgen and libclang")


LOADER = """\
#!/bin/sh
echo "fake 1.85.1 clang=$LIBCLANG_PATH $*"
case $* in *header.h) echo pub struct panthorlab;; esac
"""
NO_CLANG = LOADER.replace("pub struct", "Unable to find libclang;")


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """A tree as `debs.unpack` leaves it, with a loader that says how it was called."""
    root = tmp_path / "first" / "root"
    for folder in ("usr/lib64", "usr/lib/x86_64-linux-gnu", "usr/lib/llvm-19/lib", "usr/bin"):
        (root / folder).mkdir(parents=True)
    (root / "lib64").symlink_to("usr/lib64")
    (root / "usr/lib/llvm-19/lib/libclang.so.1").touch()
    (root / "lib64/ld-linux-x86-64.so.2").write_text(LOADER)
    (root / "lib64/ld-linux-x86-64.so.2").chmod(0o755)
    return root


def said(program: Path) -> str:
    return subprocess.run([program, "-x", "a b"], check=True, capture_output=True, text=True, timeout=60).stdout


def test_programs_of_a_tree_run_wherever_it_lies(unpacked: Path, tmp_path: Path) -> None:
    rust.complete(unpacked)
    moved = unpacked.rename(tmp_path / "moved")
    top = f"{moved}/panthorlab/.."
    assert said(moved / "panthorlab/rustc") == (
        f"fake 1.85.1 clang= --library-path {top}/usr/lib/x86_64-linux-gnu {top}/usr/bin/rustc -x a b\n"
    )
    assert f"clang={top}/usr/lib/llvm-19/lib " in said(moved / "panthorlab/bindgen")
    assert (moved / "panthorlab/version").read_text().count("1.85.1") == 2


def test_a_tree_whose_programs_do_not_run_is_refused(unpacked: Path) -> None:
    (unpacked / "lib64/ld-linux-x86-64.so.2").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(LabError, match="rustc of Debian's package does not run here"):
        rust.complete(unpacked)


def test_a_tree_whose_bindgen_finds_no_libclang_is_refused(unpacked: Path) -> None:
    (unpacked / "lib64/ld-linux-x86-64.so.2").write_text(NO_CLANG)
    with pytest.raises(LabError, match="finds no libclang here"):
        rust.complete(unpacked)


def test_of_the_source_only_the_library_is_kept(unpacked: Path) -> None:
    for part in ("library/core/src/lib.rs", "compiler/big.rs", "README.md"):
        path = unpacked / "usr/src/rustc-1.85.1" / part
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    rust.complete(unpacked)
    assert [path.name for path in (unpacked / "usr/src/rustc-1.85.1").iterdir()] == ["library"]
    assert (unpacked / "usr/src/rustc-1.85.1/library/core/src/lib.rs").exists()


def test_bindgen_without_libclang_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = install(tmp_path / "usr", "1.90.0", "0.72.1", libclang="exit 1")
    monkeypatch.setenv("PATH", f"{path}:/usr/bin:/bin")
    assert rust.installed() == (None, (f"{path}/bindgen finds no libclang",))


def test_in_the_jail_it_is_called_by_its_place_there(tmp_path: Path) -> None:
    found = Rust(tmp_path / "panthorlab/rustc", tmp_path / "panthorlab/bindgen", "1", tmp_path)
    assert found.programs == ()
    assert found.binds == (Bind("rust", tmp_path),)
    assert found.make_args(lambda name: f"/mnt/{name}") == (
        "RUSTC=/mnt/rust/panthorlab/rustc",
        "HOSTRUSTC=/mnt/rust/panthorlab/rustc",
        "BINDGEN=/mnt/rust/panthorlab/bindgen",
    )


def test_who_only_looks_gets_nothing_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(debs, "architecture", lambda: "amd64")
    monkeypatch.setattr(debs, "provide", lambda *_: pytest.fail("unpacked"))
    found = rust.find_rust(look=True)
    assert found.version.startswith("rustc 1.")
    assert not (tmp_path / "cache").exists()


def test_doctor_says_where_it_will_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dpkg").write_text("#!/bin/sh\necho amd64\n")
    (tmp_path / "dpkg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    rust.installed.cache_clear()
    assert "will be downloaded for the first kernel with Rust: 1" in doctor._rust()
    monkeypatch.setenv("PATH", "/nonexistent")
    rust.installed.cache_clear()
    assert "install rustc" in doctor._rust(), "and no error: who wants no kernel with Rust lacks nothing"


def test_lock_file_of_the_project() -> None:
    architecture, pinned = debs.parse_lock(rust.LOCK.read_text())
    assert architecture == "amd64"
    names = {deb.name.split("_")[0] for deb in pinned}
    assert {*rust.PACKAGES, "libstd-rust-dev", "libc6", "libgcc-s1", "libstdc++6"} <= names
    assert any(name.startswith("libclang1-") for name in names)
    assert not {name for name in names if name.startswith(("gcc", "cpp", "binutils"))}
    assert not any(rust._NOT_NEEDED.match(deb.name) for deb in pinned)


def test_old_packages_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    offers = {"trixie": ("1.63.0", "0.60.1"), "trixie-backports": ("1.97.1", "0.71.1")}

    class Apt:
        def __init__(self, _folder: Path, _mirror: str, suites: tuple[str, ...]) -> None:
            self.suite = suites[-1]

        def resolve(self, *_packages: str) -> list[Deb]:
            rustc, bindgen = offers[self.suite]
            names = (
                f"rustc_{rustc}+dfsg-1_amd64.deb",
                f"bindgen_{bindgen}-6_amd64.deb",
                "gcc_14_amd64.deb",
                "libc6-dev_2_amd64.deb",
                "libstd-rust-dev_1_amd64.deb",
                "libstdc++6_1_amd64.deb",
            )
            return [Deb(f"pool/{name}", 1, "0" * 64) for name in names]

    monkeypatch.setattr(debs, "PackageResolver", Apt)
    assert [deb.name.split("_")[0] for deb in rust.resolve("http://mirror/")] == [
        "rustc",
        "bindgen",
        "libstd-rust-dev",
        "libstdc++6",
    ]
    offers["trixie-backports"] = offers["sid"] = ("1.63.0", "0.71.1")
    with pytest.raises(LabError, match=r"no new enough .* trixie has rustc 1\.63\.0\+dfsg-1, bindgen 0\.60\.1"):
        rust.resolve("http://mirror/")

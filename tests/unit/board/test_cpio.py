# SPDX-License-Identifier: GPL-2.0-or-later
"""Our newc writer against GNU cpio, and what an initramfs holds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.emulated import cpio
from panthorlab.board.emulated.initramfs import build_initramfs, overlay_entries
from panthorlab.errors import LabError, UsageError
from panthorlab.kernel.model import Kernel

needs_cpio = pytest.mark.skipif(shutil.which("cpio") is None, reason="no cpio here")
NAMES = st.text("abcdefghij-_.", min_size=1, max_size=30).filter(lambda name: name not in (".", ".."))


def listing(archive: bytes, *options: str) -> list[str]:
    done = subprocess.run(["cpio", "-t", "--quiet", *options], input=archive, capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout.decode().splitlines()


@needs_cpio
def test_gnu_cpio_reads_it(tmp_path: Path) -> None:
    archive = cpio.write_newc(
        [
            cpio.file_entry("/init", b"#!", 0o755),
            cpio.file_entry("/a/b/c", b"x" * 5),
            cpio.link_entry("/a/l", "b/c"),
            cpio.char_device("/dev/console", 5, 1),
            cpio.dir_entry("/scratch", 0o1777),
        ]
    )
    assert listing(archive) == ["a", "a/b", "a/b/c", "a/l", "dev", "dev/console", "init", "scratch"]
    long = {line.split()[-1]: line.split() for line in listing(archive, "-v")}
    assert long["init"][0] == "-rwxr-xr-x"
    assert long["scratch"][0] == "drwxrwxrwt"
    assert long["dev/console"][0] == "crw-------"
    assert long["dev/console"][4:6] == ["5,", "1"]
    subprocess.run(["cpio", "-id", "--quiet", "a/*", "init"], input=archive, cwd=tmp_path, check=True)
    assert (tmp_path / "a/b/c").read_bytes() == b"xxxxx"
    assert (tmp_path / "a/l").readlink() == Path("b/c")


@needs_cpio
@given(files=st.dictionaries(NAMES, st.binary(max_size=50), max_size=8))
def test_any_files_come_back(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cpio")
    archive = cpio.write_newc(cpio.file_entry(f"/d/{name}", data) for name, data in files.items())
    subprocess.run(["cpio", "-id", "--quiet"], input=archive, cwd=folder, check=True)
    assert {path.name: path.read_bytes() for path in folder.glob("d/*")} == files


def test_same_entries_same_bytes_and_the_last_wins() -> None:
    one, two, other = cpio.file_entry("/a", b"1"), cpio.file_entry("/b", b"2"), cpio.file_entry("/a", b"3")
    assert cpio.write_newc([one, two]) == cpio.write_newc([two, one])
    assert cpio.write_newc([one, two, other]) == cpio.write_newc([other, two])


FIRMWARE = {"/lib/firmware/arm/mali/arch10.8/mali_csffw.bin": b"fw"}


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    path = tmp_path / "kernel"
    for name, data in {
        "guest/init": b"init",
        "guest/heap-exit": b"he",
        "modules/panthor.ko": b"\0depends=drm-exec\0",
        "modules/drm_exec.ko": b"depends=\0",
        "modules/panthor_pci_shim.ko": b"\0depends=\0",
    }.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return Kernel("k", path, "arm64", "6.12", "", "6.12 test")


@needs_cpio
def test_initramfs(kernel: Kernel, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay"
    (overlay / "etc").mkdir(parents=True)
    (overlay / "etc/motd").write_text("hello")
    (overlay / "etc/motd").chmod(0o600)
    (overlay / "etc/link").symlink_to("/nowhere")
    archive = build_initramfs(kernel, firmware=FIRMWARE, overlay=overlay)
    names = listing(archive)
    files = {path[1:] for path in FIRMWARE}
    assert {"init", "opt/panthorlab/heap-exit", "etc/motd", "etc/link", "dev/console", *files} <= set(names)
    assert b"/lib/modules/drm_exec.ko\n/lib/modules/panthor.ko\n/lib/modules/panthor_pci_shim.ko\n" in archive
    assert listing(archive, "-v")[names.index("etc/motd")].startswith("-rw-------")
    assert archive == build_initramfs(kernel, firmware=FIRMWARE, overlay=overlay)


@needs_cpio
def test_without_gpu_no_module_is_loaded(kernel: Kernel) -> None:
    assert "lib/modules/panthorlab.order" not in listing(build_initramfs(kernel, firmware={}, overlay=None))


def test_missing_module_and_missing_init(kernel: Kernel) -> None:
    (kernel.modules_dir / "drm_exec.ko").unlink()
    with pytest.raises(LabError, match="drm_exec is needed by panthor"):
        build_initramfs(kernel, firmware=FIRMWARE, overlay=None)
    (kernel.guest / "init").unlink()
    with pytest.raises(LabError, match="no guest programs"):
        build_initramfs(kernel, firmware=FIRMWARE, overlay=None)


def test_overlay_refusals(tmp_path: Path) -> None:
    import os

    with pytest.raises(UsageError, match="not a directory"):
        list(overlay_entries(tmp_path / "none"))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="fifo"):
        list(overlay_entries(tmp_path))

# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said to U-Boot, extlinux and the kernel; and what goes onto a board."""

from __future__ import annotations

import hashlib
import re
import socket
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.api import RemoteFileError
from panthorlab.board.real.board import RealBoard
from panthorlab.board.real.command_line import command_line, mark, marked
from panthorlab.board.real.file import Extlinux, Firmware, RealFile, RealTimeLimits, Tftp, UBoot
from panthorlab.board.real.methods.device_tree import device_tree
from panthorlab.board.real.methods.extlinux import trial_config
from panthorlab.board.real.tftp import staged
from panthorlab.board.real.uboot import UBootShell, pack, quote
from panthorlab.board.real.workdir import finds_firmware, overlay_files, require_firmware
from panthorlab.errors import LabError, UsageError
from panthorlab.kernel.model import Kernel

FILE = RealFile.model_validate(
    {
        "type": "real",
        "dtb": "rockchip/rk3588-rock-5b.dtb",
        "console": {"transport": "tcp", "host": "c", "port": 1},
        "power": {"driver": "manual"},
        "ssh": {"host": "b"},
        "boot": {
            "methods": ["kexec"],
            "console": "ttyS2,1500000n8",
            "root": "root=/dev/mmcblk1p2 rw rootwait",
            "command_line": "quiet",
        },
    }
)


def real_board(**keys: object) -> RealBoard:
    return RealBoard("rock", FILE.model_copy(update=keys))


def kernel(path: Path) -> Kernel:
    return Kernel(key="0123456789abcdef" * 4, path=path, arch="arm64", release="6.12.1", build_id="aa", title="t")


def test_kernels_that_the_board_can_do_nothing_with(tmp_path: Path) -> None:
    """Said before the board is leased, and not held against the kernel."""
    module = replace(kernel(tmp_path), modules={"panthor": "aa"})
    for board, refused, said in (
        (real_board(since="6.13"), module, "needs Linux 6.13 or newer: the device tree of 6.12.1 does not have its"),
        (real_board(), replace(module, arch="riscv"), "board rock is arm64, the kernel t is riscv"),
        (real_board(), kernel(tmp_path), "panthor is built into t: on board rock it would look for its firmware"),
    ):
        (tmp_path / "config").write_text("CONFIG_DRM_PANTHOR=y\n")
        with pytest.raises(UsageError, match=said):
            board.boot(refused, log_dir=tmp_path / "log")
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    ("line", "finds"),
    [
        ("", False),
        ('CONFIG_EXTRA_FIRMWARE=""', False),
        ('CONFIG_EXTRA_FIRMWARE="a.fw arm/mali/arch10.8/mali_csffw.bin"', True),
    ],
)
def test_firmware_of_a_driver_that_is_built_in(tmp_path: Path, line: str, finds: bool) -> None:
    (tmp_path / "config").write_text(f"CONFIG_DRM_PANTHOR=y\n{line}\n")
    assert finds_firmware(kernel(tmp_path)) is finds


WORDS = st.lists(st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=30), max_size=40)


@given(WORDS, st.integers(10, 100))
def test_pieces_keep_all_words_in_order(words: list[str], limit: int) -> None:
    pieces = pack(" ".join(words), limit)
    assert " ".join(pieces).split() == words
    assert all(len(piece) <= limit or " " not in piece for piece in pieces)


@pytest.mark.parametrize("bad", ["a'b", 'a"b', "a$b", "a;b", "a\\b", "a\nb", "a&b", "ä"])
def test_what_cannot_be_quoted_for_uboot(bad: str) -> None:
    with pytest.raises(LabError, match="U-Boot cannot be given"):
        quote(bad)


class Typed:
    """A U-Boot that answers by a table; what was typed is kept."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers, self.lines = answers, list[str]()

    def send(self, text: str) -> None:
        self.lines.append(text)

    def expect(self, *_patterns: bytes, timeout: float, what: str, nudge: str = "") -> int:
        assert timeout > 0
        assert what
        return 0

    def command(self, text: str, *, prompt: bytes, timeout: float) -> bytes:
        assert re.search(prompt, b"=> ")
        assert timeout > 0
        self.lines.append(text)
        for key, answer in self.answers.items():
            if key in text:
                return answer.encode()
        return b"panthorlab-done\r\n"


def uboot(answers: dict[str, str]) -> tuple[UBootShell, Typed]:
    section = UBoot.model_validate({"kernel_address": "0x400000", "fdt_address": "0x8300000"})
    typed = Typed(answers)
    return UBootShell(typed, section, RealTimeLimits.model_validate({})), typed


def test_long_variables_are_set_in_pieces() -> None:
    shell, typed = uboot({})
    words = [f"parameter{n}=value{n}" for n in range(40)]
    shell.set("bootargs", " ".join(words))
    assert all(len(line) < 300 for line in typed.lines)
    value = ""
    for line in typed.lines:  # what hush would do
        found = re.fullmatch(r"setenv bootargs (\"\$\{bootargs\}\" )?'([^']*)' && .*", line)
        assert found
        value = f"{value} {found[2]}" if found[1] else found[2]
    assert value.split() == words


def test_unknown_command_and_failed_command() -> None:
    shell, _ = uboot({"frob": "Unknown command 'frob' - try 'help'\r\n", "dhcp": "panthorlab-failed\r\n"})
    with pytest.raises(LabError, match="has no command `frob`"):
        shell.run("frob 1")
    with pytest.raises(LabError, match="`dhcp` failed"):
        shell.succeed("dhcp")


@pytest.mark.parametrize(
    ("answer", "crc", "error"),
    [
        ("Bytes transferred = 5 (5 hex)", f"crc32 for 400000 ... ==> {zlib.crc32(b'Image'):08x}", None),
        ("Retry count exceeded; starting again", "", "could not load a/Image by TFTP"),
        ("Bytes transferred = 3 (3 hex)", "", "got 3 of 5 bytes"),
        ("Bytes transferred = 5 (5 hex)", "==> 00000000", "is not what was built"),
        ("Bytes transferred = 5 (5 hex)", "", "is not what was built"),
    ],
)
def test_a_loaded_file_is_proved(tmp_path: Path, answer: str, crc: str, error: str | None) -> None:
    source = tmp_path / "Image"
    source.write_bytes(b"Image")
    shell, typed = uboot({"tftpboot": answer, "crc32": crc})
    if error is None:
        shell.load_tftp("0x400000", "a/Image", source)
        assert typed.lines == ["tftpboot 0x400000 a/Image", "crc32 0x400000 5"]
    else:
        with pytest.raises(LabError, match=error):
            shell.load_tftp("0x400000", "a/Image", source)


def test_command_line_and_its_mark(tmp_path: Path) -> None:
    line = command_line(FILE, kernel(tmp_path))
    assert line.startswith("console=ttyS2,1500000n8 ")
    assert "printk.devkmsg=on loglevel=5" in line
    assert line.endswith(" quiet")
    assert marked(f"{line}\n") == mark(kernel(tmp_path)) == "panthorlab.kernel=0123456789abcdef"
    assert marked("console=ttyS2 root=/dev/x") is None


def test_trial_entry() -> None:
    section = Extlinux.model_validate({"fallback": "bootcount"})
    assert trial_config(section, "console=x y", fdt="b.dtb") == (
        "default panthorlab\nlabel panthorlab\n\tkernel /panthorlab/Image\n\tfdt /panthorlab/b.dtb\n"
        "\tappend console=x y\n"
    )
    assert "fdt" not in trial_config(section, "x", fdt=None)


def test_missing_device_tree(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"was built without rockchip/rk3588-rock-5b\.dtb"):
        device_tree(FILE, kernel(tmp_path))
    blob = tmp_path / "dtbs" / "rk3588-rock-5b.dtb"
    blob.parent.mkdir()
    blob.write_bytes(b"\xd0\x0d\xfe\xed")
    assert device_tree(FILE, kernel(tmp_path)) == blob


def test_files_are_staged_and_gone_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"kernel")
    root = tmp_path / "tftp"
    root.mkdir()
    section = Tftp.model_validate({"root": str(root), "server": "10.0.0.1"})
    killed = root / "panthorlab/b/tmp1/Image"
    others = root / "panthorlab/c/tmp2/Image"
    for file in (killed, others):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"old")
    with staged(section, "b", {"Image": source}) as first:
        assert not killed.parent.exists(), "left by a run that was killed"
        assert (root / first["Image"]).read_bytes() == b"kernel"
        assert not Path(first["Image"]).is_absolute()
    assert list(root.rglob("Image*")) == [others]
    with staged(section, "b", {"Image": source}) as second:
        assert first["Image"] != second["Image"]


def test_tftp_directory_that_cannot_be_written(tmp_path: Path) -> None:
    section = Tftp.model_validate({"root": str(tmp_path / "file" / "x"), "server": "10.0.0.1"})
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="cannot write to the TFTP directory"), staged(section, "b", {}):
        pass


def test_our_own_tftp_server_hands_out_the_file(tmp_path: Path) -> None:
    source = tmp_path / "Image"
    source.write_bytes(bytes(range(256)) * 5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    section = Tftp.model_validate({"serve": True, "server": "127.0.0.1", "port": port})
    with staged(section, "b", {"Image": source}) as names, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(b"\0\1" + names["Image"].encode() + b"\0octet\0", ("127.0.0.1", port))
        got = b""
        while True:
            block, peer = client.recvfrom(1024)
            assert block[:2] == b"\0\3", block
            client.sendto(b"\0\4" + block[2:4], peer)
            got += block[4:]
            if len(block) < 516:
                break
    assert got == source.read_bytes()


def test_overlay_files(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "x").write_text("1")
    assert overlay_files(tmp_path) == {tmp_path / "etc" / "x": "/etc/x"}
    (tmp_path / "link").symlink_to("x")
    with pytest.raises(UsageError, match="is no file or directory"):
        overlay_files(tmp_path)
    with pytest.raises(UsageError, match="is not a directory"):
        overlay_files(tmp_path / "none")


class OnlyFiles:
    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def get(self, path: str) -> bytes:
        if path not in self.files:
            raise RemoteFileError(f"cannot read {path}: No such file or directory", errno=2)
        return self.files[path]


def test_firmware_is_looked_for_before_a_kernel_is_blamed() -> None:
    section = Firmware.model_validate({})
    with pytest.raises(LabError, match="firmware is not on the board") as caught:
        require_firmware(OnlyFiles({}), section)
    assert caught.value.hint
    assert "firmware-misc-nonfree" in caught.value.hint
    require_firmware(OnlyFiles({section.path: b"x"}), section)
    require_firmware(OnlyFiles({f"{section.path}.zst": b"x"}), section)
    right = Firmware.model_validate({"sha256": hashlib.sha256(b"x").hexdigest()})
    require_firmware(OnlyFiles({section.path: b"x"}), right)
    with pytest.raises(LabError, match="not the firmware that the board file names"):
        require_firmware(OnlyFiles({section.path: b"y"}), right)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Module swap and kexec: what is refused and why, and the parsers they stand on."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.api import Completed, Hazard, RemoteFileError, Shell
from panthorlab.board.modules import gpu_order, vermagic
from panthorlab.board.real.devicetree import has_its, has_memory, properties
from panthorlab.board.real.file import RealFile
from panthorlab.board.real.methods import kexec
from panthorlab.board.real.methods.module_swap import (
    ModuleSwap,
    exchange,
    more_changed,
    swappable,
    taints,
    unfit,
    unsuited,
)
from panthorlab.board.real.panthor_driver import GpuClient, PanthorDriver, parse_gpu_client, parse_modules
from panthorlab.board.real.parts import Booting, Rig
from panthorlab.errors import BootError, LabError, UsageError
from panthorlab.kernel import store
from panthorlab.kernel.model import Kernel

MAGIC = "6.12.117 SMP preempt mod_unload aarch64"
CONFIG = "# Compiler: gcc\nCONFIG_DRM_PANTHOR=m\nCONFIG_LOCKDEP_SUPPORT=y\n# CONFIG_KASAN is not set\n"


def module(*needed: str, magic: str = MAGIC) -> bytes:
    return b"\x7fELF\0depends=" + ",".join(needed).encode() + b"\0name=x\0vermagic=" + magic.encode() + b" \0"


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Kernel]:
    """A stored kernel with panthor as a module; keywords change what it is."""

    def kernel(name: str, *, config: str = CONFIG, magic: str = MAGIC, panthor: str = "aa", **fields: object) -> Kernel:
        path = tmp_path / name
        (path / "modules").mkdir(parents=True)
        (path / "guest").mkdir()
        for program in ("handover", "init"):
            (path / "guest" / program).write_bytes(b"\x7fELF")
        (path / "config").write_text(config)
        (path / "Image").write_bytes(b"image")
        (path / "modules" / "panthor.ko").write_bytes(module("gpu-sched", magic=magic))
        (path / "modules" / "gpu-sched.ko").write_bytes(module())
        given = Kernel(
            key=name,
            path=path,
            arch="arm64",
            release="6.12.117",
            build_id="b1",
            title=f"kernel {name}",
            modules={"panthor": panthor, "gpu_sched": "s1"},
            digests={"Image": "i", "gpu-sched.ko": "s", "panthor.ko": panthor},
        )
        return replace(given, **fields)  # type: ignore[arg-type]

    return kernel


# --- two builds


def test_kernels_that_differ_in_panthor_alone(make: Callable[..., Kernel]) -> None:
    assert swappable(make("before"), make("after", panthor="bb")) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"digests": {"Image": "other", "gpu-sched.ko": "s", "panthor.ko": "bb"}}, "Images of the two kernels differ"),
        ({"digests": {"Image": "i", "gpu-sched.ko": "t", "panthor.ko": "bb"}}, "also differ in gpu-sched.ko"),
        ({"digests": {"Image": "i", "gpu-sched.ko": "s", "panthor.ko": "b", "a.dtb": "d"}}, "also differ in a.dtb"),
        ({"digests": {"Image": "i", "panthor.ko": "bb"}}, "also differ in gpu-sched.ko"),
        ({"release": "6.12.118"}, "releases"),
        ({"build_id": "b2"}, "build-ids"),
        ({"arch": "riscv"}, "architectures"),
        ({"magic": "6.12.117 SMP mod_unload aarch64"}, "vermagics"),
        ({"config": CONFIG + "CONFIG_HZ_1000=y\n"}, "configurations"),
        ({"modules": {"gpu_sched": "s1"}}, "panthor is built into this kernel; build with `--config panthor-module`"),
        ({"config": CONFIG + "CONFIG_KASAN=y\nCONFIG_LOCKDEP=y\n"}, "has KASAN, LOCKDEP, which remembers"),
    ],
)
def test_kernels_that_differ_in_more(make: Callable[..., Kernel], change: dict[str, object], reason: str) -> None:
    found = swappable(make("before"), make("after", **{"panthor": "bb", **change}))
    assert found is not None
    assert reason in found


def test_comments_in_a_configuration_do_not_count(make: Callable[..., Kernel]) -> None:
    assert swappable(make("before"), make("after", config=CONFIG.replace("gcc", "clang"))) is None
    assert unsuited(make("other", config=CONFIG + "# CONFIG_KFENCE is not set\nCONFIG_KFENCE_X=y\n")) is None


@pytest.mark.parametrize(
    ("mask", "letters"),
    [
        (0, ""),
        (1 << 12, ""),
        (1 << 13 | 1 << 10, ""),
        (1 << 9, "W"),
        (1 << 7 | 1 << 9, "DW"),
        (1 << 5, "B"),
        (1 << 14, "L"),
        (1 << 4, "M"),
        (1 << 1 | 1 << 3 | 1 << 15, "FRK"),
    ],
)
def test_taints(mask: int, letters: str) -> None:
    assert "".join(text[0] for text in taints(mask)) == letters


# --- the running board


def notes(build_id: str) -> bytes:
    return struct.pack("<III", 4, len(build_id) // 2, 3) + b"GNU\0" + bytes.fromhex(build_id)


class Board:
    """A shell on files and on a `handover` that behaves like panthor on one GPU; faults by keyword."""

    def __init__(self, files: dict[str, bytes] | None = None, **faults: str) -> None:
        self.faults = faults
        self.ran: list[str] = []
        self.loaded = {"panthor": "aaaa", "gpu_sched": "5151"}
        self.is_bound = True
        self.files = {
            "/sys/kernel/notes": notes("b1b1"),
            "/proc/sys/kernel/tainted": b"4096\n",
            "/proc/sys/kernel/osrelease": b"6.12.117\n",
            "/dev/kmsg": b"3,7,1,-;panthor gpu: probe failed\n",
            **(files or {}),
        }

    def get(self, path: str) -> bytes:
        if path == "/proc/modules":
            count = self.faults.get("count", "0") if self.is_bound is False else "1"
            return "".join(f"{name} 1000 {count} - Live 0x0\n" for name in self.loaded).encode()
        name = path.removeprefix("/sys/module/").partition("/")[0]
        if path.startswith("/sys/module/") and name in self.loaded:
            return notes(self.loaded[name])
        if path not in self.files:
            raise RemoteFileError(f"cannot read {path}", errno=2)
        return self.files[path]

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        self.files[path] = data

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        words = list(argv[1:])
        self.ran.append(" ".join(words))
        fault = self.faults.get(words[0])
        if fault == "hang":
            raise LabError(f"`{words[0]}` did not end within {timeout:g} s")
        if fault:
            return Completed(tuple(argv), 1, b"", f"handover: {fault}".encode())
        output = b""
        match words:
            case ["bound"]:
                output = b"fb000000.gpu\n" if self.is_bound else b""
            case ["holders"]:
                output = self.faults.get("held", "").encode()
            case ["unbind", _]:
                self.is_bound = False
            case ["rmmod", name]:
                del self.loaded[name]
                self.files["/proc/sys/kernel/tainted"] = self.faults.get("taint", "4096").encode()
            case ["insmod", path]:
                self.loaded[Path(path).stem] = "bbbb"
                self.is_bound = True
            case ["mark", _] | ["log-start"]:
                output = b"321\n"
            case ["wait", *_] if "probe" in self.faults:
                return Completed(tuple(argv), 1, b"", b"")
        return Completed(tuple(argv), 0, output, b"")


def on(board: Board) -> PanthorDriver:
    return PanthorDriver(cast("Shell", board), "/opt/panthorlab")


@pytest.fixture
def wanted(make: Callable[..., Kernel]) -> Kernel:
    return make("wanted", build_id="b1b1", modules={"panthor": "bbbb", "gpu_sched": "5151"})


def swap(board: Board, kernel: Kernel, *, fresh: bool = False) -> None:
    exchange(on(board), kernel, fresh=fresh, shim=False)


def test_the_module_is_exchanged_in_order(wanted: Kernel) -> None:
    board = Board()
    assert unfit(cast("Shell", board), wanted) is None
    swap(board, wanted)
    steps = [words for words in board.ran if words.split()[0] not in ("bound", "holders")]
    assert steps == [
        "unbind fb000000.gpu",
        "rmmod panthor",
        "mark bbbb",
        "insmod /opt/panthorlab/panthor.ko",
        "wait /dev/dri/renderD* 30",
    ]
    assert board.files["/opt/panthorlab/panthor.ko"] == (wanted.modules_dir / "panthor.ko").read_bytes()


def test_the_first_time_on_a_board_makes_the_directory(wanted: Kernel) -> None:
    board = Board()
    on(board).install(wanted)
    on(board).install(wanted)
    assert board.ran == ["-p /opt/panthorlab"]
    assert board.files["/opt/panthorlab/handover"] == b"\x7fELF"
    with pytest.raises(LabError, match="cannot be made on the board"):
        on(Board(None, **{"-p": "Read-only file system"})).install(wanted)


def test_a_fresh_boot_keeps_its_log_and_a_right_module(wanted: Kernel) -> None:
    board = Board()
    board.loaded["panthor"] = "bbbb"
    swap(board, wanted, fresh=True)
    assert [words.split()[0] for words in board.ran] == ["wait", "bound"]
    board = Board()
    board.loaded, board.is_bound = {}, False
    swap(board, wanted, fresh=True)
    assert [words.split()[0] for words in board.ran] == ["insmod", "insmod", "wait", "bound"]


def test_a_driver_that_is_built_in_came_with_the_boot(make: Callable[..., Kernel]) -> None:
    kernel = make("builtin", modules={})
    for file in kernel.modules_dir.iterdir():
        file.unlink()
    board = Board()
    board.loaded = {}
    swap(board, kernel, fresh=True)
    assert [words.split()[0] for words in board.ran] == ["wait", "bound"]


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ({"held": "712 gnome shell /dev/dri/card0\n"}, r"held open by gnome shell \(pid 712, /dev/dri/card0\)"),
        ({"unbind": "hang"}, "could not be unbound from fb000000.gpu within 30 s"),
        ({"unbind": "fb000000.gpu: Device or resource busy"}, "could not be unbound from fb000000.gpu: .*busy"),
        ({"count": "2"}, "in use 2 times after it was unbound, and no program has it open"),
        ({"rmmod": "panthor: Resource temporarily unavailable"}, "could not be unloaded: .*unavailable"),
        ({"taint": "4608"}, "unloading panthor hurt the running kernel: .*W: the kernel has warned"),
        ({"bound": "no such directory"}, "`handover bound` failed"),
    ],
)
def test_a_module_that_cannot_be_taken_off(wanted: Kernel, faults: dict[str, str], reason: str) -> None:
    board = Board(None, **faults)
    with pytest.raises(LabError, match=reason):
        swap(board, wanted)
    assert not any(words.startswith("insmod") for words in board.ran)


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ({"insmod": "panthor.ko: Invalid module format"}, "(?s)panthor could not be loaded: .*format.*probe failed"),
        ({"probe": "fails"}, "(?s)no render node within 30 s.*probe failed"),
    ],
)
def test_a_module_that_does_not_work_is_the_kernels_fault(wanted: Kernel, faults: dict[str, str], reason: str) -> None:
    with pytest.raises(BootError, match=reason):
        swap(Board(None, **faults), wanted)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"/sys/kernel/notes": notes("b2b2")}, "build-id b2b2, kernel wanted has b1b1"),
        ({"/proc/sys/kernel/osrelease": b"6.12.118\n"}, "made for 6.12.117 .* 6.12.118 is running"),
        ({"/proc/sys/kernel/tainted": b"128\n"}, "tainted: D: the kernel has oopsed; boot it anew"),
    ],
)
def test_a_running_kernel_that_is_not_fit(wanted: Kernel, files: dict[str, bytes], reason: str) -> None:
    found = unfit(cast("Shell", Board(files)), wanted)
    assert found is not None
    assert re.search(reason, found)


@pytest.mark.parametrize(
    ("booted", "cmdline", "reason"),
    [
        ("booted", "console=ttyS2 panthorlab.kernel=booted root=/dev/x", None),
        ("a-dtb-more", "panthorlab.kernel=a-dtb-more", "also differ in rk3588.dtb"),
        ("booted", "console=ttyS2 root=/dev/x", "not a kernel under test"),
        ("forgotten", "panthorlab.kernel=booted", "no longer in the store"),
    ],
)
def test_what_was_booted_must_differ_in_the_module_alone(
    make: Callable[..., Kernel], monkeypatch: pytest.MonkeyPatch, booted: str, cmdline: str, reason: str | None
) -> None:
    more = {"rk3588.dtb": "d"} if booted == "a-dtb-more" else {}
    stored = make(booted, digests={"Image": "i", "gpu-sched.ko": "s", "panthor.ko": "old", **more})

    def find(prefix: str) -> Kernel:
        if not stored.key.startswith(prefix):
            raise UsageError(f"no kernel {prefix}")
        return stored

    monkeypatch.setattr(store, "find", find)
    board = Board({"/proc/cmdline": f"{cmdline}\n".encode()})
    found = more_changed(cast("Shell", board), make("wanted", panthor="bb"))
    assert found is None if reason is None else reason in str(found)


def test_another_loaded_module(wanted: Kernel) -> None:
    board = Board()
    board.loaded["gpu_sched"] = "9999"
    assert "the loaded gpu_sched differ" in str(unfit(cast("Shell", board), wanted))


def test_parsers() -> None:
    assert parse_modules("panthor 135168 2 - Live 0x0\ngpu_sched 65536 1 panthor, Live 0x0 (O)\nx 1 - - L 0\n") == {
        "panthor": 2,
        "gpu_sched": 1,
    }
    assert parse_gpu_client("12 a b c /dev/dri/renderD128") == GpuClient(12, "a b c", "/dev/dri/renderD128")
    assert vermagic(module()) == MAGIC
    assert vermagic(b"nothing") == ""
    files = {
        "panthor": module("gpu-sched"),
        "gpu_sched": module(),
        "governor_simpleondemand": module(),
        "panthor_pci_shim": module(),
    }
    assert gpu_order(files, shim=True) == ["governor_simpleondemand", "gpu_sched", "panthor", "panthor_pci_shim"]
    assert gpu_order({"panthor_pci_shim": module()}, shim=True) == ["panthor_pci_shim"]


# --- kexec


FILE = RealFile.model_validate(
    {
        "type": "real",
        "console": {"transport": "tcp", "host": "h", "port": 1},
        "power": {"driver": "manual"},
        "ssh": {"host": "h"},
        "boot": {"methods": ["kexec"], "console": "ttyS2", "root": "root=/dev/x"},
        "known_good": "6.1.0",
        "dtb": "rockchip/rk3588-rock-5b.dtb",
    }
)
GOOD = {
    "/proc/sys/kernel/osrelease": b"6.1.0\n",
    kexec.LOADED: b"0\n",
    kexec.DISABLED: b"0\n",
    kexec.EFI: b"64\n",
    "/proc/cmdline": b"root=/dev/x\n",
}


class Kexec(Board):
    """A board with kexec-tools; `refused`: options that do not load."""

    def __init__(self, files: dict[str, bytes], refused: str = "", missing: bool = False, **faults: str) -> None:
        super().__init__({**GOOD, **files}, **faults)
        self.refused, self.missing = refused, missing
        self.gone = False

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        if argv[0] != "/usr/sbin/kexec":
            if argv[1] == "detach":
                self.gone = self.faults.get("detach") != "refused"
                if "detach" in self.faults:
                    raise LabError("the connection is gone")
            return super().run(argv, timeout=timeout)
        self.ran.append(" ".join(argv))
        if self.missing:
            return Completed(tuple(argv), 127, b"", b"no such file")
        if "-l" in argv:
            if argv[1] in self.refused:
                return Completed(tuple(argv), 255, b"", b"kexec_load failed: Operation not permitted")
            self.files[kexec.LOADED] = b"1\n"
        return Completed(tuple(argv), 0, b"", b"")

    def ping(self, _timeout: float) -> bool:
        return not self.gone

    def close(self) -> None:
        """Nothing to give up."""


class Unknown:
    """A power switch that cannot tell, and is not to be used."""

    def state(self) -> bool | None:
        return None


def rig(board: Kexec, tmp_path: Path) -> Rig:
    return Rig(
        name="rock",
        file=FILE,
        console=None,  # type: ignore[arg-type]
        power=Unknown(),  # type: ignore[arg-type]
        connect=lambda _timeout: board,  # type: ignore[arg-type]
        log_dir=tmp_path,
        progress=lambda _text: None,
    )


def booting(kernel: Kernel, command_line: str, *, fresh: bool) -> Booting:
    return Booting(kernel, command_line, fresh=fresh, begins=lambda: None)


ITS: dict[str, dict[str, bytes]] = {"/intc/msi": {"compatible": b"arm,gic-v3-its\0"}}


def blob(nodes: dict[str, dict[str, bytes]]) -> bytes:
    """A device tree blob of nodes by path, parents first."""
    strings, body = b"", b""
    opened: list[str] = []

    def token(number: int) -> bytes:
        return struct.pack(">I", number)

    def padded(data: bytes) -> bytes:
        return data + bytes(-len(data) % 4)

    paths = sorted(
        {"/", *nodes, *(str(parent) for path in nodes for parent in Path(path).parents)},
        key=lambda path: Path(path).parts,
    )
    for path in paths:
        parts = [""] if path == "/" else path.split("/")
        while opened != parts[: len(opened)]:
            opened.pop()
            body += token(2)
        opened.append(parts[-1])
        body += token(1) + padded(parts[-1].encode() + b"\0")
        for name, value in nodes.get(path, {}).items():
            body += token(4) + token(3) + struct.pack(">2I", len(value), len(strings)) + padded(value)
            strings += name.encode() + b"\0"
    body += token(2) * len(opened) + token(9)
    return (
        struct.pack(
            ">10I",
            0xD00DFEED,
            40 + len(body) + len(strings),
            40,
            40 + len(body),
            40,
            17,
            16,
            0,
            len(strings),
            len(body),
        )
        + body
        + strings
    )


@pytest.mark.parametrize(
    ("files", "missing", "reason"),
    [({kexec.DISABLED: b"1\n"}, False, "kexec_load_disabled=1"), ({}, True, "apt install kexec-tools")],
)
def test_what_kexec_needs(tmp_path: Path, files: dict[str, bytes], missing: bool, reason: str, wanted: Kernel) -> None:
    board = Kexec(files, missing=missing)
    with pytest.raises(LabError, match=reason):
        kexec.KexecJump().start(rig(board, tmp_path), booting(wanted, "quiet", fresh=True))
    assert re.search(reason, str(kexec.KexecJump().refuse(rig(board, tmp_path), booting(wanted, "", fresh=True))))


def test_a_kernel_without_kexec(tmp_path: Path, wanted: Kernel) -> None:
    board = Kexec({})
    del board.files[kexec.LOADED]
    assert "has no kexec" in str(kexec.KexecJump().refuse(rig(board, tmp_path), booting(wanted, "", fresh=True)))


@pytest.mark.parametrize(
    ("its", "efi", "line", "refused"),
    [
        (True, False, b"quiet", True),
        (True, True, b"quiet", False),
        (False, False, b"quiet", False),
        (True, False, b"a irqchip.gicv3_nolpi=1 b", False),
        (True, False, b"irqchip.gicv3_nolpi=0", True),
    ],
)
def test_interrupt_tables_that_would_overwrite_the_next_kernel(
    tmp_path: Path, wanted: Kernel, its: bool, efi: bool, line: bytes, refused: bool
) -> None:
    board = Kexec({"/sys/firmware/fdt": blob(ITS if its else {}), "/proc/cmdline": line})
    if not efi:
        del board.files[kexec.EFI]
    reason = kexec.KexecJump().refuse(rig(board, tmp_path), booting(wanted, "", fresh=True))
    assert ("gicv3_nolpi" in (reason or "")) is refused


def test_panthor_is_unbound_between_loading_and_jumping(tmp_path: Path, wanted: Kernel) -> None:
    (wanted.path / "dtbs").mkdir()
    (wanted.path / "dtbs" / "rk3588-rock-5b.dtb").write_bytes(blob({"/memory@0": {"reg": b"\0\0\0\1"}}))
    board = Kexec({})
    kexec.KexecJump().start(rig(board, tmp_path), booting(wanted, "root=/dev/x quiet", fresh=True))
    steps = [words for words in board.ran if words not in ("bound", "-p /opt/panthorlab")]
    assert steps == [
        "/usr/sbin/kexec --version",
        "/usr/sbin/kexec -c -l /opt/panthorlab/Image --dtb=/opt/panthorlab/board.dtb --command-line=root=/dev/x quiet",
        "unbind fb000000.gpu",
        "detach /usr/sbin/kexec -e",
    ]


@pytest.mark.parametrize("refused", ["", "-s"])
def test_a_device_tree_without_memory_is_not_used(tmp_path: Path, wanted: Kernel, refused: str) -> None:
    (wanted.path / "dtbs").mkdir()
    (wanted.path / "dtbs" / "rk3588-rock-5b.dtb").write_bytes(blob({"/gpu": {"reg": b"\0\0\0\1"}}))
    board = Kexec({}, refused=refused)
    kexec.KexecJump().start(rig(board, tmp_path), booting(wanted, "quiet", fresh=True))
    loads = [words for words in board.ran if " -l " in words]
    assert loads[-1].startswith(f"/usr/sbin/kexec {'-c' if refused else '-s'} -l /opt/panthorlab/Image --command-line")
    assert not any("--dtb" in words for words in loads)


def test_neither_system_call_takes_it(tmp_path: Path, wanted: Kernel) -> None:
    (wanted.path / "dtbs").mkdir()
    (wanted.path / "dtbs" / "rk3588-rock-5b.dtb").write_bytes(blob({}))
    board = Kexec({}, refused="-s -c")
    with pytest.raises(LabError, match=r"kexec -s -l: kexec_load failed: Operation not permitted; .*kexec -c -l"):
        kexec.KexecJump().start(rig(board, tmp_path), booting(wanted, "quiet", fresh=True))
    assert "detach /usr/sbin/kexec -e" not in board.ran


@pytest.mark.parametrize("fault", ["hang", "Device or resource busy"])
def test_no_jump_while_panthor_is_bound(tmp_path: Path, wanted: Kernel, fault: str) -> None:
    board = Kexec({}, unbind=fault)
    with pytest.raises(LabError, match="could not be unbound") as raised:
        kexec.KexecJump().start(rig(board, tmp_path), booting(replace_dtb(wanted), "quiet", fresh=True))
    assert "power cycle" in str(raised.value.hint)
    assert board.ran[-1] == "/usr/sbin/kexec -u"


def replace_dtb(kernel: Kernel) -> Kernel:
    (kernel.path / "dtbs").mkdir()
    (kernel.path / "dtbs" / "rk3588-rock-5b.dtb").write_bytes(blob({}))
    return kernel


@pytest.mark.parametrize(("fault", "raises"), [("lost", False), ("refused", True)])
def test_the_connection_may_die_with_the_kernel(tmp_path: Path, wanted: Kernel, fault: str, raises: bool) -> None:
    board = Kexec({}, detach=fault)
    jump = booting(replace_dtb(wanted), "quiet", fresh=True)
    if raises:
        with pytest.raises(LabError, match="connection is gone"):
            kexec.KexecJump().start(rig(board, tmp_path), jump)
    else:
        kexec.KexecJump().start(rig(board, tmp_path), jump)


def test_a_gpu_that_went_on_is_told() -> None:
    kexec.check_quiet([Hazard(1.0, "unmodelled", "register 0x3fc")])
    with pytest.raises(LabError, match="panthor was not unbound"):
        kexec.check_quiet([Hazard(1.0, "dma-after-shutdown", "… for panthor was not unbound: …")])


# --- device trees


NAME = st.text("abcdefgh,-@0123456789", min_size=1, max_size=12)


@given(
    st.dictionaries(
        st.lists(NAME, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts)),
        st.dictionaries(NAME, st.binary(max_size=20), max_size=4),
        max_size=5,
    )
)
def test_any_device_tree_comes_back(nodes: dict[str, dict[str, bytes]]) -> None:
    wanted = sorted((path, name, value) for path, node in nodes.items() for name, value in node.items())
    assert sorted(properties(blob(nodes))) == wanted


@given(st.binary(max_size=200), st.integers(0, 400))
def test_garbage_is_a_lab_error(data: bytes, cut: int) -> None:
    for text in (data, blob({"/memory@0": {"reg": b"\1" * 40}})[:cut], struct.pack(">I", 0xD00DFEED) + data):
        try:
            list(properties(text))
        except LabError:
            continue


def test_memory_and_its() -> None:
    assert has_memory(blob({"/memory@0": {"device_type": b"memory\0", "reg": b"\0\0\0\1"}}))
    assert not has_memory(blob({"/memory": {"reg": bytes(8)}, "/soc/memory": {"reg": b"\1"}, "/x": {"reg": b"\1"}}))
    assert has_its(blob(ITS))
    assert not has_its(blob({"/intc/msi": {**ITS["/intc/msi"], "status": b"disabled\0"}}))


def test_module_swap_asks_the_board_only_when_it_is_to_stay(make: Callable[..., Kernel], tmp_path: Path) -> None:
    kernel = make("wanted", build_id="b1b1", modules={"panthor": "bbbb", "gpu_sched": "5151"})
    board = Kexec({})
    assert ModuleSwap().refuse(rig(board, tmp_path), booting(kernel, "", fresh=True)) is None
    assert "6.1.0 is running" in str(ModuleSwap().refuse(rig(board, tmp_path), booting(kernel, "", fresh=False)))

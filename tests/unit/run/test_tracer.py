# SPDX-License-Identifier: GPL-2.0-or-later
"""The recorder on the board: what it sets, what it leaves as it was, and every way in which a trace is no record."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from panthorlab.board.api import BootedBoard, Completed, RemoteFileError
from panthorlab.errors import BootError, EvidenceError, LabError, PanthorlabError, UsageError
from panthorlab.kernel.model import Kernel
from panthorlab.mmio.ftrace import READ, WRITE
from panthorlab.mmio.main import read
from panthorlab.mmio.recording import RegisterAccess
from panthorlab.run.tracer import ACCESSES, KPTR, ROOTS, check_kernel, gather, record_accesses

ROOT = ROOTS[1]
VIRTUAL = 0xFFFF800082000000
BIND = "/sys/bus/platform/drivers/panthor/bind"
AREA = "0x{0:x}-0x{1:x} 2101248 devm_ioremap+0x54/0xb8 phys=0x00000000fb000000 ioremap\n"
EVENT = "  init-1  [000] .....  {0}.000000: {1}: f+0x0/0x8 -> panthor_x+0x4/0x8 width=32 val=0xa8670005 addr={2:#x}\n"


@dataclass
class Shell:
    """A board's files; those of tracefs take what is written. `refuse`: paths that cannot be written."""

    files: dict[str, str] = field(default_factory=dict)
    wrote: list[tuple[str, str]] = field(default_factory=list)
    devices: str = "fb000000.gpu\n"
    refuse: str = ""

    def get(self, path: str) -> bytes:
        if path not in self.files:
            raise RemoteFileError(path, errno=errno.ENOENT)
        return self.files[path].encode()

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        del mode
        if path == self.refuse:
            raise RemoteFileError(path, errno=errno.EIO)
        if path not in self.files and path != BIND:
            raise RemoteFileError(path, errno=errno.ENOENT)
        self.wrote.append((path, data.decode()))
        self.files[path] = data.decode()

    def run(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Completed:
        del timeout, env
        out = self.devices if argv[1:] == ["bound"] else ""
        return Completed(tuple(argv), 0, out.encode(), b"")


@pytest.fixture
def shell() -> Shell:
    names = ["tracing_on", "trace_clock", "options/overwrite", "buffer_size_kb", "irq", "gpu_scheduler"]
    names += [f"events/{event}/{file}" for event in ACCESSES for file in ("enable", "filter")]
    return Shell({
        **{f"{ROOT}/{name}": "" for name in names},
        KPTR: "2\n",
        "/proc/iomem": "fb000000-fb1fffff : fb000000.gpu gpu@fb000000\n",
        "/proc/vmallocinfo": AREA.format(VIRTUAL, VIRTUAL + 0x201000),
        f"{ROOT}/trace": EVENT.format(1, READ, VIRTUAL) + EVENT.format(2, WRITE, VIRTUAL + 0x700),
        f"{ROOT}/per_cpu/cpu0/stats": "overrun: 0\ndropped events: 0\n",
        "/proc/kallsyms": "",
        "/proc/device-tree/model": "Radxa ROCK 5B\0",
    })  # fmt: skip


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/config").write_text("CONFIG_DRM_PANTHOR=y\n")
    return cast(
        "Kernel", SimpleNamespace(path=tmp_path / "kernel", title="6.12.117", build_id="ab12", key="0123456789abcd")
    )


def board(shell: Shell) -> BootedBoard:
    return cast("BootedBoard", SimpleNamespace(shell=shell, name="rock-5b", work_dir="/opt/panthorlab", slowness=1.0))


def record(shell: Shell, kernel: Kernel, file: Path) -> Any:
    with record_accesses(board(shell), kernel, file, ["gpu-job"]):
        pass
    return read(file)


def test_the_driver_is_bound_under_trace_and_the_board_is_left_as_it_was(
    shell: Shell, kernel: Kernel, tmp_path: Path
) -> None:
    recording = record(shell, kernel, tmp_path / "x.jsonl")
    assert [(step.write, step.offset) for step in recording.steps] == [(False, 0), (True, 0x700)]
    head = recording.head
    assert (head.gpu_id, head.machine, head.whole, head.did) == (0xA8670005, "Radxa ROCK 5B", True, ("gpu-job",))
    turn = [path.removeprefix(f"{ROOT}/") for path, _ in shell.wrote]
    assert turn.index("tracing_on") < turn.index(f"events/{ACCESSES[0]}/enable") < turn.index(BIND)
    assert shell.files[KPTR] == "2"
    assert {shell.files[f"{ROOT}/events/{event}/{file}"] for event in ACCESSES for file in ("enable", "filter")} == {
        "0"
    }
    assert (shell.files[f"{ROOT}/tracing_on"], shell.files[f"{ROOT}/options/overwrite"]) == ("0", "1")


def test_without_a_file_nothing_is_touched(shell: Shell, kernel: Kernel) -> None:
    with record_accesses(board(shell), kernel, None, []):
        pass
    assert shell.wrote == []


def test_what_goes_wrong_meanwhile_is_not_hidden_and_the_board_is_left_as_it_was(
    shell: Shell, kernel: Kernel, tmp_path: Path
) -> None:
    with pytest.raises(BootError, match="it oopsed"), record_accesses(board(shell), kernel, tmp_path / "x.jsonl", []):
        raise BootError("it oopsed")
    assert shell.files[KPTR] == "2"
    assert not (tmp_path / "x.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "error", "what"),
    [
        ({f"{ROOT}/trace_clock": None}, LabError, "not mounted"),
        ({f"{ROOT}/events/{ACCESSES[0]}/enable": None}, UsageError, "does not trace"),
        ({"/proc/iomem": "00000000-00000000 : fb000000.gpu\n"}, LabError, "iomem"),
        ({"/proc/vmallocinfo": AREA.format(0, 0)}, LabError, "vmallocinfo"),
        ({f"{ROOT}/trace": ""}, EvidenceError, "no read of GPU_ID"),
        ({f"{ROOT}/trace": EVENT.format(1, READ, 0x1000)}, EvidenceError, "none that is known"),
        ({f"{ROOT}/trace": "CPU:0 [LOST 3 EVENTS]\n"}, EvidenceError, "lost 3"),
    ],
)
def test_what_is_no_recording_is_an_error(
    shell: Shell,
    kernel: Kernel,
    tmp_path: Path,
    change: Mapping[str, str | None],
    error: type[PanthorlabError],
    what: str,
) -> None:
    for path, content in change.items():
        if content is None:
            del shell.files[path]
        else:
            shell.files[path] = content
    with pytest.raises(error, match=what):
        record(shell, kernel, tmp_path / "x.jsonl")
    assert not (tmp_path / "x.jsonl").exists()


def test_a_driver_that_does_not_come_back_is_the_kernels_fault(shell: Shell, kernel: Kernel, tmp_path: Path) -> None:
    shell.refuse = BIND
    with pytest.raises(BootError, match="did not come back"):
        record(shell, kernel, tmp_path / "x.jsonl")


@pytest.mark.parametrize("devices", ["", "a\nb\n"])
def test_there_must_be_one_gpu(shell: Shell, kernel: Kernel, tmp_path: Path, devices: str) -> None:
    shell.devices = devices
    with pytest.raises(LabError, match="drives"):
        record(shell, kernel, tmp_path / "x.jsonl")


def test_registers_that_have_moved_meanwhile_make_a_hole(shell: Shell, kernel: Kernel, tmp_path: Path) -> None:
    with (
        pytest.raises(EvidenceError, match="bound anew"),
        record_accesses(board(shell), kernel, tmp_path / "x.jsonl", []),
    ):
        shell.files["/proc/vmallocinfo"] = AREA.format(VIRTUAL + 0x400000, VIRTUAL + 0x601000)


def test_a_full_buffer_is_told(shell: Shell, kernel: Kernel, tmp_path: Path) -> None:
    shell.files[f"{ROOT}/per_cpu/cpu0/stats"] = "overrun: 0\ndropped events: 5\n"
    assert not record(shell, kernel, tmp_path / "x.jsonl").head.whole


def test_a_kernel_must_have_been_built_for_it(kernel: Kernel) -> None:
    with pytest.raises(UsageError, match="cannot trace"):
        check_kernel(kernel)
    options = ("FTRACE", "ENABLE_DEFAULT_TRACERS", "TRACE_MMIO_ACCESS", "SYSCTL", "PROC_SYSCTL")
    (kernel.path / "config").write_text("".join(f"CONFIG_{option}=y\n" for option in options))
    check_kernel(kernel)


def test_each_boot_has_its_recording(shell: Shell, kernel: Kernel, tmp_path: Path) -> None:
    for boot in ("a1", "a2"):
        (tmp_path / "run/boots" / boot).mkdir(parents=True)
        record(shell, kernel, tmp_path / "run/boots" / boot / "mmio.jsonl")
    gather(tmp_path / "run", tmp_path / "x.jsonl.xz")
    found = [read(tmp_path / name) for name in ("x.jsonl.xz", "x-2.jsonl.xz")]
    assert all(isinstance(line, RegisterAccess) for recording in found for line in recording.lines)

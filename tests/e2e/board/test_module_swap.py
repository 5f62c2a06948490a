# SPDX-License-Identifier: GPL-2.0-or-later
"""Exchanging panthor on a running kernel: two kernels in one boot, each with a log and an identity of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from panthorlab.board.api import BootedBoard, Completed
from panthorlab.board.emulated.board import EmulatedBoard
from panthorlab.board.emulated.booted import BootedEmulatedBoard
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.board.identity import verify_identity
from panthorlab.board.real.command_line import mark
from panthorlab.board.real.file import RealFile
from panthorlab.board.real.methods.module_swap import ModuleSwap, swappable
from panthorlab.board.real.panthor_driver import PanthorDriver
from panthorlab.board.real.parts import Booting, Connect, Power, Rig, SerialConsole
from panthorlab.errors import LabError
from panthorlab.kernel.model import Kernel
from panthorlab.run.evidence import LogFollower
from panthorlab.run.iterations import Batch
from panthorlab.run.workload import Workload

pytestmark = [pytest.mark.e2e, pytest.mark.wide]
CLAIM = Workload("heap-exit/exit", ("heap-exit", "--mode", "exit"))
ITERATIONS = 15
REAL = {
    "type": "real",
    "console": {"transport": "tcp", "host": "127.0.0.1", "port": 1},
    "power": {"driver": "manual"},
    "ssh": {"host": "127.0.0.1"},
    "boot": {"methods": ["kexec", "module-swap"], "console": "ttyAMA0", "root": ""},
    "emulated_gpu": {"events": "/nowhere"},
}


@pytest.fixture(scope="module")
def board(
    module_kernels: tuple[Kernel, Kernel], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BootedEmulatedBoard]:
    """Booted once, with the fixed kernel."""
    emulated = EmulatedBoard("swap", EmulatedFile.model_validate({"type": "emulated"}))
    with emulated.boot(module_kernels[1], log_dir=tmp_path_factory.mktemp("swap")) as booted:
        yield booted


class _Connection:
    """The agent as if it were SSH: a connection that can be given up while the board goes on."""

    def __init__(self, board: BootedEmulatedBoard, booted: Kernel) -> None:
        self.run, self.start = board.shell.run, board.shell.start
        self.put, self.ping = board.shell.put, board.shell.ping
        self._get, self._booted = board.shell.get, booted

    def get(self, path: str) -> bytes:
        """The command line has the mark that a real board's would have."""
        return self._get(path) + (b" " + mark(self._booted).encode() if path == "/proc/cmdline" else b"")

    def close(self) -> None:
        """Nothing: the agent has only one."""


class _Load:
    """What a board is for the suites after one load of the module: the same boot, a log of its own."""

    def __init__(self, board: BootedEmulatedBoard, log_start: int) -> None:
        self._board, self.log_start = board, log_start

    def __getattr__(self, name: str) -> Any:
        return getattr(self._board, name)


def rig(board: BootedEmulatedBoard, log_dir: Path, kernels: tuple[Kernel, Kernel]) -> Rig:
    return Rig(
        name=board.name,
        file=RealFile.model_validate(REAL),
        console=cast("SerialConsole", board.console),
        power=cast("Power", None),
        connect=cast("Connect", lambda _timeout: _Connection(board, kernels[1])),
        log_dir=log_dir,
        progress=lambda _step: None,
    )


def booting(kernel: Kernel, *, fresh: bool = False) -> Booting:
    return Booting(kernel=kernel, command_line="", fresh=fresh, begins=lambda: None)


def driver(board: BootedEmulatedBoard) -> PanthorDriver:
    return PanthorDriver(board.shell, board.work_dir)


def store(board: BootedEmulatedBoard) -> Completed:
    return board.shell.run([f"{board.work_dir}/gpu-job", "--mode", "store"], timeout=120)


def kinds(board: BootedEmulatedBoard, where: Path, prefix: str) -> list[list[str]]:
    """What each iteration of a claim found, on the load that is on the board now; strays fail."""
    view = cast("BootedBoard", _Load(board, driver(board).log_start()))
    with LogFollower(view, where / f"{prefix}.log") as log:
        batch = Batch(view, log, CLAIM, prefix=prefix, count=ITERATIONS, log_deadline=20, on_result=None)
        batch.run()
        assert all(window is not None and window.complete for window in batch.windows)
        assert log.strays() == []
        assert len(log.findings()) == sum(len(one.findings) for one in batch.events), "of another load"
    return [list(one.kinds) for one in batch.events]


def test_the_patch_changes_the_module_alone(module_kernels: tuple[Kernel, Kernel]) -> None:
    before, after = module_kernels
    assert before.digests["Image"] == after.digests["Image"]
    assert before.modules["panthor"] != after.modules["panthor"]
    assert swappable(before, after) is None


def test_both_kernels_in_one_boot(
    board: BootedEmulatedBoard, module_kernels: tuple[Kernel, Kernel], tmp_path: Path
) -> None:
    before, after = module_kernels
    method, the_rig = ModuleSwap(), rig(board, tmp_path, module_kernels)
    verify_identity(board.shell, after)
    starts = [0]
    for number, (kernel, faulty) in enumerate([(before, True), (after, False), (before, True)]):
        assert method.refuse(the_rig, booting(kernel)) is None
        method.start(the_rig, booting(kernel))
        verify_identity(board.shell, kernel)
        done = store(board)
        assert done.status == 0, done.stdout
        found = kinds(board, tmp_path, f"load{number}")
        assert any("mmu-fault" in each for each in found) is faulty, found
        assert all(each in ([], ["mmu-fault"]) for each in found), found
        starts.append(driver(board).log_start())
    assert starts == sorted(set(starts)), "each load has a log of its own"
    assert not board.hazards()


def test_a_first_load_may_be_there_already(
    board: BootedEmulatedBoard, module_kernels: tuple[Kernel, Kernel], tmp_path: Path
) -> None:
    method, the_rig = ModuleSwap(), rig(board, tmp_path, module_kernels)
    method.start(the_rig, booting(module_kernels[1]))
    start = driver(board).log_start()
    method.start(the_rig, booting(module_kernels[1], fresh=True))
    assert driver(board).log_start() == start
    method.start(the_rig, booting(module_kernels[0], fresh=True))
    verify_identity(board.shell, module_kernels[0])
    assert driver(board).log_start() > start, "another module ran in this boot before"


def test_a_mark_can_be_read_at_once(board: BootedEmulatedBoard, module_kernels: tuple[Kernel, Kernel]) -> None:
    driver(board).install(module_kernels[0])
    seqs = [driver(board).mark("one"), driver(board).mark("two")]
    assert seqs[0] < seqs[1] == driver(board).log_start()
    log = board.shell.get("/dev/kmsg").decode("utf-8", "replace")
    assert f",{seqs[0]}," in next(line for line in log.splitlines() if line.endswith(";panthorlab: load id=one"))


def test_who_holds_the_gpu_is_told(
    board: BootedEmulatedBoard, module_kernels: tuple[Kernel, Kernel], tmp_path: Path
) -> None:
    argv = [f"{board.work_dir}/gpu-job", "--mode", "suspend-loop", "--count", "1000"]
    process = board.shell.start(argv, on_stdout=lambda _data: None)
    deadline = time.monotonic() + 120
    try:
        while not driver(board).holders():
            assert time.monotonic() < deadline, "gpu-job did not open the GPU"
        with pytest.raises(LabError, match=r"held open by gpu-job \(pid \d+, /dev/dri/renderD128\)"):
            ModuleSwap().start(rig(board, tmp_path, module_kernels), booting(module_kernels[0]))
        assert driver(board).bound(), "panthor was unbound under a program that uses it"
    finally:
        process.kill()
        process.wait(120)
    ModuleSwap().start(rig(board, tmp_path, module_kernels), booting(module_kernels[0]))


def test_after_a_splat_no_module_is_loaded(
    board: BootedEmulatedBoard, module_kernels: tuple[Kernel, Kernel], tmp_path: Path
) -> None:
    """Last in this file: a tainted kernel stays tainted."""
    board.shell.put(b"512", "/proc/sys/kernel/tainted")
    the_rig = rig(board, tmp_path, module_kernels)
    reason = ModuleSwap().refuse(the_rig, booting(module_kernels[0]))
    assert reason is not None
    assert "tainted: W: the kernel has warned" in reason
    with pytest.raises(LabError, match="tainted: W"):
        ModuleSwap().start(the_rig, booting(module_kernels[0]))
    assert ModuleSwap().refuse(the_rig, booting(module_kernels[0], fresh=True)) is None


def test_another_kernel_is_refused(
    board: BootedEmulatedBoard, module_kernels: tuple[Kernel, Kernel], tmp_path: Path
) -> None:
    fields: Mapping[str, Any] = {**vars(module_kernels[0]), "build_id": "0" * 40}
    reason = ModuleSwap().refuse(rig(board, tmp_path, module_kernels), booting(Kernel(**fields)))
    assert reason is not None
    assert "boot it by another method first" in reason

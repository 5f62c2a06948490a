# SPDX-License-Identifier: GPL-2.0-or-later
"""Emulated boards that boot, and each way in which they do not: what is blamed, how soon, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from panthorlab.board.emulated import cpus
from panthorlab.board.emulated.board import EmulatedBoard
from panthorlab.board.emulated.booted import BootedEmulatedBoard
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.board.identity import verify_identity
from panthorlab.errors import BootError, EvidenceError, LabError, UsageError
from panthorlab.kernel.model import Kernel
from panthorlab.kmsg.scan import scan_bytes
from panthorlab.paths import cache_dir
from tests.processes import alive

pytestmark = pytest.mark.e2e
PROBE = "/probe"
Boot = Callable[..., BootedEmulatedBoard]


def processes_of(board: BootedEmulatedBoard) -> list[int]:
    model = board._parts.model
    return [board._parts.qemu.pid, *([model.process.pid] if model else [])]


def wait_gone(pids: list[int], timeout: float = 60.0) -> bool:
    deadline = time.monotonic() + timeout
    while any(map(alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_boot_with_gpu(boot: Boot, kernel: Kernel) -> None:
    board = boot()
    assert verify_identity(board.shell, kernel)["vmlinux"] == kernel.build_id
    assert board.shell.run(["init", "wait", "/dev/dri/renderD128", "1"], timeout=60).status == 0
    assert not board.hazards()
    board.check_alive()
    facts = board.facts()
    assert "printk.devkmsg=on" in board.shell.get("/proc/cmdline").decode()
    assert board.shell.get("/proc/cmdline").decode().strip() == facts["command_line"]
    pids, run_dir = processes_of(board), board._parts.run_dir
    cpus = [os.sched_getaffinity(pid) for pid in pids]
    assert cpus == [{facts["host_cpu"]}] * 2
    board.close()
    board.close()
    assert not any(map(alive, pids))
    assert not run_dir.exists()
    with pytest.raises(LabError, match=r"closed"):
        board.shell.get("/proc/uptime")


def test_wrong_build_is_an_evidence_error(boot: Boot, kernel: Kernel) -> None:
    board = boot()
    with pytest.raises(EvidenceError, match=r"vmlinux is .*, built was 00"):
        verify_identity(board.shell, replace(kernel, build_id="00"))
    shim = "panthor_pci_shim"
    with pytest.raises(EvidenceError, match=rf"{shim} is .*, built was 00"):
        verify_identity(board.shell, replace(kernel, modules={shim: "00"}))


@pytest.mark.wide
def test_two_boards_have_two_cpus(boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "cache_dir", lambda *_: tmp_path)  # boards of other runs on this machine do not count
    first, second = boot(name="first", gpu=None), boot(name="second", gpu=None)
    if len(os.sched_getaffinity(0)) > 1:
        assert first.facts()["host_cpu"] != second.facts()["host_cpu"]
    assert first.boot_id != second.boot_id
    assert first.shell.ping(60)
    assert second.shell.ping(60)


def test_panic(boot: Boot) -> None:
    board = boot(gpu=None)
    with pytest.raises(BootError, match=r"kernel panic: sysrq triggered crash"):
        board.shell.put(b"c", "/proc/sysrq-trigger")
    with pytest.raises(BootError, match=r"kernel panic") as caught:
        board.check_alive()
    assert caught.value.blame == "kernel"
    log = board.console_log.read_bytes()
    assert b"Call trace" in log


def test_silent_reset(boot: Boot) -> None:
    board = boot(gpu=None)
    with pytest.raises(BootError, match=r"reset or switched itself off"):
        board.shell.put(b"b", "/proc/sysrq-trigger")


def test_qemu_killed(boot: Boot) -> None:
    for number in (signal.SIGKILL, signal.SIGTERM):
        board = boot(name=f"board-{number}", gpu=None)
        process = board.shell.start([PROBE, "sleep"], on_stdout=lambda _data: None)
        os.kill(board._parts.qemu.pid, number)
        with pytest.raises(LabError, match=r"QEMU died"):
            process.wait(60)
        with pytest.raises(LabError, match=r"QEMU died"):
            board.check_alive()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_model_killed(boot: Boot, number: signal.Signals) -> None:
    board = boot()
    assert board._parts.model is not None
    process = board.shell.start([PROBE, "sleep"], on_stdout=lambda _data: None)
    os.kill(board._parts.model.process.pid, number)
    with pytest.raises(LabError, match=r"GPU model died"):
        process.wait(60)
    with pytest.raises(LabError, match=r"GPU model died"):
        board.check_alive()
    assert wait_gone(processes_of(board))


def test_agent_killed_is_not_the_kernels_fault(boot: Boot) -> None:
    board = boot(gpu=None)
    with pytest.raises(LabError, match=r"the agent on board"):
        board.shell.run([PROBE, "kill-parent", "9"], timeout=60)


@pytest.mark.wide
def test_hung_guest_is_the_kernels_fault_and_hung_qemu_is_not(boot: Boot) -> None:
    board = boot(gpu=None, time_limits={"answer": 3})
    with pytest.raises(LabError):
        board.shell.run([PROBE, "kill-parent", "19"], timeout=1)
    with pytest.raises(BootError, match=r"did not answer within 3 s.*\(QEMU answers: running\)"):
        board.check_alive()
    os.kill(board._parts.qemu.pid, signal.SIGSTOP)
    with pytest.raises(LabError, match=r"QEMU itself does not answer"):
        board.check_alive()


@pytest.mark.wide
def test_hung_model_is_not_the_kernels_fault(boot: Boot) -> None:
    board = boot(time="host", time_limits={"answer": 1})
    assert board._parts.model is not None
    os.kill(board._parts.model.process.pid, signal.SIGSTOP)
    with pytest.raises(LabError, match=r"did not end within"):
        board.shell.run([f"{board.work_dir}/gpu-job", "--mode", "store"], timeout=2)
    with pytest.raises(LabError, match=r"QEMU itself does not answer"):
        board.check_alive()
    pids = processes_of(board)
    board.close()
    assert wait_gone(pids)


def test_kernel_that_panics_while_booting(boot: Boot) -> None:
    with pytest.raises(BootError, match=r"kernel panic: (VFS: Unable to mount root|No working init found)"):
        boot(gpu=None, boot={"command_line": "rdinit=/nothing"})


@pytest.mark.wide
def test_kernel_that_hangs_while_booting(boot: Boot) -> None:
    with pytest.raises(BootError, match=r"took no commands 6 s after QEMU's start; the last step done: the kernel"):
        boot(gpu=None, boot={"command_line": f"rdinit={PROBE}"}, time_limits={"boot": 6})


def test_qemu_that_refuses_its_machine(boot: Boot) -> None:
    with pytest.raises(LabError, match=r"QEMU died.*no-such-cpu"):
        boot(gpu=None, machine={"cpu": "no-such-cpu"})


@pytest.mark.wide
def test_firmware_that_panthor_refuses(boot: Boot, tmp_path: Path) -> None:
    firmware = tmp_path / "over/lib/firmware/arm/mali/arch10.8/mali_csffw.bin"
    firmware.parent.mkdir(parents=True)
    firmware.write_bytes(b"not firmware")
    with pytest.raises(BootError, match=r"panthor failed to probe(.|\n)*Firmware too small"):
        boot(over=tmp_path / "over")


@pytest.mark.wide
def test_module_that_does_not_load(boot: Boot, tmp_path: Path) -> None:
    module = tmp_path / "over/lib/modules/panthor_pci_shim.ko"
    module.parent.mkdir(parents=True)
    module.write_bytes(b"not a module")
    with pytest.raises(BootError, match=r"panthor_pci_shim.ko: Exec format error"):
        boot(over=tmp_path / "over")


def test_unknown_model_parameter(boot: Boot) -> None:
    with pytest.raises(UsageError, match=r"no-such-thing"):
        boot(params={"gpu.no-such-thing": "1"})
    with pytest.raises(UsageError, match=r"trace"):
        boot(params={"gpu.trace": "maybe"})


@pytest.mark.wide
def test_trace_and_seed(boot: Boot) -> None:
    board = boot(params={"trace": "on", "seed": "7"})
    board.close()
    assert (board.console_log.parent / "gpu-trace.json").read_text().startswith("[")


@pytest.mark.wide
def test_failed_boot_leaves_nothing(boot: Boot) -> None:
    def run_dirs() -> set[Path]:
        return {path for path in cache_dir("run").iterdir() if path.name.startswith(f"{os.getpid()}-")}

    before = run_dirs()
    with pytest.raises(BootError):
        boot(boot={"command_line": "rdinit=/nothing"})
    assert run_dirs() == before


CONTROLLER = """
import sys
from pathlib import Path
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.board.emulated.board import EmulatedBoard
from panthorlab.kernel.store import read_record
kernel = read_record(Path(sys.argv[1], "kernel.json"))
board = EmulatedBoard("doomed", EmulatedFile.model_validate({"type": "emulated"}))
booted = board.boot(kernel, log_dir=Path(sys.argv[2]), on_progress=lambda step: print(step, flush=True))
print(booted._parts.qemu.pid, booted._parts.model.process.pid, booted._parts.run_dir, flush=True)
sys.stdin.read()
"""


def test_killed_controller_leaves_no_process(kernel: Kernel, tmp_path: Path, boot: Boot) -> None:
    argv = [sys.executable, "-c", CONTROLLER, str(kernel.path), str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as controller:
        assert controller.stdout is not None
        while not (line := controller.stdout.readline().decode()).split(" ")[0].isdigit():
            assert line, "the controller died by itself"
        qemu, model, run_dir = line.split()
        controller.send_signal(signal.SIGKILL)
        controller.wait(60)
    assert wait_gone([int(qemu), int(model)])
    boot(gpu=None)
    assert not Path(run_dir).exists(), "the next boot sweeps what was left behind"


@pytest.mark.wide
@pytest.mark.parametrize("after", [0.05, 0.2, 0.4])
def test_controller_killed_in_the_middle_of_booting(kernel: Kernel, tmp_path: Path, after: float) -> None:
    argv = [sys.executable, "-c", CONTROLLER, str(kernel.path), str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as controller:
        assert controller.stdout is not None
        assert b"QEMU started" in controller.stdout.readline()
        time.sleep(after)  # which moment it hits is the point
        controller.send_signal(signal.SIGKILL)
        controller.wait(60)
        pid = controller.pid
    deadline = time.monotonic() + 60
    while left := [path for path in Path("/proc").glob("[0-9]*/environ") if _runs_in(path, f"/run/{pid}-")]:
        assert time.monotonic() < deadline, left


def _runs_in(environ: Path, run_dir: str) -> bool:
    try:
        return run_dir in str((environ.parent / "cwd").readlink())
    except OSError:
        return False


def test_kernel_of_another_architecture(kernel: Kernel, tmp_path: Path) -> None:
    board = EmulatedBoard("b", EmulatedFile.model_validate({"type": "emulated"}))
    with pytest.raises(UsageError, match=r"is arm64, the kernel .* is riscv"):
        board.boot(replace(kernel, arch="riscv"), log_dir=tmp_path)


@pytest.mark.wide
def test_two_vcpus(boot: Boot) -> None:
    board = boot(machine={"vcpus": 2, "memory": "512M"})
    assert board.shell.get("/sys/devices/system/cpu/online") == b"0-1\n"
    assert board.facts()["vcpus"] == 2
    assert board.shell.run([f"{board.work_dir}/gpu-job", "--mode", "store"], timeout=60).status == 0


def test_mcu_hang_on_request(boot: Boot) -> None:
    board = boot()
    assert "mcu-hang" in board.injections
    with pytest.raises(UsageError, match="knows no misdeed 'fire'"):
        board.inject("fire")
    board.inject("mcu-hang")
    events = board.console_log.with_name("gpu-events.jsonl")
    assert '"injected"' not in events.read_text(), "it waits for a job, or runtime suspend would be all that meets it"
    job = [f"{board.work_dir}/gpu-job", "--mode", "store"]
    assert board.shell.run(job, timeout=60).status == 1
    assert '"injected"' in events.read_text()
    found = {finding.signature for finding in scan_bytes(board.shell.get("/dev/kmsg"))}
    assert "firmware-error:panthor:csg-update-timeout" in found
    assert board.shell.run(job, timeout=60).status == 0, "the driver resets the GPU and it works again"
    board.check_alive()

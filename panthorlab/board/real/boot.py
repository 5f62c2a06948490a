# SPDX-License-Identifier: GPL-2.0-or-later
"""A real board: acquire it, boot a kernel by one of its methods, verify the kernel's identity, make the GPU ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Final

from panthorlab.board.gpu_events import GpuEvents
from panthorlab.board.identity import read_identity
from panthorlab.board.onboard import programs
from panthorlab.board.real.blame import Cause, cause_on_console, read_boot_id, settle
from panthorlab.board.real.booted import BootedRealBoard
from panthorlab.board.real.command_line import command_line, mark, marked
from panthorlab.board.real.file import RealFile
from panthorlab.board.real.methods.choice import ChosenMethod, choose
from panthorlab.board.real.methods.kexec import check_quiet
from panthorlab.board.real.methods.module_swap import exchange
from panthorlab.board.real.panthor_driver import PanthorDriver
from panthorlab.board.real.parts import Booting, NoServerError, RefusedError, Rig, SecureShell
from panthorlab.board.real.recovery import BoardCondition, forget_crashes, mark_memory
from panthorlab.board.real.rig import open_rig
from panthorlab.board.real.watch import Watch
from panthorlab.board.real.workdir import finds_firmware, overlay_files, require_firmware
from panthorlab.board.steps import StepName, Steps
from panthorlab.errors import BootError, EvidenceError, LabError, PanthorlabError, UsageError
from panthorlab.kernel.model import Kernel

_OWN_PARAMS: Final = frozenset({"seed"})  # meant for emulated GPUs, and harmless elsewhere
_CONNECT_SLICE: Final = 5.0


def boot(
    name: str,
    file: RealFile,
    kernel: Kernel,
    *,
    log_dir: Path,
    overlay: Path | None,
    on_progress: Callable[[str], None],
    method: str,
    fresh: bool,
    steps: Steps,
) -> BootedRealBoard:
    """See `RealBoard.boot`; `check` comes before."""
    files = overlay_files(overlay) if overlay is not None else {}
    log_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        rig = held.enter_context(
            open_rig(name, file, run_dir=log_dir, log_dir=log_dir.resolve(), progress=on_progress, steps=steps)
        )
        watch = Watch(rig.console.log)
        rig.console.listen(watch)
        try:
            booting = Booting(kernel, command_line(file, kernel), fresh=fresh, begins=watch.begin)
            with steps(StepName.METHOD):
                chosen = choose(rig, booting, method=method)
            board = _start(rig, booting, chosen, watch, files)
        except PanthorlabError as error:
            raise _explain(rig, watch, error) from error
        board.hold(held.pop_all())
    return board


def check(name: str, file: RealFile, kernel: Kernel, params: Mapping[str, str]) -> None:
    """Raises UsageError for a kernel that would not find the GPU's firmware, and for parameters of an emulated GPU."""
    if file.emulated_gpu is None and not finds_firmware(kernel):
        raise UsageError(
            f"panthor is built into {kernel.title}: on board {name} it would look for its "
            "firmware before there is a root file system",
            hint="build with `--config panthor-module`, or the firmware in (CONFIG_EXTRA_FIRMWARE)",
        )
    foreign = sorted(set(params) - _OWN_PARAMS)
    if foreign:
        raise UsageError(
            f"board {name} is a real one: it has no parameter `gpu.{foreign[0]}`",
            hint="only emulated boards have; `panthorlab boards` lists them",
        )


def _start(
    rig: Rig, booting: Booting, chosen: ChosenMethod, watch: Watch, overlay: Mapping[Path, str]
) -> BootedRealBoard:
    emulated = rig.file.emulated_gpu
    events = GpuEvents(Path(emulated.events), from_end=True) if emulated else None
    rig.progress(f"boot method {chosen.row.name}{f' ({chosen.note})' if chosen.note else ''}")
    shell = chosen.method.start(rig, booting)
    board = BootedRealBoard(rig, watch, events)
    if shell is None:
        with rig.steps(StepName.SHELL):
            shell = _connect(rig, watch, board.diagnose)
    else:
        shell.ask_why(board.diagnose)
    with ExitStack() as undo:
        undo.callback(shell.close)
        with rig.steps(StepName.KERNEL):
            board.attach(shell, read_boot_id(shell))
            _prove(rig, shell, booting.kernel, exchanged=chosen.row.exchanges)
        _make_ready(board, rig, booting.kernel, watch, shell, swapped=chosen.row.exchanges, overlay=overlay)
        undo.pop_all()
    board.describe(
        {
            "type": "real",
            "board": rig.name,
            "unverified": rig.file.unverified,
            "boot_method": chosen.row.name,
            "why_this_method": chosen.note,
            "provenance": chosen.row.provenance,
            "command_line": booting.command_line,
            "emulated_gpu": emulated is not None,
        }
    )
    rig.progress("GPU probed")
    return board


def _make_ready(
    board: BootedRealBoard,
    rig: Rig,
    kernel: Kernel,
    watch: Watch,
    shell: SecureShell,
    *,
    swapped: bool,
    overlay: Mapping[Path, str],
) -> None:
    """Once the kernel is verified: install the workloads, load the modules, and wait until the GPU has probed."""
    forget_crashes(rig, shell)
    watch.marked = mark_memory(rig, shell, kernel)
    rig.progress("workloads")
    with rig.steps(StepName.WORKLOADS):
        _bring_workloads(rig, shell, kernel, board.work_dir, overlay)
    with rig.steps(StepName.DRIVER):
        driver = PanthorDriver(shell, board.work_dir, rig.file.time_limits.probe)
        if not swapped:
            require_firmware(shell, rig.file.firmware)
            driver.install(kernel)
            exchange(driver, kernel, fresh=True, shim=rig.file.emulated_gpu is not None)
        check_quiet(board.hazards())
        board.log_start = driver.log_start()


def _bring_workloads(rig: Rig, shell: SecureShell, kernel: Kernel, work_dir: str, overlay: Mapping[Path, str]) -> None:
    ours = {path: str(PurePosixPath(work_dir, name)) for name, path in programs(kernel).items()}
    shell.put_files({**ours, **overlay}, timeout=rig.file.time_limits.load)


def _connect(rig: Rig, watch: Watch, why_lost: Callable[[], PanthorlabError]) -> SecureShell:
    """SSH to the kernel under test; fails early if that has panicked or reset the board."""
    limit = rig.file.time_limits.ssh
    deadline = time.monotonic() + limit
    while True:
        try:
            return rig.connect(min(_CONNECT_SLICE, limit), why_lost=why_lost)
        except RefusedError:
            raise
        except LabError as error:
            if watch.panic.panic is not None:
                raise BootError(f"kernel panic: {watch.panic.panic}") from error
            if watch.panic.rebooted is not None:
                raise BootError("the board reset before it could be reached over SSH") from error
            if time.monotonic() > deadline:
                if watch.panic.kernel_started is None:
                    raise
                if isinstance(error, NoServerError) and watch.panic.oops is None and watch.panic.hang is None:
                    raise LabError(
                        f"the kernel runs, but its system starts no SSH server: {error}",
                        hint="does its root file system start one? see the console log",
                    ) from error
                raise BootError(
                    f"the kernel started, but could not be reached over SSH within {limit:g} s: {error}",
                    hint=error.hint,
                ) from error


def _prove(rig: Rig, shell: SecureShell, kernel: Kernel, *, exchanged: bool) -> None:
    """Verify that the running kernel is the requested one before anything else is done. Raises EvidenceError."""
    found = marked(shell.get("/proc/cmdline").decode("utf-8", "replace"))
    if found is None:
        raise EvidenceError(
            f"board {rig.name} runs its known-good kernel, not the one under test",
            hint="does its firmware boot what it is given? see the console log",
        )
    if found != mark(kernel) and not exchanged:
        raise EvidenceError(f"board {rig.name} runs another kernel under test: {found}, wanted {mark(kernel)}")
    runs = read_identity(shell, [])["vmlinux"]
    if runs != kernel.build_id:
        raise EvidenceError(
            f"board {rig.name} runs a kernel with build-id {runs}, built was {kernel.build_id}",
            hint="a stale Image on the TFTP server or the disk?",
        )


def _explain(rig: Rig, watch: Watch, error: PanthorlabError) -> PanthorlabError:
    """The error for a failed boot. A kernel that had control is at fault if the board comes back without it."""
    if watch.panic.kernel_started is None or not isinstance(error, BootError):
        return error
    return settle(rig, cause_on_console(rig, watch) or Cause(error, BoardCondition.HANGS), watch)

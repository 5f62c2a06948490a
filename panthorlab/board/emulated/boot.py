# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot a kernel on an emulated board: unmodified QEMU, with the emulated GPU in a process beside it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from panthorlab import spawn
from panthorlab.board.api import LATE
from panthorlab.board.boardtime import HOST, TimeName
from panthorlab.board.console import Console
from panthorlab.board.emulated import coverage_plugin
from panthorlab.board.emulated.agent import AgentShell
from panthorlab.board.emulated.booted import BootedEmulatedBoard, Parts
from panthorlab.board.emulated.bootorder import Order
from panthorlab.board.emulated.cpus import CpuLease
from panthorlab.board.emulated.exact import plugin, settings
from panthorlab.board.emulated.exact.console import ConsoleAtBeats
from panthorlab.board.emulated.exact.gdb import Device, GdbStop
from panthorlab.board.emulated.exact.plugin import extras
from panthorlab.board.emulated.exact.shell import ExactShell
from panthorlab.board.emulated.exact.time import ExactTime
from panthorlab.board.emulated.exact.wires import CONSOLE, ExactWires
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.board.emulated.frames import Hello
from panthorlab.board.emulated.gpu_model import GpuModel, firmware
from panthorlab.board.emulated.hints import without_hints
from panthorlab.board.emulated.initramfs import build_initramfs
from panthorlab.board.emulated.machine import Wires, detector_words, machine_facts, qemu_arguments, slowness, spin_word
from panthorlab.board.emulated.qemu import Qemu, find_qemu
from panthorlab.board.emulated.qmp import Monitor
from panthorlab.board.exactrecord import MESSAGES
from panthorlab.board.kernel_log import kernel_lines
from panthorlab.board.onboard import programs
from panthorlab.board.steps import StepName, Steps
from panthorlab.errors import BootError, LabError
from panthorlab.gpu.misbehave import MOST_GPUS
from panthorlab.kernel.driver import PANTHOR, WORDS, Driver, driver_of
from panthorlab.kernel.model import Kernel
from panthorlab.paths import cache_dir

RENDER_NODE = "/dev/dri/renderD*"
RENDER_NODES = tuple(f"/dev/dri/renderD{128 + number}" for number in range(MOST_GPUS))
"""Of several GPUs: nothing else on the board has one."""
_PROBE_FAILED = re.compile(rb"probe with driver \S+ failed with error")


def boot(
    name: str,
    file: EmulatedFile,
    kernel: Kernel,
    *,
    log_dir: Path,
    overlay: Path | None,
    params: Mapping[str, str],
    on_progress: Callable[[str], None],
    counts: Path | None,
    time: TimeName,
    steps: Steps,
) -> BootedEmulatedBoard:
    """See `EmulatedBoard.boot`."""
    own = {key.removeprefix("gpu."): value for key, value in params.items()}
    params = {**(file.gpu.params if file.gpu else {}), **own}
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
        with steps(StepName.LOAD):
            qemu = find_qemu(on_progress)
            exact, of_model = settings.split(params)
            why = unusable(file, kernel, qemu) if time == TimeName.EXACT else ""
            if why:
                on_progress(f"the host's time instead of exact time: {why}")
        order = Order(
            name,
            file,
            kernel,
            qemu,
            log_dir.resolve(),
            overlay,
            params,
            of_model,
            counts,
            exact if time == TimeName.EXACT else None,
            why,
        )
        with ExitStack() as undo:
            with steps(StepName.POWER):
                board = _assemble(order, on_progress)
            undo.callback(board.close)
            _bring_up(board, order, driver_of(kernel) if file.gpu else PANTHOR, on_progress, steps)
            undo.pop_all()
    except OSError as error:
        raise LabError(
            f"board {name} could not be started: {error}",
            hint="disk full, or a program missing? `panthorlab doctor` checks",
        ) from error
    return board


def unusable(file: EmulatedFile, kernel: Kernel, qemu: Qemu) -> str:
    """Why this kernel cannot run in exact time on this board; empty if it can."""
    if file.gpu is None:
        return "the board has no GPU, which would lead the time"
    if spin_word(file).encode() not in programs(kernel)["init"].read_bytes():
        return f"kernel {kernel.title} was built with guest programs that do not know it yet: build it again"
    return plugin.unusable(qemu)


def _assemble(order: Order, on_progress: Callable[[str], None]) -> BootedEmulatedBoard:
    """Start model and QEMU. If a step fails, the earlier ones are undone; after the last, the board owns everything."""
    with ExitStack() as made:
        board = _start(order, made, on_progress)
        made.pop_all()
    return board


def _start(order: Order, made: ExitStack, on_progress: Callable[[str], None]) -> BootedEmulatedBoard:
    file, kernel, qemu, log_dir, wanted = order.file, order.kernel, order.qemu, order.log_dir, order.exact
    run_dir = _run_dir()
    made.callback(shutil.rmtree, run_dir, ignore_errors=True)
    lease = CpuLease() if file.machine.pin else None
    if lease:
        made.callback(lease.release)
    cpu = lease.cpu if lease else None
    exact = ExactWires(made) if wanted else None
    pairs = [socket.socketpair() for _ in range(2 if exact else 3)]
    made.callback(_close_all, pairs)
    agent, monitor, *sockets = (ours for ours, _ in pairs)
    ends = [theirs.fileno() for _, theirs in pairs]
    messages = log_dir / MESSAGES if wanted and wanted.record else None
    exact_time = ExactTime(exact.host, agent, messages) if exact else None
    model = _model(order, file.gpu.model, run_dir, cpu, exact, exact_time) if file.gpu else None
    if model:
        made.callback(model.stop, 0.0)
    initrd = _initramfs(order, run_dir)
    if model:
        model.wait_listening()

    at_beats = ConsoleAtBeats(run_dir / CONSOLE) if exact else None
    if at_beats:
        made.callback(at_beats.end)
    wires = Wires(CONSOLE if exact else ends[2], ends[0], ends[1], model.sockets if model else ())
    config = (kernel.path / "config").read_text(errors="replace")
    extra = (*detector_words(config), *([spin_word(file)] if exact else []))
    arguments = _arguments(order, wires, extra, initrd, run_dir, exact)
    ends += exact.of_qemu if exact else []
    qemu_log = log_dir / "qemu.log"
    with qemu_log.open("wb") as log:
        process = spawn.spawn([*qemu.argv, *arguments], cwd=run_dir, stdout=log, stderr=log, cpu=cpu, pass_fds=ends)
    made.callback(spawn.end, process, gently=0)
    for _, theirs in pairs:
        theirs.close()
    if exact:
        exact.hand_over()
    watch = Monitor(monitor)
    if exact_time:
        # The deadlines of a guest in exact time are its own. Whoever watches over the logs sees by this that they come.
        exact_time.alive = qemu_log.touch
    if exact and exact_time and wanted and wanted.stop is not None:
        device = Device(wanted.port, run_dir, kernel.path / "vmlinux")
        gdb = GdbStop(process, watch, device, exact.count, on_progress)
        exact_time.on_stop, exact_time.patient = gdb.stop, gdb.patient
    return BootedEmulatedBoard(
        Parts(
            name=order.name,
            board=file,
            run_dir=run_dir,
            log_dir=log_dir,
            qemu=process,
            qemu_log=qemu_log,
            model=model,
            console=Console(at_beats or sockets[0], log_dir / "console.log"),
            console_at_beats=at_beats,
            monitor=watch,
            close_sockets=lambda: _close_sockets(pairs, exact),
            lease=lease,
            slowness=slowness(config),
            exact=exact_time,
        ),
        lambda why_lost: ExactShell(agent, why_lost, exact_time, watch) if exact_time else AgentShell(agent, why_lost),
        {**machine_facts(file, extra), **order.facts, "host_cpu": cpu},
    )


def _initramfs(order: Order, run_dir: Path) -> Path:
    initrd = run_dir / "initramfs.cpio"
    files = firmware(order.file.gpu.model) if order.file.gpu else {}
    initrd.write_bytes(build_initramfs(order.kernel, firmware=files, overlay=order.overlay))
    return initrd


def _image(order: Order, run_dir: Path) -> Path:
    """What QEMU boots: in exact time, where all CPUs run in one thread, a single one has nobody to yield to."""
    image = order.kernel.image.resolve()
    if not order.exact or order.file.machine.vcpus > 1:
        return image
    own = run_dir / image.name
    symbols, config = ((order.kernel.path / name).read_text(errors="replace") for name in ("System.map", "config"))
    own.write_bytes(without_hints(image.read_bytes(), symbols, config))
    return own


def _arguments(
    order: Order, wires: Wires, extra: Sequence[str], initrd: Path, run_dir: Path, exact: ExactWires | None
) -> list[str]:
    """QEMU's."""
    kernel, wanted = order.kernel, order.exact
    image = _image(order, run_dir)
    found = qemu_arguments(order.file, image=image, initrd=initrd, wires=wires, extra=extra, exact=bool(wanted))
    if exact and wanted:
        more = extras(wanted, order.counts, kernel, run_dir=run_dir, log_dir=order.log_dir)
        return [*found, *exact.qemu_arguments(order.qemu, more)]
    return [*found, *(coverage_plugin.arguments(order.qemu.version, order.counts) if order.counts else [])]


def _model(
    order: Order, name: str, run_dir: Path, cpu: int | None, exact: ExactWires | None, exact_time: ExactTime | None
) -> GpuModel:
    wanted = order.exact
    return GpuModel(
        model=name,
        params=order.of_model,
        run_dir=run_dir,
        log_dir=order.log_dir,
        cpu=cpu,
        count=order.gpus,
        exact=exact.of_model if exact else None,
        now=(exact_time or HOST).now,
        record=wanted is not None and wanted.record,
        orders=wanted is not None and wanted.orders,
        stop=wanted.stop if wanted else None,
    )


def _close_sockets(pairs: list[tuple[socket.socket, socket.socket]], exact: ExactWires | None) -> None:
    _close_all(pairs)
    if exact:
        exact.close()


def _close_all(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    for pair in pairs:
        for end in pair:
            end.close()


def _run_dir() -> Path:
    """A new private directory for sockets and the initramfs. Leftovers of killed controllers are deleted."""
    base = cache_dir("run")
    for old in base.iterdir():
        pid = old.name.partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(old, ignore_errors=True)
    path = base / f"{os.getpid()}-{secrets.token_hex(4)}"
    path.mkdir(mode=0o700)
    return path


def _bring_up(
    board: BootedEmulatedBoard, order: Order, driver: Driver, on_progress: Callable[[str], None], steps: Steps
) -> None:
    """Wait until the started board accepts commands and its GPUs have probed, each step with its own deadline."""
    limits = order.file.time_limits
    boot, probe, answer = (limit * board.slowness for limit in (limits.boot, limits.probe, limits.answer))
    deadline = board.time.now() + boot
    on_progress("QEMU started")
    with steps.split(StepName.HANDOVER, StepName.SHELL, lambda: _first_line(board)):
        hello = _await_agent(board, boot)
    board.boot_id = hello.boot_id
    done = f"agent answered, {hello.uptime:.2f} s after the guest's start"
    on_progress(done)
    if not order.gpus:
        return
    with steps(StepName.DRIVER):
        _await_modules(board, driver, max(1.0, deadline - board.time.now()) + probe, done)
        on_progress("modules loaded")
        for pattern in RENDER_NODES[: order.gpus] if order.gpus > 1 else (RENDER_NODE,):
            _await_render_node(board, driver, pattern, probe, answer)
    on_progress("GPU probed")


def _first_line(board: BootedEmulatedBoard) -> float | None:
    """When the kernel's first console output came (CLOCK_MONOTONIC)."""
    line = board.console.wait_for(lambda _line: True, 0)
    return line.time if line else None


def _await_agent(board: BootedEmulatedBoard, limit: float) -> Hello:
    hello = board.shell.wait_hello(limit)
    if hello is None:
        done = "the kernel printed its first line" if board.console.tail() else "QEMU started"
        if board.console.wait_for(lambda line: b"panthorlab-init: started" in line.text, 0):
            done = "init started"
        raise board.silence(f"took no commands {limit:g} s after QEMU's start; the last step done: {done}")
    return hello


def _await_modules(board: BootedEmulatedBoard, driver: Driver, limit: float, done: str) -> None:
    try:
        status, complaints = board.shell.wait_loader(limit)
    except LabError as error:
        raise board.silence(f"loads its modules for longer than {limit:g} s; the last step done: {done}") from error
    if status:
        raise _probe_error(board, driver, f"a module could not be loaded: {complaints.strip() or f'status {status}'}")


def _await_render_node(board: BootedEmulatedBoard, driver: Driver, pattern: str, probe: float, answer: float) -> None:
    deadline = board.time.now() + probe
    while board.shell.run(["/init", "wait", pattern, "1"], timeout=1 + answer).status:
        if board.console.wait_for(lambda line: bool(_PROBE_FAILED.search(line.text)), 0):
            raise _probe_error(board, driver, f"{driver.name} failed to probe")
        if board.time.now() > deadline:
            raise _probe_error(board, driver, f"{driver.name} made no {pattern} within {probe:g} s")


def _probe_error(board: BootedEmulatedBoard, driver: Driver, what: str) -> BootError | LabError:
    """BootError, or LabError if the model reported that it does not support what the driver asked of it."""
    log = "\n".join(kernel_lines(board.shell.get("/dev/kmsg"), WORDS)[-40:])
    if hazards := [hazard for hazard in board.hazards() if hazard.kind != LATE]:
        spoilt = "\n".join(f"{hazard.kind}: {hazard.text}" for hazard in hazards[:10])
        return LabError(f"board {board.name}: {what}, and the GPU model says:\n{spoilt}\n{log}")
    return BootError(f"board {board.name}: {what}\n{log or f'no word of {driver.name} in the kernel log'}")

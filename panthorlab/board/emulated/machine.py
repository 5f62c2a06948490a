# SPDX-License-Identifier: GPL-2.0-or-later
"""What QEMU is told: the machine and the kernel's command line. Pure functions of the board file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab.arch import ARCHES
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.board.emulated.frames import PORT_NAME

# A model that is stopped in a debugger, or a host that stalls, must not cost the connection: QEMU gives a read up
# after this, and the vfio-user connection is then dead for good.
VFIO_TIMEOUT_MS = 60_000
DEBUG_OPTIONS = frozenset({"CONFIG_KASAN=y", "CONFIG_PROVE_LOCKING=y"})
DEBUG_SLOWNESS = 6.0
SHIFT = 3


@dataclass(frozen=True)
class Wires:
    """How QEMU is connected: file descriptors of stream sockets, and the GPU's socket by name in QEMU's directory.
    `console_copy`: where QEMU keeps a copy of the console, by name in that directory; for exact time alone."""

    console: int
    agent: int
    monitor: int
    gpu_socket: str | None
    console_copy: str | None = None


def detector_words(config: str) -> tuple[str, ...]:
    """What a kernel with this `.config` must be told for its detectors to go on after their first report."""
    return ("kasan_multi_shot",) if "CONFIG_KASAN=y" in config.splitlines() else ()


def slowness(config: str) -> float:
    """How many times longer everything may take on a kernel with this `.config`: with KASAN and lockdep its boot
    takes six times as long."""
    return DEBUG_SLOWNESS if DEBUG_OPTIONS & set(config.splitlines()) else 1.0


EXACT: Final = (
    # an instruction is 8 ns of the guest's time, which passes by nothing else; all chance is from a seed
    *("-icount", f"shift={SHIFT},align=off,sleep=off", "-seed", "1", "-rtc", "base=2026-01-01,clock=vm"),
)
SPIN: Final = "panthorlab.spin"
"""Word of the kernel's command line: init keeps the CPU busy in what would be idle time. A CPU that waits for an
interrupt executes nothing, and QEMU's time would jump over the GPU's events to its own next one."""


def command_line(board: EmulatedFile, extra: Sequence[str] = ()) -> str:
    """The kernel command line, with the words of this kernel.

    `earlycon`: a kernel that dies before its console is up still says why. `printk.devkmsg=on`: markers are not
    rate-limited. `panic=-1`: a panicked guest ends QEMU (-no-reboot) once its splat is out; an oops does not.
    """
    console = ARCHES[board.arch].console
    words = [f"console={console}", "earlycon", "printk.devkmsg=on", f"loglevel={board.boot.log_level}", "panic=-1"]
    return " ".join([*words, *extra, *board.boot.command_line.split()])


def qemu_arguments(
    board: EmulatedFile, *, image: Path, initrd: Path, wires: Wires, extra: Sequence[str] = (), exact: bool = False
) -> list[str]:
    """QEMU's arguments after the program name.

    Guest memory is a shared memfd: without `share=on` the model's DMA silently reads stale data.

    `exact`: nothing of the host's time gets into the guest. Its devices then act while the CPU waits for them
    (`ioeventfd=off`, no posted writes), and there is none that brings chance (virtio-rng).
    """
    machine = board.machine
    copy = f",logfile={wires.console_copy},logappend=off" if wires.console_copy else ""
    arguments = [
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-machine",
        f"{ARCHES[board.arch].qemu_machine},memory-backend=ram",
        "-accel",
        "tcg",
        "-cpu",
        machine.cpu,
        "-smp",
        str(machine.vcpus),
        "-m",
        machine.memory,
        "-object",
        f"memory-backend-memfd,id=ram,size={machine.memory},share=on",
        "-kernel",
        str(image),
        "-initrd",
        str(initrd),
        "-append",
        command_line(board, extra),
        "-chardev",
        f"socket,id=console,fd={wires.console}{copy}",
        "-serial",
        "chardev:console",
        "-chardev",
        f"socket,id=monitor,fd={wires.monitor}",
        "-qmp",
        "chardev:monitor",
        "-device",
        f"virtio-serial-pci,max_ports=2{',ioeventfd=off' if exact else ''}",
        "-chardev",
        f"socket,id=agent,fd={wires.agent}",
        "-device",
        f"virtserialport,chardev=agent,name={PORT_NAME}",
        *(EXACT if exact else ("-device", "virtio-rng-pci")),
    ]
    if wires.gpu_socket is not None:
        device = {
            "driver": "vfio-user-pci",
            "socket": {"type": "unix", "path": wires.gpu_socket},
            "x-msg-timeout": VFIO_TIMEOUT_MS,
            **({"x-no-posted-writes": True} if exact else {}),
        }
        arguments += ["-device", json.dumps(device)]
    return arguments


def machine_facts(board: EmulatedFile, extra: Sequence[str] = ()) -> dict[str, object]:
    """What must be equal on both sides of a comparison, for the report."""
    return {
        "type": board.type,
        "cpu": board.machine.cpu,
        "vcpus": board.machine.vcpus,
        "memory": board.machine.memory,
        "command_line": command_line(board, extra),
        "gpu_model": board.gpu.model if board.gpu else None,
    }

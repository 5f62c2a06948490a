# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's arguments: the machine and the kernel's command line. Pure functions of the board file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab.arch import ARCHES
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.board.emulated.frames import PORT_NAME

# After this time QEMU gives up a read, and the vfio-user connection is dead for good: long enough for a model that is
# stopped in a debugger, or a host that stalls.
VFIO_TIMEOUT_MS = 60_000
DEBUG_OPTIONS = frozenset({"CONFIG_KASAN=y", "CONFIG_PROVE_LOCKING=y"})
DEBUG_SLOWNESS = 6.0
SHIFT = 3


@dataclass(frozen=True)
class Wires:
    """QEMU's connections: file descriptors of stream sockets, and the names of the GPUs' sockets in QEMU's directory.
    `console`: a descriptor, or in exact time the name of a file in that directory."""

    console: int | str
    agent: int
    monitor: int
    gpu_sockets: Sequence[str]


def detector_words(config: str) -> tuple[str, ...]:
    """Kernel parameters by which the detectors of a kernel with this `.config` continue after their first report."""
    return ("kasan_multi_shot",) if "CONFIG_KASAN=y" in config.splitlines() else ()


def slowness(config: str) -> float:
    """Factor by which everything may take longer on a kernel with this `.config`: with KASAN and lockdep, a boot takes
    six times as long."""
    return DEBUG_SLOWNESS if DEBUG_OPTIONS & set(config.splitlines()) else 1.0


EXACT: Final = (
    # guest time advances by 8 ns per instruction and by nothing else; all randomness comes from a seed
    *("-icount", f"shift={SHIFT},align=off,sleep=off", "-seed", "1", "-rtc", "base=2026-01-01,clock=vm"),
)
_SPIN: Final = "panthorlab.spin"
_SPIN_EACH: Final = "panthorlab.spin=each"


def spin_word(board: EmulatedFile) -> str:
    """Kernel parameter: init keeps every CPU busy during idle time. A CPU that waits for an interrupt executes nothing,
    and QEMU's clock would jump over the GPU's events to QEMU's own next one."""
    return _SPIN_EACH if board.machine.vcpus > 1 else _SPIN


def command_line(board: EmulatedFile, extra: Sequence[str] = ()) -> str:
    """The kernel command line, with `extra` parameters of this kernel.

    `earlycon`: a kernel that dies before its console is up still prints the reason. `printk.devkmsg=on`: markers are
    not rate-limited. `panic=-1`: a panic ends QEMU (-no-reboot) once the splat is printed; an oops does not.
    `init_on_free=1`: freed memory is zeroed, so that its use after that is told by an oops or a reference count of 0
    more often than without, where it goes well as long as nobody else was given that memory.
    """
    console = ARCHES[board.arch].console
    words = [f"console={console}", "earlycon", "printk.devkmsg=on", f"loglevel={board.boot.log_level}", "panic=-1",
             "init_on_free=1"]  # fmt: skip
    return " ".join([*words, *extra, *board.boot.command_line.split()])


def qemu_arguments(
    board: EmulatedFile, *, image: Path, initrd: Path, wires: Wires, extra: Sequence[str] = (), exact: bool = False
) -> list[str]:
    """QEMU's arguments after the program name.

    Guest memory is a shared memfd: without `share=on` the model's DMA silently reads stale data.

    `exact`: the guest gets nothing from the host's clock. Its devices act synchronously while the CPU waits for them
    (`ioeventfd=off`, no posted writes), and there is no source of randomness (virtio-rng).
    """
    machine = board.machine
    console = f"socket,id=console,fd={wires.console}"
    if isinstance(wires.console, str):
        console = f"file,id=console,path={wires.console}"
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
        console,
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
    for path in wires.gpu_sockets:
        arguments += ["-device", json.dumps(_gpu(path, exact=exact))]
    return arguments


def _gpu(path: str, *, exact: bool) -> dict[str, object]:
    """The device that is the model behind the socket at `path`."""
    return {
        "driver": "vfio-user-pci",
        "socket": {"type": "unix", "path": path},
        "x-msg-timeout": VFIO_TIMEOUT_MS,
        **({"x-no-posted-writes": True} if exact else {}),
    }


def machine_facts(board: EmulatedFile, extra: Sequence[str] = ()) -> dict[str, object]:
    """For the report: facts that must be equal on both sides of a comparison."""
    return {
        "type": board.type,
        "cpu": board.machine.cpu,
        "vcpus": board.machine.vcpus,
        "memory": board.machine.memory,
        "command_line": command_line(board, extra),
        "gpu_model": board.gpu.model if board.gpu else None,
    }

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the virtual board is made of: QEMU's arguments, and a device tree that reserves memory for ramoops."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from panthorlab.board.emulated.gpu_model import SOCKET
from panthorlab.board.emulated.machine import VFIO_TIMEOUT_MS
from panthorlab.board.emulated.qemu import Qemu
from panthorlab.errors import LabError

MEMORY = "1G"
MAC = "52:54:00:12:34:56"  # also `ethaddr` of uboot.env: U-Boot would take another, and the network believes it
UART, MONITOR = "uart.sock", "monitor.sock"
DEVICE_TREE = "board.dtb"
_TIMEOUT = 60.0
# QEMU keeps RAM over a reset, and U-Boot uses only the lowest and the highest of it.
_RESERVED = """
/ {
	reserved-memory {
		#address-cells = <2>;
		#size-cells = <2>;
		ranges;
		ramoops@60000000 {
			compatible = "ramoops";
			reg = <0x0 0x60000000 0x0 0x200000>;
			record-size = <0x40000>;
			console-size = <0x40000>;
		};
	};
};
"""


@dataclass(frozen=True)
class Machine:
    """Files and ports of one board; sockets are names in QEMU's working directory."""

    qemu: Qemu
    disk: Path
    flash: Path
    firmware: Path
    device_tree: Path
    ssh_port: int
    gpu: bool = True
    cpu: str = "cortex-a57"


def _base(machine: Machine) -> list[str]:
    """What the device tree depends on: with firmware, for one, there is no GPIO controller.

    Memory is a shared memfd, or the GPU model's DMA would read stale data.
    """
    return [
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-accel",
        "tcg",
        "-cpu",
        machine.cpu,
        "-smp",
        "1",
        "-m",
        MEMORY,
        "-object",
        f"memory-backend-memfd,id=ram,size={MEMORY},share=on",
        "-bios",
        str(machine.firmware),
        "-drive",
        f"if=pflash,unit=1,format=raw,file={machine.flash}",
    ]


# GICv2: with GICv3, whose tables of pending interrupts nobody keeps for the next kernel, kexec taints it.
_MACHINE = "virt,gic-version=2,memory-backend=ram"


def arguments(machine: Machine) -> list[str]:
    """The whole command. A guest that resets stays: the board has power until the switch says otherwise."""
    argv = [
        *machine.qemu.argv,
        *_base(machine),
        "-machine",
        _MACHINE,
        "-dtb",
        str(machine.device_tree),
        "-drive",
        f"if=none,id=disk,format=raw,file={machine.disk}",
        "-device",
        "virtio-blk-pci,drive=disk",
        "-netdev",
        f"user,id=net,ipv6=off,hostfwd=tcp:127.0.0.1:{machine.ssh_port}-:22",
        "-device",
        f"virtio-net-pci,netdev=net,romfile=,mac={MAC}",
        "-device",
        "virtio-rng-pci",
        "-device",
        "i6300esb",
        "-chardev",
        f"socket,id=uart,path={UART},server=on,wait=on,telnet=on",
        "-serial",
        "chardev:uart",
        "-chardev",
        f"socket,id=monitor,path={MONITOR},server=on,wait=off",
        "-qmp",
        "chardev:monitor",
    ]
    if machine.gpu:
        device = {
            "driver": "vfio-user-pci",
            "socket": {"type": "unix", "path": SOCKET},
            "x-msg-timeout": VFIO_TIMEOUT_MS,
        }
        argv += ["-device", json.dumps(device)]
    return argv


def write_device_tree(machine: Machine) -> None:
    """QEMU's own device tree of the machine, with the reserved memory. Raises LabError."""
    made = machine.device_tree.with_suffix(".qemu.dtb")
    _run([*machine.qemu.argv, *_base(machine), "-machine", f"{_MACHINE},dumpdtb={made}"])
    source = _run(["dtc", "-q", "-I", "dtb", "-O", "dts", str(made)])
    _run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", str(machine.device_tree), "-"], source + _RESERVED.encode())
    made.unlink()


def _run(argv: list[str], text: bytes = b"") -> bytes:
    try:
        done = subprocess.run(argv, input=text, capture_output=True, timeout=_TIMEOUT, check=False)
    except FileNotFoundError as error:
        raise LabError(f"there is no `{argv[0]}`", hint="scripts/virtual-lab installs what is needed") from error
    if done.returncode:
        raise LabError(f"`{argv[0]}` failed: {done.stderr.decode('utf-8', 'replace').strip()[-500:]}")
    return done.stdout

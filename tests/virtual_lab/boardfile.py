# SPDX-License-Identifier: GPL-2.0-or-later
"""The board file of a virtual board: nothing in it but `emulated_gpu` tells that it is not a real one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import yaml

from panthorlab.board.onboard import FIRMWARE
from tests.virtual_lab import image, services

if TYPE_CHECKING:
    from tests.virtual_lab.lab import Lab, Position

LOCALHOST = "127.0.0.1"


def text(lab: Lab, position: Position, *, pdudaemon_port: int) -> str:
    """Power by the relay's plain HTTP; `other` switches and consoles of the same board are in the comments."""
    board = position.board
    relay = f"http://{LOCALHOST}:{lab.relay.port}/{position.outlet}"
    others = {
        "tasmota": {"driver": "tasmota", "host": LOCALHOST, "port": lab.relay.port, "relay": position.outlet},
        "pdudaemon": {
            "driver": "pdudaemon",
            "host": LOCALHOST,
            "port": pdudaemon_port,
            "pdu": services.PDU,
            "pdu_port": position.outlet,
        },
    }
    consoles = {
        "tcp": {"transport": "tcp", "host": LOCALHOST, "port": position.tcp_port},
        "tty": {"transport": "tty", "device": str(board.uart.tty)},
    }
    data: dict[str, Any] = {
        "type": "real",
        "description": f"Virtual lab: QEMU with U-Boot and an emulated Mali-G610, outlet {position.outlet}",
        "tags": ["virtual"],
        "kernel_configs": ["qemu-virt", "panthor-module", "virtual-rk"],
        "known_good": lab.kernel.release,
        "console": {"transport": "telnet", "host": LOCALHOST, "port": position.telnet_port},
        "power": {
            "driver": "http",
            "on_url": f"{relay}/on",
            "off_url": f"{relay}/off",
            "state_url": f"{relay}/state",
            "state_on": "^on$",
            "off_time": 0.2,
            "settle": 0.1,
        },
        "ssh": {"host": LOCALHOST, "port": position.ssh_port, "key_file": str(position.keys.user_file)},
        "boot": {
            "methods": ["uboot-tftp", "extlinux", "kexec", "module-swap"]
            if lab.tftp
            else ["extlinux", "kexec", "module-swap"],
            "console": image.CONSOLE,
            "root": image.ROOT,
            "uboot": {
                "kernel_address": "0x40400000",
                "fdt_address": "0x40000000",
                "fdt": "firmware",
                "network": "dhcp",
            },
            "extlinux": {"fallback": "bootcount"},
        },
        "firmware": {"path": FIRMWARE, "source": "panthorlab gpu firmware"},
        "recovery": {"sysrq": "break", "ramoops": True, "reset": [sys.executable, services.SWITCH, f"{relay}/reset"]},
        "emulated_gpu": {"events": str(board.folder / "gpu-events.jsonl"), "log": str(board.folder / "gpu.log")},
    }
    if lab.tftp:
        data["boot"]["tftp"] = {"root": str(lab.folder / "tftp"), "server": lab.tftp_address}
    alternatives = yaml.safe_dump({"power": others, "console": consoles}, sort_keys=False)
    return (
        yaml.safe_dump(data, sort_keys=False, width=120)
        + "\n# The same board by other ways:\n"
        + "".join(f"# {line}\n" for line in alternatives.splitlines())
    )

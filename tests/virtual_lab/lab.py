# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole lab: boards, the relay and pdudaemon that switch them, ser2net on their serial lines, a TFTP server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from panthorlab.board.emulated.qemu import find_qemu
from panthorlab.board.real.ssh import hostkeys
from panthorlab.kernel.model import Kernel
from panthorlab.paths import cache_dir
from tests.virtual_lab import boardfile, image, qemu, services, uboot
from tests.virtual_lab.board import VirtualBoard
from tests.virtual_lab.keys import Keys
from tests.virtual_lab.relay import Relay
from tests.virtual_lab.services import Service

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Position:
    """A board at its place in the lab: its outlet of the relay, its console server, its file."""

    board: VirtualBoard
    outlet: int
    console: Service
    telnet_port: int
    tcp_port: int
    ssh_port: int
    keys: Keys
    file: Path


class Lab:
    """`folder`: all its files; board files in `folder/board_configs`, panthorlab's state in `folder/state`."""

    def __init__(self, folder: Path, kernel: Kernel, boards: int, on_progress: Progress) -> None:
        self.folder, self.kernel = folder, kernel
        with ExitStack() as made:
            self._build(boards, made, on_progress)
            self._made = made.pop_all()

    def _build(self, boards: int, made: ExitStack, on_progress: Progress) -> None:
        for name in ("board_configs", "tftp", "state"):  # anew, as the boards are: no quarantine of their forebears
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()
        (self.folder / "state").chmod(0o700)
        ports = [services.free_port() for _ in range(3 * boards + 1)]
        rigs = []
        for number in range(1, boards + 1):
            board, keys = self._make_board(number, ports[number], on_progress)
            made.callback(board.close)
            rigs.append((board, keys, ports[number], services.free_port(), services.free_port()))
        self.relay = Relay([board for board, *_ in rigs])
        made.callback(self.relay.close)
        self.pdudaemon = services.pdudaemon(self.folder, ports[0], self.relay.port)
        self._start(self.pdudaemon, made)
        self.tftp: Service | None = None
        self.tftp_address = ""
        if services.may_serve_tftp():
            self.tftp_address = made.enter_context(services.tftp_address())
            self.tftp = services.tftp(self.folder, self.folder / "tftp", self.tftp_address, on_progress)
            self._start(self.tftp, made)
        else:
            on_progress("no TFTP: this user may not have port 69 (sysctl net.ipv4.ip_unprivileged_port_start=69)")
        self.positions: list[Position] = []
        for outlet, (board, keys, ssh_port, telnet_port, tcp_port) in enumerate(rigs, start=1):
            console = services.ser2net(board.folder, board.uart, telnet_port, tcp_port)
            self._start(console, made)
            file = self.folder / "board_configs" / f"{board.name}.yaml"
            position = Position(board, outlet, console, telnet_port, tcp_port, ssh_port, keys, file)
            file.write_text(boardfile.text(self, position, pdudaemon_port=ports[0]))
            hostkeys.pin(self.folder / "state", board.name, [keys.host_key()])  # who made the key need not ask
            self.positions.append(position)

    def _make_board(self, number: int, ssh_port: int, on_progress: Progress) -> tuple[VirtualBoard, Keys]:
        name = "virtual-rk" if number == 1 else f"virtual-rk-{number}"
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        keys = Keys(cache_dir("virtual-lab", "keys"), name)
        on_progress(f"making the disk of {name}")
        disk = folder / "disk.img"
        image.build_disk(disk, self.kernel, keys, name, on_progress)
        uboot.write_flash(folder / "flash.img")
        machine = qemu.Machine(
            find_qemu(on_progress),
            disk,
            folder / "flash.img",
            uboot.binary(on_progress),
            folder / qemu.DEVICE_TREE,
            ssh_port,
        )
        qemu.write_device_tree(machine)
        return VirtualBoard(name, folder, machine), keys

    @staticmethod
    def _start(service: Service, made: ExitStack) -> None:
        made.callback(service.stop)
        service.start()

    def facts(self) -> dict[str, object]:
        """What a client of the lab needs to know, for lab.json."""
        return {
            "kernel": self.kernel.key,
            "relay": self.relay.port,
            "tftp": self.tftp_address,
            "boards": {
                position.board.name: {
                    "file": str(position.file),
                    "outlet": position.outlet,
                    "ssh_port": position.ssh_port,
                    "telnet_port": position.telnet_port,
                    "tcp_port": position.tcp_port,
                    "tty": str(position.board.uart.tty),
                    "folder": str(position.board.folder),
                    "host_key": position.keys.known_host(),
                    "key_file": str(position.keys.user_file),
                }
                for position in self.positions
            },
        }

    def close(self) -> None:
        """Everything off and gone, in the opposite order of its making."""
        self._made.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def dump(facts: dict[str, object]) -> str:
    return json.dumps(facts, indent=1) + "\n"

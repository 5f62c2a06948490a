# SPDX-License-Identifier: GPL-2.0-or-later
"""The few packets of gdb's remote serial protocol that a test needs to ask QEMU's stub where an arm64 guest is."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

PC = 32
"""Number of the register, of which each below it has eight bytes (org.gnu.gdb.aarch64.core)."""


class Remote:
    """A debugger that has just connected, which stops the guest."""

    def __init__(self, path: str) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(60)
        self._sock.connect(path)
        self._data = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()

    def ask(self, packet: str) -> str:
        """Send a packet, and give the answer to it."""
        self._sock.sendall(f"${packet}#{sum(packet.encode()) % 256:02x}".encode())
        while (end := self._data.find(b"#")) < 0 or len(self._data) < end + 3:
            data = self._sock.recv(4096)
            assert data, "QEMU has hung up"
            self._data += data
        begin = self._data.index(b"$") + 1
        answer, self._data = self._data[begin:end].decode(), self._data[end + 3 :]
        self._sock.sendall(b"+")
        return answer

    def pc(self) -> int:
        """Address of the next instruction."""
        registers = bytes.fromhex(self.ask("g"))
        return int.from_bytes(registers[8 * PC : 8 * PC + 8], "little")

    def memory(self, address: int, size: int) -> bytes:
        """Memory at a virtual address."""
        return bytes.fromhex(self.ask(f"m{address:x},{size:x}"))

    def detach(self) -> None:
        """Let the guest go on."""
        assert self.ask("D") == "OK"

# SPDX-License-Identifier: GPL-2.0-or-later
"""The connections of QEMU, the GPU model and this process in exact time: a page that two of them share, two sockets."""

from __future__ import annotations

import mmap
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from panthorlab.board.emulated.exact.plugin import Extras, arguments
from panthorlab.board.emulated.qemu import Qemu
from panthorlab.gpu.exact.wire import COUNT_BYTES, PAGE, Ends

CONSOLE: Final = "console.raw"
"""File in QEMU's directory with the console's output, written before the guest continues."""
MODEL_GONE: Final = 99
"""QEMU's exit status when the plugin finds that the model has gone (`GONE` in plugin.c)."""


class ExactWires:
    """File descriptors of one boot. `host`: our end of the socket with the model's beats."""

    def __init__(self, made: ExitStack) -> None:
        self._page = os.memfd_create("exact", os.MFD_CLOEXEC)
        self._lent = ExitStack()
        self._lent.callback(os.close, self._page)
        os.ftruncate(self._page, PAGE)
        self._view = mmap.mmap(self._page, PAGE, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
        self._cpu, self._model = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.host, self._beats = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for sock in (self._cpu, self._model, self._beats):
            self._lent.enter_context(sock)
        made.callback(self.close)

    @property
    def of_model(self) -> Ends:
        """Descriptors that the model inherits."""
        return Ends(self._page, self._model.fileno(), self._beats.fileno())

    @property
    def of_qemu(self) -> Sequence[int]:
        """Descriptors that QEMU inherits."""
        return self._page, self._cpu.fileno()

    def qemu_arguments(self, qemu: Qemu, extras: Extras) -> list[str]:
        """QEMU's arguments for the plugin, with its descriptors."""
        return arguments(qemu, page=self._page, sync=self._cpu.fileno(), extras=extras)

    def count(self) -> int:
        """Instructions up to the end of the CPU's current block, also while it runs."""
        return int.from_bytes(self._view[COUNT_BYTES], "little")

    def hand_over(self) -> None:
        """Close our copies once both have inherited theirs, so that each process notices when another ends."""
        self._lent.close()

    def close(self) -> None:
        self._lent.close()
        self._view.close()
        self.host.close()

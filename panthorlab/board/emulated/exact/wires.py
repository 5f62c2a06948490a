# SPDX-License-Identifier: GPL-2.0-or-later
"""What connects QEMU, the GPU model and us in exact time: a page that two of them share, and two sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from panthorlab.board.emulated.exact.plugin import arguments
from panthorlab.board.emulated.qemu import Qemu
from panthorlab.gpu.exact.wire import PAGE, Ends

CONSOLE: Final = "console.raw"
"""In QEMU's directory: all of the console, written before the guest goes on. What we read comes a little later."""


class ExactWires:
    """Descriptors of one boot. `host`: our end of the model's beats."""

    def __init__(self, made: ExitStack) -> None:
        self._page = os.memfd_create("exact", os.MFD_CLOEXEC)
        self._lent = ExitStack()
        self._lent.callback(os.close, self._page)
        os.ftruncate(self._page, PAGE)
        self._cpu, self._model = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.host, self._beats = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for sock in (self._cpu, self._model, self._beats):
            self._lent.enter_context(sock)
        made.callback(self.close)

    @property
    def of_model(self) -> Ends:
        """What the model inherits."""
        return Ends(self._page, self._model.fileno(), self._beats.fileno())

    @property
    def of_qemu(self) -> Sequence[int]:
        """What QEMU inherits."""
        return self._page, self._cpu.fileno()

    def qemu_arguments(self, qemu: Qemu, *, blocks: bool) -> list[str]:
        """The plugin, with its descriptors."""
        return arguments(qemu.version, page=self._page, sync=self._cpu.fileno(), blocks=blocks)

    def hand_over(self) -> None:
        """Both have inherited theirs: when one of them ends, the others hear of it."""
        self._lent.close()

    def close(self) -> None:
        self._lent.close()
        self.host.close()

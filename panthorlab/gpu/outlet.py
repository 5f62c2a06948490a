# SPDX-License-Identifier: GPL-2.0-or-later
"""One GPU at its socket: from listening for its client to the counters at the end."""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable
from pathlib import Path

from panthorlab.gpu.device import GpuDevice
from panthorlab.gpu.events import Reporter
from panthorlab.gpu.exact.device import ExactGpu
from panthorlab.gpu.exact.loop import ExactLoop
from panthorlab.gpu.loop import Loop
from panthorlab.gpu.starved import RunDelay, peer_pid
from panthorlab.gpu.vfio.server import Server


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`; replaces a stale one left by a dead server. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
    except OSError:
        if not _is_stale(path):
            listener.close()
            raise
        path.unlink()
        listener.bind(str(path))
    listener.listen(1)
    return listener


def _is_stale(path: Path) -> bool:
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


class Outlet:
    """Serves `gpu` to the first client that connects to `path`. Calls `on_close` once, when that has gone."""

    def __init__(
        self, path: Path, gpu: GpuDevice, reporter: Reporter, loop: Loop, on_close: Callable[[], None]
    ) -> None:
        self.path, self.gpu, self.reporter = path, gpu, reporter
        self._loop, self._on_close = loop, on_close
        self._listener: socket.socket | None = None
        self._server: Server | None = None

    def listen(self) -> None:
        """Raises OSError."""
        self._listener = listen(self.path)
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        assert self._listener is not None  # noqa: S101 - it has a reader
        connection, _ = self._listener.accept()
        self._loop.remove_reader(self._listener.fileno())
        self._server = Server(connection, self.gpu, self.reporter, self._on_close)
        if isinstance(self.gpu, ExactGpu) and isinstance(self._loop, ExactLoop):
            self.gpu.round_trip = self._server.round_trip
            self._server.arrive, self._server.leave = self._loop.arrive, self._loop.leave
        else:
            self.gpu.chip.guest_waited = RunDelay(peer_pid(connection)).seconds
        self._loop.add_reader(connection.fileno(), self._server.readable)

    def reproducer(self) -> str:
        """What the client has asked for last, as text; empty if there is none."""
        return self._server.reproducer() if self._server is not None else ""

    def close(self) -> None:
        """Release everything, and write the counters."""
        if self._listener is not None:
            self.path.unlink(missing_ok=True)
            self._listener.close()
        if self._server is not None:
            self._server.close()
        self.gpu.mcu.stop()
        self.reporter.summary({"interrupts": {irq.name: irq.raised for irq in self.gpu.irqs}})

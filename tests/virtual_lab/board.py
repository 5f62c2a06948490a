# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtual board itself: with power it is a QEMU and a GPU model on one CPU, without power it is nothing."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from panthorlab import spawn
from panthorlab.board.emulated.cpus import CpuLease
from panthorlab.board.emulated.gpu_model import GpuModel
from panthorlab.errors import LabError
from tests.virtual_lab import qemu
from tests.virtual_lab.uart import Uart
from tests.virtual_lab.unix import short_path

_START_TIMEOUT = 60.0
_SLICE = 0.05  # seconds: short enough that a slow board is slow, not stuttering


class VirtualBoard:
    """`folder`: its directory, private to it. Thread-safe: switches are pressed by many hands."""

    def __init__(self, name: str, folder: Path, machine: qemu.Machine) -> None:
        self.name, self.folder = name, folder
        self._machine = machine
        self.uart = Uart(folder / "tty")
        self._lock = threading.RLock()
        self._lease = CpuLease()
        self._process: subprocess.Popen[bytes] | None = None
        self._model: GpuModel | None = None
        self.power_ons = 0
        self._slowness = 1.0
        self._broken = False
        self._plugged = True
        self._brake: threading.Thread | None = None

    @property
    def cpu(self) -> int:
        """The host CPU that the board has to itself."""
        return self._lease.cpu

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """QEMU, if there is power."""
        return self._process

    def has_power(self) -> bool:
        with self._lock:
            return self._process is not None and self._process.poll() is None

    def power_on(self) -> None:
        """Nothing if it is on. Raises LabError if QEMU or the model do not start."""
        with self._lock:
            if self.has_power():
                return
            self.power_off()
            self.power_ons += 1
            try:
                self._start()
            except BaseException:
                self.power_off()
                raise

    def power_off(self) -> None:
        """At once, as when the plug is pulled."""
        with self._lock:
            if self._process is not None:
                spawn.end(self._process, gently=0)
                self._process = None
            if self._model is not None:
                self._model.stop(0.0)
                self._model = None

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP: the board hangs so hard that not even a reset gets through; SIGCONT: it goes on."""
        with self._lock:
            if self._process is not None:
                self._process.send_signal(number)

    def reset(self) -> None:
        """The reset line: RAM keeps its contents."""
        self._qmp({"execute": "system_reset"})

    def plug(self, *, plugged: bool) -> None:
        """The network cable: pulled, it stays so whatever becomes of the power."""
        with self._lock:
            self._plugged = plugged
            if self.has_power():
                self._qmp({"execute": "set_link", "arguments": {"name": "net", "up": plugged}})

    def break_down(self, *, broken: bool) -> None:
        """For good: it hangs as soon as it gets power, until it is mended."""
        with self._lock:
            self._broken = broken
            self.signal(signal.SIGSTOP if broken else signal.SIGCONT)

    def _qmp(self, command: dict[str, object]) -> None:
        if self._process is None:
            raise LabError(f"{self.name} has no power")
        with self._lock, self._connect(self._process, qemu.MONITOR) as connection, connection.makefile("rw") as monitor:
            connection.settimeout(_START_TIMEOUT)
            monitor.readline()  # the greeting
            for each in ({"execute": "qmp_capabilities"}, command):
                monitor.write(json.dumps(each) + "\n")
                monitor.flush()
                while "return" not in (answer := json.loads(monitor.readline())):
                    if "error" in answer:
                        raise LabError(f"{self.name}: QEMU refuses {each['execute']}: {answer['error']}")

    def slow_down(self, factor: float) -> None:
        """From now on the board, when it has power, gets one `factor`-th of its CPU's time; 1 is full speed."""
        self._slowness = factor
        if factor <= 1 and self._brake is not None:
            self._brake.join()
            self._brake = None
        if factor > 1 and self._brake is None:
            self._brake = threading.Thread(target=self._keep_slow, name=f"brake of {self.name}", daemon=True)
            self._brake.start()

    def _keep_slow(self) -> None:
        while (factor := self._slowness) > 1:
            self.signal(signal.SIGSTOP)
            time.sleep(_SLICE * (factor - 1) / factor)
            self.signal(signal.SIGCONT)
            time.sleep(_SLICE / factor)

    def close(self) -> None:
        self.slow_down(1)
        self.power_off()
        self.uart.close()
        self._lease.release()

    def _start(self) -> None:
        for name in (qemu.UART, qemu.MONITOR):
            (self.folder / name).unlink(missing_ok=True)
        self._model = GpuModel(model="g610", params={}, run_dir=self.folder, log_dir=self.folder, cpu=self.cpu)
        self._model.wait_listening()
        with (self.folder / "qemu.log").open("ab") as log:
            self._process = spawn.spawn(
                qemu.arguments(self._machine), cwd=self.folder, stdout=log, stderr=log, cpu=self.cpu
            )
        # QEMU waits for that before the first instruction: no byte is missed.
        self.uart.attach(self._connect(self._process, qemu.UART))
        if not self._plugged:
            self.plug(plugged=False)
        if self._broken:
            self.signal(signal.SIGSTOP)

    def _connect(self, process: subprocess.Popen[bytes], name: str) -> socket.socket:
        """To one of QEMU's sockets, which are there only a moment after its start."""
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                return self._socket(name)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    end = (self.folder / "qemu.log").read_text(errors="replace")[-1000:]
                    raise LabError(f"{self.name}: QEMU did not start: {end.strip()}") from error
            time.sleep(0.01)

    def _socket(self, name: str) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            with short_path(self.folder, name) as path:
                connection.connect(path)
        except OSError:
            connection.close()
            raise
        return connection

# SPDX-License-Identifier: GPL-2.0-or-later
"""Stop a guest in exact time at one instruction, and let gdb have it.

The model holds the CPU before the block at whose end the wanted count is reached. QEMU is asked to pause while the CPU
is held, and does when that block has run: it looks whether it is to pause at the beginning of each block, before the
plugin counts it. So the guest stops before the next block, and all that has happened is what happens without gdb.
QEMU does not answer before it has paused, so nothing says that it has heard: but then all its threads sleep, and go on
sleeping.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab.board.calls import UNSTOPPED, WAITING
from panthorlab.board.emulated.qmp import Monitor
from panthorlab.errors import LabError

PROGRAM: Final = "gdb-multiarch"
SOCKET: Final = "gdb.sock"
_READY: Final = "Waiting for gdb connection"
_SAY_SECONDS: Final = 30.0
_QUIET_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.2
_SAMPLES: Final = 5


@dataclass(frozen=True)
class Device:
    """Where QEMU waits for gdb. `port`: a TCP port of this machine; 0: a socket in `run_dir`, which is private and
    QEMU's working directory."""

    port: int
    run_dir: Path
    vmlinux: Path

    @property
    def of_qemu(self) -> str:
        where = f"tcp:localhost:{self.port}" if self.port else f"unix:{SOCKET}"
        return f"{where},server=on,wait=off"

    @property
    def command(self) -> str:
        """For the user."""
        where = f"localhost:{self.port}" if self.port else str(self.run_dir / SOCKET)
        return shlex.join([PROGRAM, str(self.vmlinux), "-ex", f"target remote {where}"])


class GdbStop:
    """`count`: gives the guest's count of instructions. `tell`: gets a line for the user."""

    def __init__(
        self,
        qemu: subprocess.Popen[bytes],
        monitor: Monitor,
        device: Device,
        count: Callable[[], int],
        tell: Callable[[str], None],
    ) -> None:
        self._qemu, self._monitor, self._device, self._count, self._tell = qemu, monitor, device, count, tell
        self._stopped, self._say_again = False, 0.0

    def stop(self, go_on: Callable[[], None]) -> None:
        """Stop the CPU, which is held before a block, after this block, and return when gdb has let it go on. `go_on`:
        lets the model free the CPU. Raises LabError."""
        try:
            self._pause(go_on)
        except LabError as error:
            self._tell(f"{UNSTOPPED}{error}")
            raise
        self._stopped = True
        while self._qemu.poll() is None and self._monitor.status(_ANSWER_SECONDS) != "running":
            self.patient()
            time.sleep(_POLL_SECONDS)

    def _pause(self, go_on: Callable[[], None]) -> None:
        held = self._count()
        self._monitor.send("stop")
        _await_quiet(self._qemu.pid)
        go_on()
        self._monitor.receive(_ANSWER_SECONDS)
        if self._count() != held:
            raise LabError(f"QEMU stopped at instruction {self._count()}, not at {held}", hint="try again")
        answer = self._monitor.human(f"gdbserver {self._device.of_qemu}", _ANSWER_SECONDS)
        if not answer.startswith(_READY):
            raise LabError(f"QEMU does not wait for gdb: {answer}", hint="is the port in use?")

    def patient(self) -> bool:
        """Whether gdb may have the guest now. Says so every now and then, that nobody takes us for hung."""
        if self._stopped and time.monotonic() >= self._say_again:
            self._tell(f"{WAITING}{self._device.command}")
            self._say_again = time.monotonic() + _SAY_SECONDS
        return self._stopped


def _await_quiet(pid: int) -> None:
    """Wait until no thread of the process can do anything any more but by being woken from outside. Raises LabError."""
    end = time.monotonic() + _QUIET_SECONDS
    last, same = "", 0
    while same < _SAMPLES:
        now = _threads(pid)
        same = same + 1 if now == last and "R" not in now and "D" not in now else 0
        last = now
        if time.monotonic() > end:
            raise LabError("QEMU does not come to rest", hint="is this machine overloaded?")
        time.sleep(0.01)


def _threads(pid: int) -> str:
    """State and number of context switches of each thread (proc_pid_status(5))."""
    found = []
    for task in sorted(Path("/proc", str(pid), "task").iterdir(), key=lambda path: int(path.name)):
        fields = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        switches = int(fields["voluntary_ctxt_switches"]) + int(fields["nonvoluntary_ctxt_switches"])
        found.append(f"{task.name}{fields['State'][:1]}{switches}")
    return " ".join(found)

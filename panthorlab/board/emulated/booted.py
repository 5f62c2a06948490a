# SPDX-License-Identifier: GPL-2.0-or-later
"""A running emulated board: two processes, three sockets, one watcher, and the diagnosis when it dies."""

from __future__ import annotations

import hashlib
import os
import select
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from panthorlab import spawn
from panthorlab.board.api import Hazard, RunDigest
from panthorlab.board.boardtime import HOST, BoardTime
from panthorlab.board.console import Console, ConsoleLine
from panthorlab.board.emulated.agent import AgentShell
from panthorlab.board.emulated.cpus import CpuLease
from panthorlab.board.emulated.exact.console import ConsoleAtBeats
from panthorlab.board.emulated.exact.time import ExactTime
from panthorlab.board.emulated.exact.wires import CONSOLE, MODEL_GONE
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.board.emulated.gpu_model import GpuModel
from panthorlab.board.emulated.qmp import Monitor
from panthorlab.board.onboard import WORK_DIR
from panthorlab.board.panic import PanicWatcher
from panthorlab.errors import BootError, LabError, PanthorlabError, UsageError
from panthorlab.gpu.misbehave import BY_NAME as MISDEEDS
from panthorlab.gpu.misbehave import parse as parse_rule

AGENT_DIED = b"panthorlab-init: agent ended"
SPLAT_TIME = 5.0
"""Seconds that a panicked guest has to finish printing and reset before it is killed."""
_DIAGNOSIS_TIME = 10.0
_ORDERLY_EXIT_TIME = 10.0


@dataclass
class Parts:
    """The parts of a running board; `boot.py` assembles them."""

    name: str
    board: EmulatedFile
    run_dir: Path
    log_dir: Path
    qemu: subprocess.Popen[bytes]
    qemu_log: Path
    model: GpuModel | None
    console: Console
    monitor: Monitor
    close_sockets: Callable[[], None]
    lease: CpuLease | None
    slowness: float = 1.0
    exact: ExactTime | None = None
    console_at_beats: ConsoleAtBeats | None = None


class BootedEmulatedBoard:
    """See `BootedBoard`. A watcher ends QEMU as soon as the model has died, and a panicked guest once its splat is
    printed; waiters for the shell then get the diagnosis instead of a timeout."""

    def __init__(
        self, parts: Parts, make_shell: Callable[[Callable[[], PanthorlabError]], AgentShell], facts: dict[str, object]
    ) -> None:
        self._parts = parts
        self._facts = facts
        self._boot_id = ""
        self._kernel = PanicWatcher(on_panic=self._panicked)
        self._splat_end: float | None = None
        self._agent_died = False
        self._cause: PanthorlabError | None = None
        self._diagnosed = threading.Event()
        self._closing = threading.Lock()
        self._closed = False
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC)
        parts.console.listen(self._kernel)
        parts.console.listen(self._watch_agent)
        parts.console.start()
        if parts.console_at_beats:
            self.time.before_looking(parts.console_at_beats.settle)
            self.time.before_looking(self._end_splat)
        self._watcher = threading.Thread(target=self._watch, name="board-watcher", daemon=True)
        self._watcher.start()
        self._shell = make_shell(self.diagnose)

    # -- BootedBoard ------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._parts.name

    @property
    def shell(self) -> AgentShell:
        return self._shell

    @property
    def time(self) -> BoardTime:
        return self._parts.exact or HOST

    def digest(self) -> RunDigest | None:
        exact, model = self._parts.exact, self._parts.model
        if exact is None or model is None:
            return None
        count, blocks, accesses = model.digest()
        total = hashlib.sha256(f"{count} {accesses} {exact.hexdigest()} ".encode())
        total.update((self._parts.run_dir / CONSOLE).read_bytes())
        return RunDigest(total.hexdigest(), count, blocks, model.unreached())

    @property
    def boot_id(self) -> str:
        return self._boot_id

    @boot_id.setter
    def boot_id(self, value: str) -> None:
        self._boot_id = value

    @property
    def log_start(self) -> int:
        return 0

    @property
    def work_dir(self) -> str:
        return WORK_DIR

    @property
    def console_log(self) -> Path:
        return self._parts.console.log

    @property
    def console(self) -> Console:
        return self._parts.console

    @property
    def oops(self) -> str | None:
        """The first oops on the console, if there was one."""
        return self._kernel.oops

    def facts(self) -> dict[str, object]:
        """Description of the machine for the report: CPU, memory, command line, QEMU, host CPU."""
        return dict(self._facts)

    @property
    def injections(self) -> frozenset[str]:
        return frozenset(MISDEEDS) if self._parts.model else frozenset()

    def inject(self, failure: str) -> None:
        """Arm a misdeed of the GPU model. Raises UsageError for an invalid rule or a name not in `injections`."""
        if self._parts.model is None:
            raise UsageError(f"board {self.name} cannot produce `{failure}`: it has no GPU model (qemu-g610 has one)")
        try:
            rule = parse_rule(failure)
        except ValueError as error:
            raise UsageError(f"board {self.name}: {error}", hint="`panthorlab gpu misdeeds` lists them") from None
        self._parts.model.misbehave(rule)

    def behave(self) -> None:
        if self._parts.model is not None:
            self._parts.model.behave()

    def struck(self) -> Sequence[str]:
        return self._parts.model.struck() if self._parts.model else []

    def misuses(self) -> Sequence[str]:
        return self._parts.model.misuses() if self._parts.model else []

    @property
    def slowness(self) -> float:
        return self._parts.slowness

    def last_words(self) -> bytes:
        return self.console_log.read_bytes()

    def hazards(self) -> Sequence[Hazard]:
        return self._parts.model.hazards() if self._parts.model else []

    def check_alive(self) -> None:
        """Raise the error by which the board died; if it does not answer a ping, the error from `silence`."""
        limit = self._parts.board.time_limits.answer * self.slowness
        if self._cause is not None:
            raise self._cause
        if self._parts.console.error is not None:
            raise LabError(f"the console could not be recorded: {self._parts.console.error}")
        if not self._shell.ping(limit):
            raise self.silence(f"did not answer within {limit:g} s")

    def silence(self, what: str) -> PanthorlabError:
        """The error for a guest that does not respond: the kernel's fault only if QEMU and the model work."""
        if self._cause is not None:
            return self._cause
        state = self._parts.monitor.status(3.0)
        if state is None:
            return LabError(
                f"board {self.name} {what}, and QEMU itself does not answer: it waits for the GPU model, or is stuck",
                hint=self._where(),
            )
        after = f" after an oops: {self.oops}" if self.oops else ""
        return BootError(
            f"board {self.name} {what}{after} (QEMU answers: {state}{self._last_event()}). Last on the console:\n"
            f"{self._parts.console.tail()}",
            hint=self._where(),
        )

    def _last_event(self) -> str:
        """In exact time, where the guest is, and the last event between it and the GPU: equal on every host."""
        exact, model = self._parts.exact, self._parts.model
        if exact is None or model is None:
            return ""
        try:
            last = model.last_event()
        except LabError as error:
            last = str(error)
        still = ", and executes nothing any more" if exact.still else ""
        return f"; the guest has executed {exact.count} instructions{still}; the last event of the GPU: {last}"

    def close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
            parts = self._parts
            with ExitStack() as undo:  # every step runs, whatever the others raise, in reverse order
                if parts.lease:
                    undo.callback(parts.lease.release)
                undo.callback(shutil.rmtree, parts.run_dir, ignore_errors=True)
                undo.callback(self._end_watcher)
                if parts.model:
                    undo.callback(parts.model.stop)
                undo.callback(parts.monitor.close)
                undo.callback(parts.close_sockets)
                undo.callback(parts.console.join, 10.0)
                undo.callback(self._end_console)
                undo.callback(self._shell.close)
                undo.callback(spawn.end, parts.qemu, gently=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- death ------------------------------------------------------------------------------------------------

    def diagnose(self) -> PanthorlabError:
        """The error by which the board died. Called when a stream to it has ended, so the watcher is about to know."""
        if not self._diagnosed.wait(_DIAGNOSIS_TIME):
            return LabError(f"board {self.name} hung up, but QEMU still runs", hint=self._where())
        return self._cause or LabError(f"board {self.name} was closed")

    def _panicked(self) -> None:
        """The guest has `SPLAT_TIME` to reset: of the watcher's time, in exact time of its own."""
        if self._parts.exact:
            self._splat_end = self.time.now() + SPLAT_TIME
        else:
            os.write(self._wake_write, b"p")

    def _end_splat(self) -> None:
        """At each beat: wake the watcher when the panicked guest's time is over."""
        if self._splat_end is not None and self.time.now() > self._splat_end:
            self._splat_end = None
            os.write(self._wake_write, b"p")

    def _end_console(self) -> None:
        if self._parts.console_at_beats:
            self._parts.console_at_beats.end()

    def _watch_agent(self, line: ConsoleLine) -> None:
        if AGENT_DIED in line.text:
            self._agent_died = True

    def _watch(self) -> None:
        """Wait until one of QEMU, the model and the kernel dies, and end the others."""
        parts = self._parts
        poller = select.poll()
        qemu = os.pidfd_open(parts.qemu.pid)
        model = os.pidfd_open(parts.model.process.pid) if parts.model else -1
        try:
            for fd in (qemu, model, self._wake_read):
                if fd >= 0:
                    poller.register(fd, select.POLLIN)
            ready = {fd for fd, _ in poller.poll()}
            if not self._closed:
                self._cause = self._explain(ready, qemu, model)
        finally:
            os.close(qemu)
            if model >= 0:
                os.close(model)
            self._diagnosed.set()

    def _explain(self, ready: set[int], qemu: int, model: int) -> PanthorlabError | None:
        """The error for the part that died first. Ends QEMU before it returns."""
        parts = self._parts
        if model in ready and qemu not in ready and parts.model:
            # The model also ends when QEMU has ended: then QEMU's exit can be seen in a moment.
            status = parts.model.process.wait()
            if status or not _ended(qemu, _ORDERLY_EXIT_TIME):
                spawn.end(parts.qemu, gently=0)
                return self._model_died(parts.model)
        splat = 0.0 if parts.exact else SPLAT_TIME
        if self._wake_read in ready and not _ended(qemu, splat) and not self._closed:
            spawn.end(parts.qemu, gently=0)
        if self._closed:
            return None
        status = parts.qemu.wait()
        self._end_console()
        parts.console.join(5.0)
        if status == MODEL_GONE and self._kernel.panic is None and parts.model and _ended(model, _ORDERLY_EXIT_TIME):
            return self._model_died(parts.model)
        return self._explain_qemu(status)

    def _model_died(self, model: GpuModel) -> LabError:
        died = f"the GPU model died ({_status(model.process.wait())}): {model.last_words() or 'no message'}"
        return LabError(died, hint=self._where())

    def _explain_qemu(self, status: int) -> PanthorlabError:
        console = self._parts.console.tail()
        output = self._parts.qemu_log.read_text("utf-8", "replace").strip()[-2000:]
        if self._kernel.panic is not None:
            return BootError(f"kernel panic: {self._kernel.panic}\n{console}", hint=self._where())
        if status or "terminating on signal" in output:
            return LabError(f"QEMU died ({_status(status)}): {output or 'no message'}", hint=self._where())
        if self._agent_died:
            return LabError(f"the agent on board {self.name} died\n{console}", hint=self._where())
        return BootError(
            f"board {self.name} reset or switched itself off without a word. Last on the console:\n{console}",
            hint=self._where(),
        )

    def _end_watcher(self) -> None:
        os.write(self._wake_write, b"c")
        self._watcher.join(30.0)
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _where(self) -> str:
        return f"logs of this boot: {self._parts.log_dir}"


def _ended(pidfd: int, timeout: float) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(int(timeout * 1000)))


def _status(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit status {code}"

# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab gpu serve`: one GPU for one QEMU, from the listening socket to the summary."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from panthorlab.gpu.device import GpuDevice
from panthorlab.gpu.events import Reporter
from panthorlab.gpu.exact.device import ExactGpu
from panthorlab.gpu.exact.digest import Digest
from panthorlab.gpu.exact.order import Orders
from panthorlab.gpu.exact.serve import Exact
from panthorlab.gpu.exact.wire import Ends
from panthorlab.gpu.generation import Generation
from panthorlab.gpu.latency import Latencies, parse_kinds, parse_overrides
from panthorlab.gpu.loop import Loop
from panthorlab.gpu.misbehave import Rule, parse
from panthorlab.gpu.params import Params
from panthorlab.gpu.starved import RunDelay, peer_pid
from panthorlab.gpu.targets import parse_targets
from panthorlab.gpu.trace import ChromeTrace, NoTrace, Trace
from panthorlab.gpu.vfio.server import Server

MODEL_ERROR = 70  # exit status, as EX_SOFTWARE
_MODES: dict[str, Literal["a", "w"]] = {"events": "a", "log": "a", "trace": "w", "accesses": "w", "orders": "w"}
"""A restarted model (virtual lab) appends to the same log; a trace must be one JSON document."""


@dataclass(frozen=True)
class Options:
    """Options of `serve`. A file whose path is None is not written (the log then goes to stderr). `misbehave`: rules
    armed from the start. `control`: read commands from stdin, see `serve`. `exact`: use exact time; `accesses`: file
    that then gets all register accesses and interrupts, one per line; `orders`: file that then gets the interleaving of
    each iteration (`exact/order.py`); `stop`: count at which to stop the guest."""

    socket: Path
    generation: Generation
    params: Params
    seed: int = 0
    trace: Path | None = None
    log: Path | None = None
    events: Path | None = None
    misbehave: Sequence[Rule] = ()
    control: bool = False
    exact: Ends | None = None
    accesses: Path | None = None
    orders: Path | None = None
    stop: int | None = None


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


def serve(options: Options) -> int:
    """Serve until the client disconnects or SIGTERM or SIGINT comes. With `control`, each line of stdin is a command,
    answered by one line on stdout: `misbehave RULE` (`misbehaving RULE`), `behave` (`behaving`), or `refused WHY`; in
    exact time also `digest` (`digest COUNT BLOCKS SHA256`, of all accesses and interrupts so far) and `last`
    (`last WORDS`, the last one of these).

    Returns the exit status.
    """
    if sys.byteorder != "little":
        raise SystemExit("the emulated GPU needs a little-endian host")
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(path.open(_MODES[name], encoding="utf-8")) if path is not None else None
            for name, path in (
                ("events", options.events),
                ("log", options.log),
                ("trace", options.trace),
                ("accesses", options.accesses),
                ("orders", options.orders),
            )
        }
        return _Session(options, files, stack).run()


def _latencies(params: Params, seed: int) -> Latencies:
    return Latencies(
        params.word("exact.latency"),
        seed,
        parse_overrides(params.word("exact.override")),
        everywhere=params.word("exact.vary") == "always",
        length=params.integer("exact.length"),
        kinds=parse_kinds(params.word("exact.kinds")),
        plain=params.integer("exact.plain"),
        targets=parse_targets(params.word("exact.target")),
    )


class _Session:
    def __init__(self, options: Options, files: Mapping[str, TextIO | None], stack: ExitStack) -> None:
        params, seed = options.params, options.seed
        self._options = options
        self._server: Server | None = None
        self._command = b""
        self._exact: Exact | None = None
        self._digest = Digest(files["accesses"])
        if options.exact is not None:
            self._exact = Exact(options.exact, _latencies(params, seed), self._digest, self._on_error, options.stop)
            stack.callback(self._exact.close)
            if (orders := files["orders"]) is not None:
                self._exact.loop.orders = Orders(orders)
                stack.callback(self._exact.loop.orders.close)
            self._loop: Loop = self._exact.loop
        else:
            burst, share = params.number("slice.burst_ms") / 1000, params.number("slice.share")
            self._loop = Loop(self._on_error, self._on_late, burst, share)
        guest_time = self._loop.now if self._exact is not None else None
        self._reporter = Reporter(files["events"], files["log"], guest_time)
        trace: Trace = NoTrace()
        if (file := files["trace"]) is not None:
            trace = ChromeTrace(file, self._loop.now)
        stack.callback(trace.close)
        self._gpu = (
            ExactGpu(options.generation, params, self._reporter, trace, self._exact.loop, seed, self._digest)
            if self._exact is not None
            else GpuDevice(options.generation, params, self._reporter, trace, self._loop, seed)
        )

    def run(self) -> int:
        """Serve and return the exit status."""
        path = self._options.socket
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)  # the signal is handled through the wake-up pipe
        self._loop.add_reader(wake_read, lambda: self._signalled(os.read(wake_read, 64)))
        listener = listen(path)
        try:
            if self._options.control:
                self._loop.add_reader(sys.stdin.fileno(), self._commanded)
            self._gpu.chip.misbehaviour.arm(self._options.misbehave)
            self._reporter.log(f"seed {self._options.seed}, parameters changed: {self._options.params.changed()}")
            print(f"listening {path}", flush=True)
            self._loop.add_reader(listener.fileno(), lambda: self._accept(listener))
            if self._exact is not None:
                self._exact.begin()
            self._loop.run()
        finally:
            path.unlink(missing_ok=True)
            listener.close()
            if self._server is not None:
                self._server.close()
            self._gpu.mcu.stop()
            self._reporter.summary({"interrupts": {irq.name: irq.raised for irq in self._gpu.irqs}})
        return MODEL_ERROR if self._reporter.model_errors else 0

    def _signalled(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._loop.stop()

    def _commanded(self) -> None:
        data = os.read(sys.stdin.fileno(), 4096)
        if not data:
            self._loop.remove_reader(sys.stdin.fileno())
            return
        *lines, self._command = (self._command + data).split(b"\n")
        for line in lines:
            answer = self._obey(line.decode("utf-8", "replace"))
            self._reporter.log(answer)
            print(answer, flush=True)

    def _obey(self, line: str) -> str:
        verb, _, text = line.partition(" ")
        if verb == "behave" and not text:
            self._gpu.chip.misbehaviour.clear()
            return "behaving"
        if verb == "digest" and not text and self._exact is not None:
            return f"digest {self._exact.loop.count} {self._exact.blocks:016x} {self._digest.hexdigest()}"
        if verb == "last" and not text and self._exact is not None:
            return f"last {self._digest.describe_last(self._gpu.register_name)}"
        if verb != "misbehave":
            return f"refused {line!r}: commands are `misbehave RULE` and `behave`, in exact time `digest` and `last`"
        try:
            rule = parse(text)
        except ValueError as error:
            return f"refused {error}"
        self._gpu.chip.misbehaviour.arm([rule])
        return f"misbehaving {rule}"

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        self._loop.remove_reader(listener.fileno())
        self._server = Server(connection, self._gpu, self._reporter, self._loop.stop)
        if isinstance(self._gpu, ExactGpu) and self._exact is not None:
            self._gpu.round_trip = self._server.round_trip
            self._server.arrive, self._server.leave = self._exact.loop.arrive, self._exact.loop.leave
        else:
            self._gpu.chip.guest_waited = RunDelay(peer_pid(connection)).seconds
        self._loop.add_reader(connection.fileno(), self._server.readable)

    def _on_late(self, seconds: float) -> None:
        self._reporter.once("late", "late", f"the host kept the model waiting for {seconds * 1000:.0f} ms")

    def _on_error(self, error: Exception) -> None:
        if self._gpu.failed(error):
            return
        reproducer = self._server.reproducer_with(error) if self._server is not None else repr(error)
        self._reporter.model_error(repr(error), reproducer)

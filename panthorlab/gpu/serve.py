# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab gpu serve`: the GPUs of one QEMU, from the listening sockets to the summary."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from panthorlab.gpu.device import GpuDevice
from panthorlab.gpu.events import Reporter
from panthorlab.gpu.exact.device import ExactGpu
from panthorlab.gpu.exact.digest import Digest, gpu_of
from panthorlab.gpu.exact.loop import ExactLoop, of_gpu
from panthorlab.gpu.exact.order import Orders
from panthorlab.gpu.exact.serve import Exact
from panthorlab.gpu.exact.wire import Ends
from panthorlab.gpu.generation import Generation
from panthorlab.gpu.latency import Latencies, format_overrides, parse_kinds, parse_overrides
from panthorlab.gpu.loop import HostLoop
from panthorlab.gpu.misbehave import Rule, parse
from panthorlab.gpu.outlet import Outlet
from panthorlab.gpu.params import Params
from panthorlab.gpu.targets import parse_targets
from panthorlab.gpu.trace import ChromeTrace, NoTrace, Trace, TraceOfGpu

MODEL_ERROR = 70  # exit status, as EX_SOFTWARE
_MODES: dict[str, Literal["a", "w"]] = {"events": "a", "log": "a", "trace": "w", "accesses": "w", "orders": "w"}
"""A restarted model (virtual lab) appends to the same log; a trace must be one JSON document."""


@dataclass(frozen=True)
class Options:
    """Options of `serve`. `sockets`: one for each GPU. A file whose path is None is not written (the log then goes to
    stderr). `misbehave`: rules armed from the start. `control`: read commands from stdin, see `serve`.
    `exact`: use exact time; `accesses`: file that then gets all register accesses and interrupts, one per line;
    `orders`: file that then gets the interleaving of each iteration (`exact/order.py`); `stop`: count at which to stop
    the guest."""

    sockets: Sequence[Path]
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


def serve(options: Options) -> int:
    """Serve until the client disconnects or SIGTERM or SIGINT comes. With `control`, each line of stdin is a command,
    answered by one line on stdout: `misbehave RULE` (`misbehaving RULE`), `behave` (`behaving`), or `refused WHY`; in
    exact time also `digest` (`digest COUNT BLOCKS SHA256`, of all accesses and interrupts so far), `unreached` (the
    overrides whose event has not come, unless that is allowed) and `last`
    (`last WORDS`, the last one of these).

    Returns the exit status.
    """
    if len(options.sockets) != (gpus := options.params.integer("count")):
        raise ValueError(f"--socket is given {len(options.sockets)} times, with count={gpus}: each GPU has one")
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
        self._options, self._files = options, files
        self._command = b""
        self._exact: Exact | None = None
        self._digest = Digest(files["accesses"])
        if options.exact is not None:
            self._latencies = _latencies(params, seed)
            self._exact = Exact(options.exact, self._latencies, self._digest, self._on_error, options.stop)
            stack.callback(self._exact.close)
            if (orders := files["orders"]) is not None:
                self._exact.loop.orders = Orders(orders)
                stack.callback(self._exact.loop.orders.close)
            self._loop: HostLoop | ExactLoop = self._exact.loop
        else:
            burst, share = params.number("slice.burst_ms") / 1000, params.number("slice.share")
            self._loop = HostLoop(self._on_error, self._on_late, burst, share)
        trace: Trace = NoTrace()
        if (file := files["trace"]) is not None:
            trace = ChromeTrace(file, self._loop.now)
        stack.callback(trace.close)
        self._outlets = [self._outlet(number, path, trace) for number, path in enumerate(options.sockets)]
        self._reporter = self._outlets[0].reporter

    def _outlet(self, number: int, path: Path, trace: Trace) -> Outlet:
        """The GPU of this number, with its socket. Those after the first have random choices of their own."""
        options, loop = self._options, self._loop
        guest_time = loop.now if isinstance(loop, ExactLoop) else None
        reporter = Reporter(self._files["events"], self._files["log"], guest_time, number)
        trace = TraceOfGpu(trace, number) if number else trace
        seed: int | str = f"{options.seed}{of_gpu(number)}" if number else options.seed
        gpu = (
            ExactGpu(options.generation, options.params, reporter, trace, loop, seed, self._digest, number)
            if isinstance(loop, ExactLoop)
            else GpuDevice(options.generation, options.params, reporter, trace, loop, seed)
        )
        return Outlet(path, gpu, reporter, loop, loop.stop)

    def run(self) -> int:
        """Serve and return the exit status."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)  # the signal is handled through the wake-up pipe
        self._loop.add_reader(wake_read, lambda: self._signalled(os.read(wake_read, 64)))
        with ExitStack() as listening:
            for outlet in self._outlets:
                outlet.listen()
                listening.callback(outlet.close)
            if self._options.control:
                self._loop.add_reader(sys.stdin.fileno(), self._commanded)
            for rule in self._options.misbehave:
                self._arm(rule)
            self._reporter.log(f"seed {self._options.seed}, parameters changed: {self._options.params.changed()}")
            print("listening", *self._options.sockets, flush=True)
            if self._exact is not None:
                self._exact.begin()
            self._loop.run()
        return MODEL_ERROR if any(outlet.reporter.model_errors for outlet in self._outlets) else 0

    def _arm(self, rule: Rule) -> None:
        """Raises ValueError for a GPU that is not there."""
        if rule.gpu >= len(self._outlets):
            raise ValueError(f"{rule}: the last GPU is gpu={len(self._outlets) - 1}")
        self._outlets[rule.gpu].gpu.chip.misbehaviour.arm([rule])

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
            for outlet in self._outlets:
                outlet.gpu.chip.misbehaviour.clear()
            return "behaving"
        if verb == "digest" and not text and self._exact is not None:
            return f"digest {self._exact.loop.count} {self._exact.blocks:016x} {self._digest.hexdigest()}"
        if verb == "unreached" and not text and self._exact is not None:
            counted = self._options.params.word("exact.unreached") == "error"
            return f"unreached {format_overrides(self._latencies.unreached) if counted else ''}"
        if verb == "last" and not text and self._exact is not None:
            return f"last {self._digest.describe_last(self._register_name)}"
        if verb != "misbehave":
            also = "in exact time `digest`, `last` and `unreached`"
            return f"refused {line!r}: commands are `misbehave RULE` and `behave`, {also}"
        try:
            rule = parse(text)
            self._arm(rule)
        except ValueError as error:
            return f"refused {error}"
        return f"misbehaving {rule}"

    def _register_name(self, offset: int) -> str:
        number, own = gpu_of(offset)
        return self._outlets[number].gpu.register_name(own) + of_gpu(number)

    def _on_late(self, seconds: float) -> None:
        self._reporter.once("late", "late", f"the host kept the model waiting for {seconds * 1000:.0f} ms")

    def _on_error(self, error: Exception) -> None:
        if any(outlet.gpu.failed(error) for outlet in self._outlets):
            return
        import traceback  # slow to import, and only needed after an error

        messages = [f"last messages:\n{outlet.reproducer()}" for outlet in self._outlets]
        self._reporter.model_error(repr(error), "".join((*traceback.format_exception(error), *messages)))

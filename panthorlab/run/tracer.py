# SPDX-License-Identifier: GPL-2.0-or-later
"""Have the kernel of a booted board trace every access of the driver to the GPU's registers, from the probe on.

The driver is taken off the GPU and put back, so that a recording begins with a GPU that is off. What it then does until
the probe is over is traced with all other drivers' accesses, for nobody knows yet where the registers will be mapped.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab.board.api import BootedBoard, RemoteFileError, Shell
from panthorlab.errors import BootError, EvidenceError, LabError, PanthorlabError, UsageError
from panthorlab.kernel.driver import driver_of
from panthorlab.kernel.model import Kernel
from panthorlab.mmio.assemble import assemble
from panthorlab.mmio.ftrace import READ, WRITE, TraceError
from panthorlab.mmio.main import write
from panthorlab.mmio.places import (
    MappedRegisters,
    Mapping,
    Registers,
    driver_text,
    event_filter,
    find_mappings,
    find_registers,
)
from panthorlab.mmio.recording import Recording, RecordingHead, RegisterAccess, render
from panthorlab.run.needs import lacking

FRAGMENT: Final = "mmio-trace"
ROOTS: Final = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
ACCESSES: Final = (f"rwmmio/{READ}", f"rwmmio/{WRITE}")
OTHERS: Final = ("irq/irq_handler_entry", "gpu_scheduler", "panthor")
"""What else is recorded where the kernel has it: events, and groups of events."""
BUFFER_KB: Final = 8192
"""Of each CPU; about 100,000 accesses."""
KPTR: Final = "/proc/sys/kernel/kptr_restrict"
MODEL: Final = "/proc/device-tree/model"
RENDER_NODE: Final = "/dev/dri/renderD*"
PROBE_TIME: Final = 30.0
OF_BOOT: Final = "mmio.jsonl"
"""The recording of one boot of a run with suites, in the directory of the boot."""


@contextmanager
def record_accesses(board: BootedBoard, kernel: Kernel, file: Path | None, did: Sequence[str]) -> Iterator[None]:
    """Record what the driver does meanwhile into `file`; None: nothing. `did`: what that is, for the head.

    Raises UsageError for a kernel that cannot trace, BootError if the driver does not come back, EvidenceError for a
    trace with a hole.
    """
    if file is None:
        yield
        return
    tracer = Tracer(board, driver_of(kernel).name)
    tracer.start()
    try:
        yield
    except BaseException:
        with suppress(PanthorlabError):  # the board may be gone
            tracer.stop()
        raise
    tracer.stop()
    write(file, render(tracer.recording(kernel, tuple(did))))


def check_kernel(kernel: Kernel) -> None:
    """Raises UsageError for a kernel that was built without what is needed."""
    if missing := lacking(kernel, [FRAGMENT]):
        raise UsageError(
            f"kernel {kernel.key[:12]} ({kernel.title}) cannot trace accesses to registers",
            hint=f"build one that can: `panthorlab build --config {missing[0]}`",
        )


def gather(run_dir: Path, file: Path) -> None:
    """After suites: the recordings of the boots that they had (one, or one for each set of parameters) to `file`, the
    second one to `file` with `-2`, and so on. Says where they are."""
    found = sorted(run_dir.glob(f"boots/*/{OF_BOOT}"), key=lambda path: path.stat().st_mtime)
    for number, source in enumerate(found, 1):
        target = (
            file if number == 1 else file.with_name(f"{file.stem.partition('.')[0]}-{number}{''.join(file.suffixes)}")
        )
        with source.open(encoding="utf-8") as lines:
            write(target, lines)
        print(f"recording: {target}", file=sys.stderr, flush=True)
    if not found:
        print("panthorlab: no boot came so far that anything was recorded", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _GpuLocation:
    device: str
    registers: Registers
    places: tuple[Mapping, ...]
    text: tuple[int, int] | None


class Tracer:
    """The tracing of one booted board."""

    def __init__(self, board: BootedBoard, driver: str) -> None:
        self._board, self._driver = board, driver
        self._shell: Shell = board.shell
        self._root = self._find_root()
        self._kptr = b"0"
        self._found: _GpuLocation | None = None
        self._last: tuple[Mapping, ...] = ()

    def start(self) -> None:
        """Take the driver off, trace, put it back; from then on only accesses to the GPU are traced."""
        self._kptr = self._shell.get(KPTR).strip()
        self._shell.put(b"1", KPTR)
        self._set("tracing_on", "0")
        self._set("trace_clock", "mono")  # which also empties the buffers
        self._set("options/overwrite", "0")
        self._set("buffer_size_kb", str(BUFFER_KB))
        device = self._unbind()
        for event in ACCESSES:
            self._set(f"events/{event}/enable", "1")
        for event in OTHERS:
            self._try(f"events/{event}/enable", "1")
        self._try("events/irq/irq_handler_entry/filter", f'name ~ "{self._driver}*"')
        self._set("tracing_on", "1")
        self._bind(device)
        self._found = self._find(device)
        for event in ACCESSES:
            self._set(f"events/{event}/filter", event_filter(self._found.places, self._found.text))

    def stop(self) -> None:
        """End tracing, and leave the rest as it was. What was traced stays in the buffers."""
        self._set("tracing_on", "0")
        self._last = self._places(self._found.registers) if self._found else ()
        self._shell.put(self._kptr, KPTR)
        for event in (*ACCESSES, *OTHERS):
            self._try(f"events/{event}/enable", "0")
        for event in (*ACCESSES, "irq/irq_handler_entry"):
            self._try(f"events/{event}/filter", "0")
        self._set("options/overwrite", "1")

    def recording(self, kernel: Kernel, did: tuple[str, ...]) -> Recording:
        """What was traced. Raises EvidenceError."""
        assert self._found is not None  # noqa: S101 - it was started
        trace = self._shell.get(f"{self._root}/trace").decode("utf-8", "replace")
        if self._found.text is None and self._last and self._last != self._found.places:
            raise EvidenceError("the driver was bound anew, and its registers are elsewhere now: not all was recorded")
        places = MappedRegisters(self._found.registers, (*self._found.places, *self._last), self._driver)
        try:
            lines, whole = assemble(trace.split("\n"), places, self._stats())
        except TraceError as error:
            raise EvidenceError(f"the trace of the board cannot be used: {error}") from error
        gpu_id = next((s.value for s in lines if isinstance(s, RegisterAccess) and s.offset == 0 and not s.write), None)
        if gpu_id is None:
            raise EvidenceError("the driver has probed, and the trace has no read of GPU_ID: was tracing changed?")
        registers = self._found.registers
        head = RecordingHead(
            self._driver,
            gpu_id,
            kernel.title,
            kernel.build_id,
            self._board.name,
            self._machine(),
            (registers.start, registers.size),
            did,
            whole,
        )
        return Recording(head, lines)

    # --- the driver

    def _unbind(self) -> str:
        devices = self._handover("bound").split()
        if len(devices) != 1:
            raise LabError(f"{self._driver} drives {' and '.join(devices) or 'nothing'}; recorded is one GPU")
        self._handover("unbind", devices[0])
        return devices[0]

    def _bind(self, device: str) -> None:
        try:
            self._shell.put(device.encode(), f"/sys/bus/platform/drivers/{self._driver}/bind")
        except RemoteFileError as error:
            raise BootError(f"{self._driver} did not come back to {device}: {error}") from error
        seconds = PROBE_TIME * self._board.slowness
        argv = [f"{self._board.work_dir}/init", "wait", RENDER_NODE, f"{seconds:.0f}"]
        if self._shell.run(argv, timeout=seconds + PROBE_TIME).status:
            raise BootError(f"{self._driver} came back to {device} and made no render node")

    def _handover(self, *words: str) -> str:
        argv = [f"{self._board.work_dir}/handover", *words]
        done = self._shell.run(argv, timeout=PROBE_TIME * self._board.slowness)
        if done.status:
            raise LabError(f"`handover {' '.join(words)}` failed on the board: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode("utf-8", "replace")

    # --- where things are

    def _find_root(self) -> str:
        for root in ROOTS:
            if self._read(f"{root}/trace_clock") is not None:
                if self._read(f"{root}/events/{ACCESSES[0]}/enable") is None:
                    raise UsageError(
                        "the board's kernel does not trace accesses to registers",
                        hint=f"build one that does: `panthorlab build --config {FRAGMENT}`",
                    )
                return root
        raise LabError(
            "tracefs is not mounted on the board", hint="on the board: `mount -t tracefs nodev /sys/kernel/tracing`"
        )

    def _find(self, device: str) -> _GpuLocation:
        registers = find_registers(self._text("/proc/iomem"), device)
        if registers is None:
            raise LabError(f"/proc/iomem of the board does not say where the registers of {device} are")
        places = self._places(registers)
        if not places:
            raise LabError(
                f"/proc/vmallocinfo of the board does not say where registers 0x{registers.start:x} are mapped"
            )
        return _GpuLocation(device, registers, places, driver_text(self._symbols(), self._driver))

    def _places(self, registers: Registers) -> tuple[Mapping, ...]:
        return find_mappings(self._text("/proc/vmallocinfo"), registers)

    def _symbols(self) -> str:
        return (self._read("/proc/kallsyms") or b"").decode("utf-8", "replace")

    def _machine(self) -> str:
        return (self._read(MODEL) or b"").decode("utf-8", "replace").strip("\0 \n") or "unknown"

    def _stats(self) -> dict[int, str]:
        found: dict[int, str] = {}
        while (text := self._read(f"{self._root}/per_cpu/cpu{len(found)}/stats")) is not None:
            found[len(found)] = text.decode("ascii", "replace")
        return found

    # --- files

    def _text(self, path: str) -> str:
        return self._shell.get(path).decode("utf-8", "replace")

    def _read(self, path: str) -> bytes | None:
        try:
            return self._shell.get(path)
        except RemoteFileError as error:
            if error.errno != errno.ENOENT:
                raise
            return None

    def _set(self, name: str, value: str) -> None:
        self._shell.put(value.encode(), f"{self._root}/{name}")

    def _try(self, name: str, value: str) -> None:
        """The same where the kernel has it."""
        try:
            self._set(name, value)
        except RemoteFileError as error:
            if error.errno != errno.ENOENT:
                raise

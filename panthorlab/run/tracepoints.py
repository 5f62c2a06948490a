# SPDX-License-Identifier: GPL-2.0-or-later
"""What the driver tells by tracepoints of its own (panthor of 7.x): turned on while a test runs, and read afterwards.

`gpu_power_status` is the only one that changes what the driver does: its interrupts about power are masked but for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pytest

from panthorlab.board.api import RemoteFileError, Shell
from panthorlab.errors import EvidenceError
from panthorlab.mmio.ftrace import LostEvents, TraceEvent, parse_trace
from panthorlab.run.session import Session

ROOT: Final = "/sys/kernel/tracing"
POWER: Final = "gpu_power_status"
JOB_IRQ: Final = "gpu_job_irq"
GLOBAL: Final = 1 << 31
"""Of a job interrupt's events: not of a CSG slot, but of the firmware as a whole."""
_TEXT: Final = re.compile(r"(?P<device>\S+):(?P<fields>(?: \w+=-?(?:0x[0-9a-f]+|\d+))+)")

_CLOCK: Final = re.compile(rb"\[(?P<name>[\w-]+)\]")


@dataclass(frozen=True, slots=True)
class DriverEvent:
    """One event of the driver: of which GPU (`mali-gpu.1.auto`), and its fields."""

    name: str
    device: str
    fields: Mapping[str, int]


def parse_event(event: TraceEvent) -> DriverEvent:
    """Raises EvidenceError for what no driver has written so."""
    found = _TEXT.fullmatch(event.text)
    if found is None:
        raise EvidenceError(f"not an event of the driver: {event.name}: {event.text[:200]!r}")
    pairs = (word.partition("=") for word in found["fields"].split())
    return DriverEvent(event.name, found["device"], {name: int(value, 0) for name, _, value in pairs})


class Tracepoints:
    """The tracepoints of the board's driver. Skips the test where the kernel or its driver has none."""

    def __init__(self, session: Session) -> None:
        self._shell: Shell = session.board.shell
        if not session.has_config("CONFIG_EVENT_TRACING"):
            pytest.skip("this kernel was built without tracing (fragments `prove-locking`, `mmio-trace`)")
        try:
            self._get(f"events/panthor/{POWER}/enable")
        except RemoteFileError:
            if not session.driver_contains(POWER.encode()):
                pytest.skip("this driver has no tracepoints")
            raise

    @contextmanager
    def on(self, *names: str) -> Iterator[None]:
        """Within, these events are traced; what was traced before is forgotten."""
        self.forget()
        for name in names:
            self.turn(name, on=True)
        try:
            yield
        finally:
            for name in names:
                self.turn(name, on=False)

    def turn(self, name: str, *, on: bool) -> None:
        """Raises RemoteFileError if the driver refuses."""
        self._shell.put(b"1" if on else b"0", f"{ROOT}/events/panthor/{name}/enable")

    def forget(self) -> None:
        """To choose a clock empties the buffers, also if it is the same one."""
        found = _CLOCK.search(self._get("trace_clock"))
        if found is None:
            raise EvidenceError("tracefs does not say by which clock it traces")
        self._shell.put(found["name"], f"{ROOT}/trace_clock")

    def seen(self, name: str) -> list[DriverEvent]:
        """What was traced of `name`, oldest first. Raises EvidenceError if some of it was lost."""
        text = self._get("trace").decode("utf-8", "replace")
        found = []
        for event in parse_trace(text.split("\n")):
            if isinstance(event, LostEvents):
                raise EvidenceError(f"{event.count} events of the trace were lost")
            if event.name == name:
                found.append(parse_event(event))
        return found

    def _get(self, path: str) -> bytes:
        return self._shell.get(f"{ROOT}/{path}")

# SPDX-License-Identifier: GPL-2.0-or-later
"""What a replay that wrote down the driver's calls has left, read for one iteration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from panthorlab.board.calls import CodePlace, stack_size
from panthorlab.gpu.exact.loop import INSTRUCTION_SECONDS
from panthorlab.gpu.exact.passed import FILE, BlockBegin, CpuHeld, Passed, read
from panthorlab.jsonvalue import JsonObject
from panthorlab.kernel.model import Kernel
from panthorlab.kmsg.records import parse_line
from panthorlab.run.drivercalls import Span, calls, render, span_of, stop_before

EVENTS = "gpu-events.jsonl"
FAULT = "mmu-fault"


@dataclass(frozen=True)
class Stop:
    """Where to stop the guest: when it has executed `count` instructions, with the next one at `address`. `text`: what
    that is, for people."""

    count: int
    address: int
    text: str


@dataclass(frozen=True)
class Traced:
    """`faults`: instruction counts at which the GPU faulted."""

    iteration: str
    places: Mapping[int, CodePlace]
    passed: Sequence[Passed | CpuHeld]
    span: Span
    faults: Sequence[int]
    stack_size: int

    @classmethod
    def of(cls, iteration: str, kernel: Kernel, log_dir: Path, places: Mapping[int, CodePlace]) -> Self:
        """Raises LabError if the logs of the boot do not agree; OSError."""
        passed = [one for one in read(log_dir / FILE) if not isinstance(one, BlockBegin)]
        log = (log_dir / "kmsg.log").read_bytes().splitlines()
        records = (record for number, line in enumerate(log, 1) for record in parse_line(line, number))
        events = map(json.loads, (log_dir / EVENTS).read_text().splitlines())
        return cls(
            iteration,
            places,
            passed,
            span_of(iteration, records, passed, places),
            [round(event["at"] / INSTRUCTION_SECONDS) for event in events if event["kind"] == FAULT],
            stack_size((kernel.path / "config").read_text(errors="replace")),
        )

    def lines(self) -> Iterator[str]:
        """The calls in the iteration, for people."""
        return render(self.iteration, self.span, calls(self.passed, self.places, self.stack_size))

    def stop(self, finding: JsonObject) -> Stop:
        """The last point before the finding. Raises LabError."""
        timestamp = finding.get("timestamp")
        at = float(timestamp) if isinstance(timestamp, int | float) else None
        held, exact = stop_before(self.passed, self.span, self.faults, at)
        what = "the GPU faults" if exact else "the last event of the GPU that is known before the fault"
        text = f"before instruction {held.before + 1} of the guest, at 0x{held.address:x}: {what}"
        return Stop(held.before, held.address, text)

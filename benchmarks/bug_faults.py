# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run blames the kernel for, in a form that can be compared with another run: pure functions of its events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from panthorlab.outcome import Blame, Outcome, Role
from panthorlab.run.record import BootEnd, Event, Iteration, RunEnd, Tested
from panthorlab.run.summary import judge_kernel

_OUTSIDE: Final = re.compile(r"^(outside iterations, .*?): \d+ × (.*) \(line [^,]*, (.*)\)$", re.DOTALL)
_NUMBERS: Final = re.compile(r"0x[0-9a-fA-F]+|[0-9a-f]{8,}|\d+(\.\d+)?")
TEXT_LIMIT: Final = 300


@dataclass(frozen=True)
class Fault:
    """One thing a kernel was blamed for. `key`: equal in two runs if it is the same. `suite`: empty if the events do
    not say which it was. `by`: the test, the workload, or `boot`."""

    key: tuple[str, ...]
    suite: str
    by: str
    text: str


@dataclass(frozen=True)
class Judged:
    """`status`: as `panthorlab run` exits: 0 clean, 1 the kernel is at fault, 4 it cannot be said. `faults`: with
    status 1, why. `errors`: with status 4, why; none if the run never started."""

    status: int
    faults: tuple[Fault, ...]
    errors: tuple[str, ...]


def judge(events: Sequence[Event], *, whole: bool) -> Judged:
    """What `panthorlab run` makes of these events. Not `whole`: of a run that was stopped on purpose after them."""
    if not events:
        return Judged(4, (), ())  # what the command said tells why
    ended = [*events] if whole else [*events, RunEnd(time=events[-1].time)]
    made = judge_kernel(ended)
    faults = tuple(_faults(events, made.failed)) if made.exit_status == 1 else ()
    return Judged(made.exit_status, faults, tuple(made.errors))


def _faults(events: Iterable[Event], failed: Iterable[str]) -> Iterable[Fault]:
    for event in events:
        match event:
            case Tested(outcome=Outcome.FAIL):
                yield Fault(("test", event.name), event.suite, event.name, _short(event.message))
            case Iteration(outcome=Outcome.FAIL) if event.role is not Role.WATCH:
                what = sorted(event.signatures) or ["no finding"]
                yield Fault(("iteration", event.workload, *what), "", event.workload, _short(event.message))
            case BootEnd(outcome=Outcome.FAIL, blame=Blame.KERNEL):
                reason = _short(event.reason or "the boot failed")
                yield Fault(("boot", _NUMBERS.sub("N", reason)), "", "boot", reason)
    for line in failed:
        if found := _OUTSIDE.match(line):
            where, headline, signature = found.groups()
            yield Fault(("outside", where, signature), "", where, _short(headline))


def _short(text: str) -> str:
    return " ".join(text.split())[:TEXT_LIMIT]


def new(faults: Iterable[Fault], clean: Iterable[tuple[str, ...]], by: Iterable[str] = ()) -> list[Fault]:
    """Those that the kernel without the bug does not have, too. `by`: only of these suites; empty: of any."""
    known, suites = set(clean), {name.replace("-", "_") for name in by}
    return [fault for fault in faults if fault.key not in known and (not suites or fault.suite in suites)]

# SPDX-License-Identifier: GPL-2.0-or-later
"""What a replay repeats: an iteration, or a program that a test ran; and what was on record of its boot before it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from panthorlab.board.boardtime import TimeName
from panthorlab.errors import UsageError
from panthorlab.outcome import Outcome
from panthorlab.run.job import Job
from panthorlab.run.record import ArmKernel, BoardUp, BootStart, Event, Iteration, Marker, StrayEvent, Tested
from panthorlab.run.record.codec import FindingJson
from panthorlab.run.record.log import read_run
from panthorlab.run.record.runs import RunStart

KMSG: Final = "kmsg.log"
OF_HOST: Final = ("time", "boot", "arm", "slot")
"""What an iteration has from the controller: when it was written down, and its place in the plan."""
_ID: Final = re.compile(r"(?P<boot>[\w.+-]+)\.(?P<batch>\d+)-(?P<number>\d+)")
_TEST: Final = re.compile(r"(?P<run>.*?):(?P<ran>\w+::.+)")


@dataclass(frozen=True)
class Before:
    """What a boot had on record up to what is repeated, that itself included."""

    iterations: tuple[Iteration, ...] = ()
    tests: tuple[Tested, ...] = ()
    strays: tuple[StrayEvent, ...] = ()

    def __str__(self) -> str:
        counts = {"iteration": len(self.iterations), "test": len(self.tests)}
        return " and ".join(f"{n} {what}{'s' * (n != 1)}" for what, n in counts.items() if n) or "nothing"


@dataclass(frozen=True)
class Original:
    """What is to be repeated: the iteration or program `ran` of this `workload`; and what is on record of its boot."""

    ran: str
    workload: str
    findings: tuple[FindingJson, ...]
    before: Before
    job: Job
    log_dir: Path
    start: RunStart
    kernel: ArmKernel
    boot: BootStart


def parts_of(text: str) -> tuple[str, str]:
    """RUN:ITERATION, RUN:PROGRAM or RUN:SUITE::TEST as its two parts. Raises UsageError."""
    if test := _TEST.fullmatch(text):
        return test["run"], test["ran"]
    run, colon, ran = text.rpartition(":")
    if not colon:
        raise UsageError(
            f"{text} is not RUN:ITERATION", hint="for instance runs/…:after1.1.3-17, or runs/…:scheduler::test_order"
        )
    return run, ran


def find_original(run: str, ran: str) -> Original:
    """`ran`: an iteration, a program that a test ran, or SUITE::TEST: the program that failed it in a boot, or else the
    last that it ran. Raises UsageError if there is no such, or it cannot be repeated."""
    events = read_run(Path(run))
    wanted = _last_of(run, ran, events) if "::" in ran else ran
    iteration = next((one for one in events if isinstance(one, Iteration) and one.id == wanted and not one.cut), None)
    name = iteration.boot if iteration else _ID.sub(r"\g<boot>", wanted)
    boot = next((event for event in events if isinstance(event, BootStart) and event.boot == name), None)
    log_dir = Path(run).resolve() / "boots" / name
    workload = iteration.workload if iteration else _workload(log_dir, wanted) if boot else None
    if boot is None or workload is None:
        raise UsageError(f"{run} has no iteration or program {wanted} that ran", hint=_others(events))
    board = next(event for event in events if isinstance(event, BoardUp) and event.boot == name)
    if board.facts.get("time") != TimeName.EXACT:
        raise UsageError(
            f"{wanted} ran in the host's time: nobody can repeat it", hint="run its suite again with `--time exact`"
        )
    try:
        job = Job.read(json.loads((log_dir / "job.json").read_text()))
    except (OSError, ValueError) as error:
        raise UsageError(f"{log_dir / 'job.json'}: {error}", hint="without it the boot cannot be repeated") from None
    return Original(
        wanted,
        workload,
        findings_of(wanted, events),
        before(wanted, [event for event in events if getattr(event, "boot", None) == name]),
        job,
        log_dir,
        next(event for event in events if isinstance(event, RunStart)),
        next(event for event in events if isinstance(event, ArmKernel) and event.arm == boot.arm),
        boot,
    )


def _last_of(run: str, name: str, events: Iterable[Event]) -> str:
    tests = [event for event in events if isinstance(event, Tested) and event.name == name]
    ran = sorted((test for test in tests if test.last), key=lambda test: test.outcome is not Outcome.FAIL)
    if not ran:
        why = "ran no program, or an older panthorlab wrote this down" if tests else "is none that has ended"
        raise UsageError(f"{run}: the test {name} {why}", hint="result.json of the run has the names of its tests")
    return ran[0].last


def _workload(log_dir: Path, program: str) -> str | None:
    """What the kernel log of the boot says began under this id."""
    begin = re.compile(rf"panthorlab: begin id={re.escape(program)} workload=(\S{{1,256}})")
    try:
        found = begin.search((log_dir / KMSG).read_text(errors="replace"))
    except OSError:
        return None
    return found[1] if found else None


def _others(events: Iterable[Event]) -> str:
    faulty = [
        one.id for one in events if isinstance(one, Iteration) and not one.cut and one.outcome is not Outcome.PASS
    ]
    failed = dict.fromkeys(one.name for one in events if isinstance(one, Tested) and one.outcome is Outcome.FAIL)
    shown = [*faulty[:5], *list(failed)[:3]]
    return f"what failed: {', '.join(shown)}" if shown else "result.json of the run has the ids of its iterations"


def findings_of(ran: str, events: Iterable[Event]) -> tuple[FindingJson, ...]:
    """What the kernel said while this iteration or program ran."""
    found: list[FindingJson] = []
    for event in events:
        match event:
            case Iteration(id=iteration) if iteration == ran:
                found += event.findings
            case StrayEvent(marker=Marker(id=program, delay=None)) if program == ran:
                found.append(event.finding)
    return tuple(found)


def before(ran: str, of_boot: Iterable[Event]) -> Before:
    """What is on record up to `ran`. What the kernel said behind it, and tests that ended later, are not."""
    kept, end = list(of_boot), _place(ran)
    strays = [event for event in kept if isinstance(event, StrayEvent)]
    return Before(
        tuple(one for one in kept if isinstance(one, Iteration) and not one.cut and _place(one.id) <= end),
        tuple(one for one in kept if isinstance(one, Tested) and one.last and _place(one.last) < end),
        tuple(one for one in strays if _place_of(one) < end or one.finding in findings_of(ran, [one])),
    )


def _place(ran: str) -> tuple[int, int]:
    """Where in its boot an iteration or a program ran: the batch, and the number in it."""
    found = _ID.fullmatch(ran)
    return (int(found["batch"]), int(found["number"])) if found else (0, 0)


def _place_of(stray: StrayEvent) -> tuple[int, int]:
    return _place((stray.marker.id if stray.marker else None) or "")


def differences(then: Before, now: Before) -> Iterator[str]:
    """What differs between what is on record and what the replay did, in words."""
    for old, new in zip(then.iterations, now.iterations, strict=False):
        names = [field.name for field in fields(Iteration) if field.name not in OF_HOST]
        if unequal := [name for name in names if getattr(old, name) != getattr(new, name)]:
            yield f"iteration {old.id}: {', '.join(unequal)}"
    for was, is_now in zip(then.tests, now.tests, strict=False):
        if (was.name, was.outcome, was.last) != (is_now.name, is_now.outcome, is_now.last):
            yield f"test {was.name}: {was.outcome}, then {is_now.name}: {is_now.outcome}"
    for said, says in zip(then.strays, now.strays, strict=False):
        if said.finding != says.finding:
            yield f"between iterations the kernel said {says.finding.get('kind')}, and not {said.finding.get('kind')}"
    yield from _missing("iteration", [one.id for one in then.iterations[len(now.iterations) :]])
    yield from _missing("test", [one.name for one in then.tests[len(now.tests) :]])
    yield from _missing("finding", [str(one.finding.get("kind")) for one in then.strays[len(now.strays) :]])


def _missing(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"{what} {names[0]}: it was not reached"

# SPDX-License-Identifier: GPL-2.0-or-later
"""Run directories as the record itself writes them, without a board: for whatever reads many runs, or large ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from panthorlab.jsonvalue import JsonObject
from panthorlab.outcome import Blame, Outcome, Role, Side
from panthorlab.run.record import (
    ArmKernel,
    BisectEnd,
    BisectStart,
    BoardUp,
    BootEnd,
    BootStart,
    Event,
    Iteration,
    MailRecord,
    OfBoot,
    PatchRecord,
    Quota,
    RunEnd,
    RunStart,
    SessionTime,
    Settings,
    SourceEvent,
    StrayEvent,
    Tested,
)
from panthorlab.run.record import lines as log_lines
from panthorlab.run.record.log import EventLog
from panthorlab.run.record.versions import VERSION, as_json
from panthorlab.verdict import Expect

NOON = 1_767_268_800.0
"""2026-01-01 12:00 UTC."""
NIGHT = 86_400.0
SIGNATURE = "mmu-fault:panthor:TRANSLATION_FAULT_3:WRITE:heap-context"


@dataclass(frozen=True, kw_only=True)
class MadeRun:
    """`rates`: by workload and arm, (faulty, of how many) in each boot. `tests`: SUITE::TEST with the outcome on each
    arm. `lost`: iterations of each workload and boot that could not be judged. `stray`: findings outside iterations."""

    rates: Mapping[str, Mapping[str, tuple[int, int]]]
    tests: Mapping[str, Mapping[str, Outcome]]
    started: float = NOON
    boots: int = 2
    lost: int = 0
    arms: tuple[str, ...] = (Side.BEFORE, Side.AFTER)
    expect: Expect | None = Expect.FIX
    board: str = "qemu-g610"
    release: str = "6.12.117"
    kernels: Mapping[str, str] | None = None
    signature: str = SIGNATURE
    title: str = "drm/panthor: Evict groups before VM termination"
    mails: tuple[MailRecord, ...] = ()
    stray: tuple[str, ...] = ()
    ended: bool = True
    role: Role = Role.CLAIM


FIXED = MadeRun(
    rates={
        "heap-exit/exit": {"before": (40, 40), "after": (0, 150)},
        "heap-exit/sigkill": {"before": (38, 40), "after": (0, 150)},
    },
    tests={"probe::test_render_node": {"before": Outcome.PASS, "after": Outcome.PASS}},
)
ALONE = MadeRun(
    rates={"heap-exit/exit": {"kernel": (0, 10)}, "heap-exit/vm-destroy-live": {"kernel": (2, 10)}},
    tests={"reset::test_reset": {"kernel": Outcome.PASS}},
    arms=("kernel",),
    expect=None,
)


def write_run(run_dir: Path, run: MadeRun) -> Path:
    """Make the directory with its log, and give it."""
    run_dir.mkdir(parents=True)
    before, written = 0, bytearray()
    for event in events_of_run(run):
        line = log_lines.encode(as_json(event), before)
        before = log_lines.link(line[:-1])
        written += line
    (run_dir / "events.jsonl").write_bytes(written)
    return run_dir


def write_bisect(run_dir: Path, status: int | None = 0) -> Path:
    """A bisect whose boots are those of `ALONE`, and what it came to; None: it has not come to anything yet."""
    write_run(run_dir, replace(ALONE, ended=False))
    with EventLog(run_dir) as log:
        log.append(BisectStart(repository="/linux", good=("a" * 40,), bad="b" * 40, signature="", limit=24))
        if status is not None:
            log.append(BisectEnd(culprits=("c" * 40,), checks=("its parent: clean",), reason="it is c", exit=status))
            log.append(RunEnd())
    return run_dir


def events_of_run(run: MadeRun) -> list[Event]:
    """The events, a tenth of a second apart."""
    return [replace(event, time=round(run.started + number / 10, 3)) for number, event in enumerate(_events(run))]


def _events(run: MadeRun) -> Iterator[Event]:
    settings = Settings(
        board=run.board,
        boards=(run.board,),
        boots=run.boots,
        expect=run.expect,
        patch=("v1.patch",) if run.expect else None,
    )
    suites = sorted({name.partition("/")[0] for name in run.rates} | {name.partition("::")[0] for name in run.tests})
    command = ("panthorlab", "validate" if run.expect else "run", "v1.patch")
    yield RunStart(options=settings, suites=tuple(suites), command=command, directory="/home/user", version=VERSION)
    if run.expect is not None:
        patch = PatchRecord(run.title, "applies", "v1.patch", run.mails[0].message_id if run.mails else None)
        yield SourceEvent(base=f"Linux {run.release}", patches=(patch,), version=run.release, mails=run.mails)
    for arm in run.arms:
        key = (run.kernels or {}).get(arm, f"{arm}-{run.release}").ljust(64, "0")
        yield ArmKernel(
            arm=arm,
            key=key,
            build_id=key[:40],
            release=run.release,
            title=f"{run.release} {arm}",
            fragments=("panthor",),
        )
    for number in range(1, run.boots + 1):
        for arm in run.arms:
            boot = f"{arm}{number}"
            for event in _boot(run, arm):
                placed = replace(event, boot=f"{boot}.1", arm=arm, slot=boot)
                yield replace(placed, id=f"{boot}.1.{placed.id}") if isinstance(placed, Iteration) else placed
    if run.ended:
        yield RunEnd()
        yield SessionTime(seconds=100.0)


def _boot(run: MadeRun, arm: str) -> Iterator[OfBoot]:
    yield BootStart(kernel=arm, board=run.board)
    yield BoardUp(name=run.board, facts={"type": "emulated", "qemu": "11.1.3"})
    for name, outcomes in run.tests.items():
        suite, _, test = name.partition("::")
        outcome = outcomes[arm]
        blame = None if outcome is Outcome.PASS else Blame.KERNEL
        yield Tested(suite=suite, test=test, outcome=outcome, blame=blame, message="", seconds=0.1)
    for workload, rates in run.rates.items():
        faulty, total = rates[arm]
        planned = total + run.lost
        yield Quota(workload=workload, role=run.role, planned=planned, arm_total=planned * run.boots)
        for index in range(planned):
            own_id = f"{workload.rpartition('/')[2]}-{index}"
            yield _iteration(run, workload, own_id, faulty=index < faulty, lost=index >= total)
    for signature in run.stray:
        yield StrayEvent(finding=finding(signature))
    yield BootEnd(complete=True, outcome=Outcome.PASS, blame=None, booted=True)


def finding(signature: str) -> JsonObject:
    """As `scan --json` has it."""
    return {
        "kind": signature.partition(":")[0], "driver": "panthor", "device": "mali-gpu.1.auto", "timestamp": 0.677142,
        "as": 1, "va": "0x0000800000003000", "raw_status": "0x7CD003C3", "exception": "TRANSLATION_FAULT_3",
        "access": "WRITE", "source_id": "0x7CD0", "owner": "heap-context", "signature": signature, "line": 12,
        "text": "Unhandled Page fault in AS1 at VA 0x0000800000003000\nraw fault status: 0x7CD003C3",
    }  # fmt: skip


def _iteration(run: MadeRun, workload: str, own_id: str, *, faulty: bool, lost: bool) -> Iteration:
    found = (finding(run.signature),) if faulty else ()
    kind = run.signature.partition(":")[0]
    return Iteration(
        id=own_id,
        workload=workload,
        role=run.role,
        outcome=Outcome.ERROR if lost else Outcome.FAIL if faulty else Outcome.PASS,
        blame=Blame.LAB if lost else Blame.KERNEL if faulty else None,
        message="the log has a hole" if lost else "",
        terminations=1,
        faulty=int(faulty),
        kinds=(kind,) if faulty else (),
        signatures=(run.signature,) if faulty else (),
        declared=(kind,),
        program_failed=False,
        findings=found,
        us=60_000,
    )

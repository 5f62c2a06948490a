# SPDX-License-Identifier: GPL-2.0-or-later
"""The rule by which a workload that only hangs is left, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from panthorlab.outcome import Blame, Outcome, Role, Side
from panthorlab.run import results
from panthorlab.run.job import Job
from panthorlab.run.plan import Slot, progress_of
from panthorlab.run.quota import BATCH
from panthorlab.run.record import Iteration, OfBoot, Quota
from panthorlab.run.record.log import EventLog, read_events
from panthorlab.run.session import Session
from panthorlab.run.stopping import FIRST, hopeless, left_out
from panthorlab.run.workload import Workload
from panthorlab.verdict import Verdict

from .recorded import Told, judge, typed

WORK = Workload("heap-exit/exit", ("heap-exit",))


def event(number: int, *, failed: bool, side: str = "after", boot: str = "after1.1") -> Iteration:
    return Iteration(
        id=f"{boot}-{number}", arm=side, boot=boot, slot=boot.partition(".")[0], workload=WORK.name, role=Role.CLAIM,
        outcome=Outcome.FAIL if failed else Outcome.PASS, blame=Blame.KERNEL if failed else None,
        message="ended by signal 9" if failed else "", terminations=1, faulty=0, kinds=(), signatures=(),
        declared=("mmu-fault",), program_failed=failed, findings=(),
    )  # fmt: skip


def test_eight_of_eight_failed_programs_are_enough() -> None:
    why = hopeless([event(n, failed=True) for n in range(FIRST)])
    assert why == "left out: the first 8 on this boot all failed, the first so: ended by signal 9"


@pytest.mark.parametrize("events", [
    [event(n, failed=True) for n in range(FIRST - 1)],
    [event(n, failed=n != 3) for n in range(FIRST)],
    [event(n, failed=n > 0) for n in range(40)],
    [replace(event(n, failed=True), program_failed=False, kinds=("mmu-fault",), faulty=1) for n in range(FIRST)],
    [replace(event(n, failed=True), outcome=Outcome.ERROR, blame=Blame.LAB) for n in range(FIRST)],
])  # fmt: skip
def test_nothing_else_is(events: Sequence[Iteration]) -> None:
    assert hopeless(events) is None


class Played(Session):
    """A session whose board is a list of answers."""

    def __init__(self, job: Job, *, failing: int) -> None:
        self.job_description = job
        self.failing, self.ran, self.batches = failing, 0, list[int]()
        self.sent: list[OfBoot] = []
        self._emit = self.sent.append

    def _batch(self, workload: Workload, count: int) -> list[Iteration]:
        self.batches.append(count)
        events = [event(self.ran + n, failed=self.ran + n < self.failing) for n in range(count)]
        self.ran += count
        return events


def _job(done: int = 0) -> Job:
    return Job("b", "k", "after", "after1", "after1.1", 0, 1, "", "", (), None, 1, done={WORK.name: done})


def test_workload_that_hangs_is_left_and_the_rest_recorded() -> None:
    session = Played(_job(), failing=1000)
    events = session.iterate(WORK).events
    assert session.batches == [FIRST]
    assert len(events) == WORK.iterations
    missed = [sent for sent in session.sent if isinstance(sent, Iteration)]
    assert len(missed) == WORK.iterations - FIRST
    assert {sent.outcome for sent in missed} == {Outcome.MISS}
    assert len({sent.id for sent in missed}) == len(missed)


@pytest.mark.parametrize(("done", "batches"), [(0, [FIRST, BATCH, 112]), (232, [FIRST]), (235, [5]), (240, [])])
def test_others_run_to_their_end(done: int, batches: list[int]) -> None:
    session = Played(_job(done), failing=FIRST - 1)
    assert len(session.iterate(WORK).events) == WORK.iterations - done
    assert session.batches == batches


@pytest.mark.parametrize(("bulk", "few"), [(1, 5), (2, 2), (9, 1)])
def test_where_few_run_fewer_do_of_what_is_many_in_one(bulk: int, few: int) -> None:
    work, played = replace(WORK, bulk=bulk), Played(_job(), failing=0)
    assert len(played.iterate(work, at_most=5).events) == few
    assert [sent.arm_total for sent in played.sent if isinstance(sent, Quota)] == [few]
    assert len(Played(_job(), failing=0).iterate(work).events) == WORK.iterations


def test_what_was_left_out_is_not_tried_again() -> None:
    missed = replace(left_out(WORK, "after1.1.x", "left out"), slot="after1")
    assert progress_of(Slot(Side.AFTER, 0), [missed]).done == {WORK.name: 1}


def _boot(side: str, slot: int, failing: int, total: int) -> list[Told]:
    where = {"boot": f"{side}{slot}.1", "slot": f"{side}{slot}", "side": side}
    iterations = [event(n, failed=n < failing, side=side, boot=where["boot"]) for n in range(total)]
    if why := hopeless(iterations):
        rest = (left_out(WORK, f"{where['boot']}.{n}", why) for n in range(FIRST, total))
        placed = (replace(missed, boot=where["boot"], slot=where["slot"], arm=side) for missed in rest)
        iterations = [*iterations[:FIRST], *placed]
    return [
        {"event": "boot-start", **where},
        {"event": "board", "name": "b", "facts": {}, **where},
        {"event": "quota", "workload": WORK.name, "role": "claim", "planned": total, "side_total": 2 * total, **where},
        *iterations,
        {"event": "boot-end", "complete": True, "booted": True, "outcome": "PASS", "blame": None, **where},
    ]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "verdict"), [
    (0, 120, Verdict.REGRESSED),
    (120, 0, Verdict.INCONCLUSIVE),  # not reproduced: a hang without a finding is not what the claim is about
    (120, 120, Verdict.INCONCLUSIVE),
])  # fmt: skip
def test_verdict_of_runs_in_which_a_side_hangs(before: int, after: int, verdict: Verdict) -> None:
    start = {"event": "run-start", "time": 0.0, "suites": [], "command": [], "options": {"expect": "fix", "board": "b"}}
    events: list[Told] = [start]
    for slot in (1, 2):
        events += _boot("before", slot, before, 120) + _boot("after", slot, after, 120)
    judged = judge([*events, {"event": "run-end"}])
    assert judged.verdict == verdict, judged.reasons
    exit_ = judged.workloads[0]
    assert (exit_.before.missing, exit_.after.missing) == (0, 0)


def test_logs_of_earlier_versions_have_no_cut_iterations() -> None:
    old = [{"event": "iteration", "id": "x", "outcome": "PASS"}]
    assert [iteration.cut for iteration in results.iterations(typed(old))] == [False]
    assert results.iterations(typed(old))[0].counts


def test_emitted_events_survive_their_journey(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        log.append(replace(left_out(WORK, "x", "why"), arm="after", boot="b", slot="after1"))
    (result,) = results.iterations(read_events(tmp_path))
    assert (result.cut, result.counts, result.outcome) == (True, False, Outcome.MISS)

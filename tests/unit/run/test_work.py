# SPDX-License-Identifier: GPL-2.0-or-later
"""Slots over several boards: who gets which, what becomes of those of a board that dies, and that leases are kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from panthorlab.board import lab
from panthorlab.board.board import Board
from panthorlab.board.registry import open_board
from panthorlab.errors import LabError
from panthorlab.outcome import Blame, Outcome, Side
from panthorlab.run.controller import Controller
from panthorlab.run.fleet import Lane
from panthorlab.run.job import Job
from panthorlab.run.plan import MAX_LAB_ATTEMPTS, Slot, placed, remaining, schedule
from panthorlab.run.record import BoardUp, BootEnd, BootStart, Event, Moved, Note, OfBoot, Resumed, RunStart, Settings
from panthorlab.run.record.log import EventLog, read_events
from panthorlab.run.validate import SIDES
from panthorlab.run.work import Work

BOARDS = ("a", "b")


def test_every_board_alternates_and_names_are_unique() -> None:
    slots = schedule(SIDES, 2, BOARDS)
    assert [(slot.board, slot.name) for slot in slots] == [
        ("a", "before1"), ("a", "after1"), ("a", "after2"), ("a", "before2"),
        ("b", "after3"), ("b", "before3"), ("b", "before4"), ("b", "after4"),
    ]  # fmt: skip
    assert [slot.fresh for slot in slots] == [True, False] * 4


def test_one_board_is_as_ever() -> None:
    assert [slot.name for slot in schedule(SIDES, 3)] == ["before1", "after1", "after2", "before2", "before3", "after3"]
    assert [slot.name for slot in schedule(SIDES, 2, ["x"])] == [slot.name for slot in schedule(SIDES, 2)]


def test_moved_slots_stay_where_they_went_when_a_run_is_resumed() -> None:
    moved = Moved(slot="after1", board="b")
    slots = placed(schedule(SIDES, 1, BOARDS), [moved])
    assert {slot.name: slot.board for slot in slots} == {"before1": "a", "after1": "b", "before2": "b", "after2": "b"}
    assert next(slot for slot in slots if slot.name == "after1").fresh


def test_moving_a_slot_gives_it_new_chances_but_not_a_kernel_that_dies() -> None:
    slot = Slot(Side.AFTER, 0, "a")
    lab_end = BootEnd(slot="after1", complete=False, outcome=Outcome.ERROR, blame=Blame.LAB)
    lab_ends = [lab_end] * MAX_LAB_ATTEMPTS
    kernel_ends = [replace(lab_end, outcome=Outcome.FAIL, blame=Blame.KERNEL)] * 2
    moved = Moved(slot="after1", board="b")
    assert remaining([slot], lab_ends) == []
    assert remaining([slot], [*lab_ends, moved]) == [slot]
    assert remaining([slot], [*kernel_ends, moved]) == []


def test_dead_board_leaves_its_slots_to_the_least_busy_and_the_last_one_stays() -> None:
    work = Work(schedule(SIDES, 2, ("a", "b", "c")), ("a", "b", "c"), threading.Event())
    at = work.take("a")
    assert at is not None
    assert at.name == "before1"
    moved: list[Slot] = []
    assert work.leave("a", at, moved.append)
    assert [(slot.name, slot.board) for slot in moved] == [
        ("before1", "b"), ("after1", "c"), ("after2", "b"), ("before2", "c")
    ]  # fmt: skip
    assert work.take("a") is None
    assert work.leave("b", None, moved.append)
    assert not work.leave("c", None, moved.append)
    taken = []
    while (slot := work.take("c")) is not None:
        taken.append(slot.name)
        work.finish(slot)
    assert len(set(taken)) == 12


def test_idle_board_waits_for_what_another_may_leave_behind() -> None:
    work = Work([Slot(Side.BEFORE, 0, "a")], BOARDS, threading.Event())
    slot = work.take("a")
    got: list[Slot | None] = []
    thread = threading.Thread(target=lambda: got.append(work.take("b")))
    thread.start()
    assert slot is not None
    assert work.leave("a", slot, lambda _slot: None)
    thread.join(60)
    assert [one.name for one in got if one] == ["before1"]


def test_nobody_waits_for_a_run_that_is_stopped() -> None:
    stop = threading.Event()
    work = Work([Slot(Side.BEFORE, 0, "a")], BOARDS, stop)
    assert work.take("a") is not None
    stop.set()
    assert work.take("b") is None


REAL = """\
type: real
console: {transport: tcp, host: localhost, port: 4000}
power: {driver: manual}
ssh: {host: localhost}
boot: {methods: [kexec, module-swap], console: ttyS2, root: root=/dev/mmcblk1p2}
"""


class Lab:
    """Two real boards by their files, and a controller whose workers are played by `behaviour`."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        run_dir.mkdir()
        self.jobs: list[Job] = []
        self.leased: list[str] = []

    def run(
        self,
        behaviour: Callable[[str, str], bool],
        *,
        boards: Sequence[str] = BOARDS,
        boots: int = 2,
        wait: float = 0.0,
        lanes: Sequence[str] = (),
    ) -> list[Event]:
        """`behaviour(board, slot)`: whether the board is well enough for the boot to be complete."""
        with EventLog(self.run_dir) as log:
            if not read_events(self.run_dir):
                log.append(RunStart(options=Settings(), suites=()))
            controller = _Played(self, behaviour, log, boards)
            opened = [Lane(open_board(board), wait) for board in lanes or boards]
            controller.play(opened, schedule(SIDES, boots, boards))
        return read_events(self.run_dir)


class _Played(Controller):
    def __init__(self, made: Lab, behaviour: Callable[[str, str], bool], log: EventLog, boards: Sequence[str]) -> None:
        self._made, self._behaviour, self._own_log, self._boards = made, behaviour, log, boards

    def play(self, lanes: Sequence[Lane], slots: Sequence[Slot]) -> None:
        super().__init__(
            self._own_log, self._made.run_dir, read_events(self._made.run_dir), self._job, lanes=lanes,
            progress=lambda _event: None,
        )  # fmt: skip
        self.run(slots)

    def _job(self, slot: Slot) -> Job:
        return Job(
            slot.board, "kernel", slot.arm, slot.name, "", slot.index, 4, "", "", ("s",), None, 1, fresh=slot.fresh
        )

    def _work(self, board: Board, log_dir: Path, record: Callable[[OfBoot], None]) -> str:
        job = Job.read(json.loads((log_dir / "job.json").read_text()))
        self._made.jobs.append(job)
        assert board.key == job.board
        self._made.leased.append(lab.standing(job.board).why)
        record(BoardUp(name=job.board, facts={}))
        if not self._behaviour(job.board, job.slot):
            return "the board is dead"
        record(BootEnd(complete=True, booted=True, outcome=Outcome.PASS, blame=None))
        return ""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PANTHORLAB_LAB", raising=False)
    configs = tmp_path / "board_configs"
    configs.mkdir()
    for board in BOARDS:
        (configs / f"{board}.yaml").write_text(REAL)
    monkeypatch.setenv("PANTHORLAB_PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return Lab(tmp_path / "run")


def _ends(events: Sequence[Event]) -> dict[str, str]:
    """Board by slot of the boots that were complete."""
    boards = {event.boot: event.name for event in events if isinstance(event, BoardUp)}
    return {event.slot: boards[event.boot] for event in events if isinstance(event, BootEnd) and event.complete}


def test_boards_work_off_their_own_slots_under_a_lease(made: Lab) -> None:
    events = made.run(lambda _board, _slot: True)
    assert _ends(events) == {slot.name: slot.board for slot in schedule(SIDES, 2, BOARDS)}
    assert all(f"for {made.run_dir}" in why for why in made.leased)
    assert {lab.standing(board).state for board in BOARDS} == {lab.LeaseState.FREE}
    fresh = {job.slot: job.fresh for job in made.jobs}
    assert fresh == {slot.name: slot.fresh for slot in schedule(SIDES, 2, BOARDS)}


def test_slots_of_a_board_that_dies_move_and_a_resumed_run_has_nothing_left_to_do(made: Lab) -> None:
    events = made.run(lambda board, slot: board == "b" or slot == "before1")
    ends = _ends(events)
    assert ends == {slot.name: "b" for slot in schedule(SIDES, 2, BOARDS)} | {"before1": "a"}
    boots = [event.boot for event in events if isinstance(event, BootStart)]
    assert len(boots) == len(set(boots)) == 8 + MAX_LAB_ATTEMPTS
    assert [job.fresh for job in made.jobs if job.slot in ("after1", "after2")][-2:] == [True, True]
    assert any("board a is given up" in event.text for event in events if isinstance(event, Note))
    count = len(events)
    assert len(made.run(lambda _board, _slot: True)) == count


def test_when_all_boards_die_the_run_ends_with_slots_given_up(made: Lab) -> None:
    events = made.run(lambda _board, _slot: False, boots=1)
    slots = placed(schedule(SIDES, 1, BOARDS), events)
    assert remaining(slots, events) == []
    assert not _ends(events)
    assert remaining(slots, [*events, Resumed()]), "and can be resumed"


def test_busy_board_is_left_to_the_others_or_waited_for(made: Lab) -> None:
    with lab.lease("a", "/runs/other", run="other"):
        events = made.run(lambda _board, _slot: True, boots=1)
    assert set(_ends(events).values()) == {"b"}
    assert any("leased by" in event.text for event in events if isinstance(event, Note))


def test_single_board_that_is_busy_is_an_error_that_names_its_holder(made: Lab) -> None:
    with lab.lease("a", "/runs/other", run="other"), pytest.raises(lab.BusyError, match="for /runs/other"):
        made.run(lambda _board, _slot: True, boards=["a"])


def test_busy_board_is_waited_for(made: Lab) -> None:
    other = lab.lease("a", "/runs/other", run="other")
    first = threading.Event()

    def behave(board: str, _slot: str) -> bool:
        first.set()
        return bool(board)

    def give_back() -> None:
        assert first.wait(60)
        other.release()

    thread = threading.Thread(target=give_back)
    thread.start()
    events = made.run(behave, boots=1, wait=60)
    thread.join()
    assert _ends(events)["before1"] == "a"


def test_board_quarantined_during_a_run_gets_no_further_boot(made: Lab) -> None:
    def behave(board: str, slot: str) -> bool:
        if slot == "before1":
            lab.quarantine(board, "smells")
        return True

    events = made.run(behave)
    assert {slot for slot, board in _ends(events).items() if board == "a"} == {"before1"}
    assert len(_ends(events)) == 8


def test_lease_that_somebody_ended_stops_a_run_on_one_board(made: Lab) -> None:
    def behave(board: str, _slot: str) -> bool:
        lab.release(board, end_lease=True)
        return True

    with pytest.raises(LabError, match="was lost: somebody ended it"):
        made.run(behave, boards=["a"])


def test_copies_of_an_emulated_board_share_its_slots(made: Lab) -> None:
    both = threading.Barrier(2, timeout=60)

    def behave(_board: str, slot: str) -> bool:
        if slot in ("before1", "after1"):
            both.wait()
        return True

    events = made.run(behave, boards=["qemu-g610"], lanes=["qemu-g610"] * 2)
    assert set(_ends(events)) == {"before1", "after1", "after2", "before2"}

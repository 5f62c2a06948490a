# SPDX-License-Identifier: GPL-2.0-or-later
"""The scoreboard's bookkeeping: what counts as showing a bug, what is still to be run, what a kill leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bug_board import Board, Built, Settings, came_of, groups
from benchmarks.bug_faults import Fault, Judged, new
from benchmarks.bug_faults import judge as judge_events
from benchmarks.bug_records import CLEAN, First, Outcome, Record, Records, Result, State, state_of
from benchmarks.bug_rows import load
from benchmarks.bug_runs import Ran, StoppedError, digest, guest_seconds, run
from panthorlab.errors import UsageError
from tests.unit.run.recorded import Told, typed

START: dict[str, Any] = {"event": "run-start", "time": 100.0, "options": {}, "suites": ["uapi", "vm-bind"]}
BOOT: dict[str, Any] = {"event": "boot-start", "time": 101.0, "boot": "after1.1", "slot": "after1", "side": "after"}
END: dict[str, Any] = {"event": "run-end", "time": 150.0}
SUITES = {"uapi": "d1", "vm-bind": "d2"}


def judge(events: Sequence[Told], *, whole: bool) -> Judged:
    return judge_events(typed(events), whole=whole)


def _test(name: str, outcome: str, **more: Any) -> dict[str, Any]:
    suite, _, test = name.partition("::")
    return {
        "event": "test",
        "time": 110.0,
        "boot": "after1.1",
        "suite": suite,
        "test": test,
        "outcome": outcome,
        "message": "why",
        **more,
    }


def _iteration(outcome: str, role: str = "claim", **more: Any) -> dict[str, Any]:
    return {
        "event": "iteration",
        "time": 112.0,
        "boot": "after1.1",
        "id": "i1",
        "workload": "heap-exit/exit",
        "role": role,
        "outcome": outcome,
        "terminations": 1,
        "message": "a page fault",
        "kinds": ["mmu-fault"],
        "signatures": ["mmu:write"],
        "declared": ["mmu-fault"],
        "findings": [],
        **more,
    }


def _stray(**more: Any) -> dict[str, Any]:
    finding = {"kind": "kasan", "signature": "kasan:use", "line": 71, "text": "BUG: KASAN: use in f"}
    return {"event": "stray", "time": 113.0, "boot": "after1.1", "side": "after", "finding": finding, **more}


def _death(blame: str = "kernel") -> dict[str, Any]:
    return {
        "event": "boot-end",
        "time": 120.0,
        "boot": "after1.1",
        "slot": "after1",
        "complete": False,
        "blame": blame,
        "outcome": {"kernel": "FAIL", "lab": "ERROR"}[blame],
        "reason": "the kernel died at 12.345: Oops at ffff800012345678",
    }


# -- what a run is blamed for


@pytest.mark.parametrize(
    ("event", "by", "suite"),
    [
        (_test("uapi::a", "FAIL"), "uapi::a", "uapi"),
        (_iteration("FAIL"), "heap-exit/exit", ""),
        (_death(), "boot", ""),
        (_stray(), "outside iterations, before any iteration", ""),
    ],
)
def test_whatever_panthorlab_run_blames_the_kernel_for_is_a_fault(event: dict[str, Any], by: str, suite: str) -> None:
    judged = judge([START, BOOT, _test("uapi::b", "PASS"), event], whole=False)
    assert judged.status == 1
    assert [(fault.by, fault.suite) for fault in judged.faults] == [(by, suite)]
    assert new(judged.faults, {judged.faults[0].key}) == []


@pytest.mark.parametrize(
    "event",
    [
        _test("uapi::a", "PASS"),
        _test("uapi::a", "SKIP"),
        _iteration("PASS"),
        _iteration("FAIL", role="watch"),
        _stray(expected=True),
    ],
)
def test_what_is_not_blamed_is_no_fault(event: dict[str, Any]) -> None:
    assert judge([START, BOOT, _test("uapi::b", "PASS"), event], whole=False).faults == ()


@pytest.mark.parametrize("error", [_test("uapi::b", "ERROR"), _iteration("ERROR"), _death("lab")])
def test_with_an_error_of_the_lab_nothing_is_a_fault_and_nothing_clean(error: dict[str, Any]) -> None:
    judged = judge([START, BOOT, _test("uapi::a", "FAIL"), error, END], whole=True)
    assert (judged.status, judged.faults) == (4, ())
    assert judged.errors


def test_a_run_that_did_not_end_is_an_error_unless_it_was_stopped_on_purpose() -> None:
    events = [START, BOOT, _test("uapi::a", "PASS")]
    assert judge(events, whole=True).status == 4
    assert judge(events, whole=False).status == 0
    assert judge([], whole=False).status == 4


def test_the_same_death_at_another_time_and_address_is_the_same_fault() -> None:
    other = {**_death(), "reason": "the kernel died at 99.1: Oops at ffff80007654fedc"}
    first, second = (judge([START, BOOT, event], whole=False).faults[0].key for event in (_death(), other))
    assert first == second


def test_counts_and_lines_do_not_make_another_fault_of_a_finding() -> None:
    later = _stray()
    later["finding"] = {**later["finding"], "line": 900}
    once = judge([START, BOOT, _test("uapi::b", "PASS"), _stray()], whole=False).faults
    twice = judge([START, BOOT, _test("uapi::b", "PASS"), later, later], whole=False).faults
    assert new(twice, {fault.key for fault in once}) == []


# -- what a run becomes on record


def _ran(*events: dict[str, Any], stopped: bool = False, limited: bool = False, status: int = 1) -> Ran:
    return Ran(typed([START, BOOT, *events]), status, 50.0, stopped, limited, 7.25, "output")


def test_a_stopped_run_says_after_how_long_and_how_much() -> None:
    made = came_of(_ran(_test("uapi::b", "PASS"), _iteration("PASS"), _iteration("FAIL"), stopped=True), set())
    assert made["outcome"] is Outcome.FAULTS
    assert made["first"] == First(host=11.0, guest=7.2, iterations=2, tests=1)


def test_the_first_fault_is_the_first_that_the_clean_kernel_does_not_have() -> None:
    ran = _ran(_test("uapi::known", "FAIL"), _test("uapi::new", "FAIL", time=140.0), stopped=True)
    made = came_of(ran, {("test", "uapi::known")})
    assert made["first"].host == 39.0


@pytest.mark.parametrize(
    ("ran", "outcome"),
    [
        (_ran(_test("uapi::a", "PASS"), END), Outcome.CLEAN),
        (_ran(_test("uapi::a", "PASS")), Outcome.ERROR),
        (_ran(_test("uapi::a", "PASS"), limited=True), Outcome.TIME_LIMIT),
        (_ran(_test("uapi::a", "ERROR"), limited=True), Outcome.ERROR),
        (_ran(_iteration("ERROR"), limited=True), Outcome.ERROR),
        (Ran(typed([START]), 4, 600.0, False, True, None, "no board was free"), Outcome.ERROR),
        (Ran([], 4, 600.0, False, True, None, "no time"), Outcome.ERROR),
        (_ran(_test("uapi::a", "ERROR"), END), Outcome.ERROR),
        (Ran([], 4, 1.0, False, False, None, "no kernel"), Outcome.ERROR),
    ],
)
def test_every_other_end_has_its_name(ran: Ran, outcome: Outcome) -> None:
    made = came_of(ran, set())
    assert made["outcome"] is outcome
    assert made["first"] is None
    assert bool(made["errors"]) is (outcome is not Outcome.CLEAN)


def test_a_command_that_fails_is_an_error_of_the_lab_and_leaves_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    suite = tmp_path / "test_uapi.py"
    suite.write_text("def test_a(session): ...\n")
    ran = run("no-such-kernel", {"uapi": suite}, tmp_path / "runs/05-x", limit=600)
    made = came_of(ran, set())
    assert made["outcome"] is Outcome.ERROR
    assert "no-such-kernel" in ran.output
    stop = Event()
    stop.set()
    with pytest.raises(StoppedError):
        run("no-such-kernel", {"uapi": suite}, tmp_path / "runs/06-x", limit=60, stop=stop)


# -- what follows from the records

FAULT = Fault(("test", "uapi::a"), "uapi", "uapi::a", "why")


def _record(row: str = "05-x", kernel: str = "bad", outcome: Outcome = Outcome.CLEAN, **more: Any) -> Record:
    fields: dict[str, Any] = {
        "base": "6.12.117",
        "fragments": ("panthor",),
        "suites": SUITES,
        "arguments": (),
        "stopped": False,
        "faults": (),
        "errors": (),
        "first": None,
        "seconds": 10.0,
        "build_seconds": 1.0,
        "run": "r",
        "started": "t",
    }
    if outcome is Outcome.FAULTS:
        fields |= {"faults": (FAULT,), "stopped": True, "first": First(host=3.0, guest=2.0, iterations=0, tests=1)}
    if outcome is Outcome.ERROR:
        fields |= {"errors": ("the lab is on fire",)}
    return Record(row=row, kernel=kernel, outcome=outcome, **{**fields, **more})


CHECKED = _record(CLEAN, "good")


def _state(*records: Record, suites: dict[str, str] = SUITES, arguments: tuple[str, ...] = ()) -> State:
    return state_of("05-x", {"bad", "bad-with-other-programs"}, {"good"}, suites, arguments, records)


def test_a_row_is_shown_by_a_fault_that_the_clean_kernel_does_not_have() -> None:
    shown = _state(_record(outcome=Outcome.FAULTS), CHECKED)
    assert shown.result is Result.SHOWN
    assert shown.by is not None
    assert shown.by[1] == FAULT
    alarm = _record(CLEAN, "good", Outcome.FAULTS)
    assert _state(_record(outcome=Outcome.FAULTS), alarm).result is Result.OPEN, "and what was cut short is run again"
    assert _state(_record(kernel="bad-with-other-programs", outcome=Outcome.FAULTS), CHECKED).result is Result.SHOWN
    elsewhere = _record(CLEAN, "another", Outcome.FAULTS)
    assert _state(_record(outcome=Outcome.FAULTS), CHECKED, elsewhere).result is Result.SHOWN


@pytest.mark.parametrize(
    ("check", "result"),
    [
        (None, Result.OPEN),
        (_record(CLEAN, "another"), Result.OPEN),
        (_record(CLEAN, "good", suites={"uapi": "d0"}), Result.OPEN),
        (_record(CLEAN, "good", suites={"vm-bind": "d2"}), Result.OPEN),
        (_record(CLEAN, "good", arguments=("--iterations", "6")), Result.OPEN),
        (_record(CLEAN, "good", Outcome.TIME_LIMIT), Result.OPEN),
        (_record(CLEAN, "good", Outcome.ERROR), Result.ERROR),
        (_record(CLEAN, "good", suites={"uapi": "d1"}), Result.SHOWN),
    ],
)
def test_a_fault_shows_nothing_before_its_suite_has_run_without_the_bug(check: Record | None, result: Result) -> None:
    """As after a kill between both runs, or if the lab failed the second one."""
    state = _state(_record(outcome=Outcome.FAULTS), *([check] if check else []))
    assert state.result is result
    assert state.unchecked == (() if result is Result.SHOWN else ("uapi",))
    assert state.missing == (), "nothing more is run with the bug before that"


def test_only_those_suites_count_that_a_row_names() -> None:
    """What another one says of the same kernel is luck, and the row is run on."""
    records = [_record(outcome=Outcome.FAULTS), CHECKED]
    suite = FAULT.suite.replace("_", "-")
    assert state_of("05-x", {"bad"}, {"good"}, SUITES, (), records, (suite,)).result is Result.SHOWN
    assert state_of("05-x", {"bad"}, {"good"}, SUITES, (), records, ("another",)).result is Result.OPEN
    outside = Fault(("outside", "after a job", "mmu-fault"), "", "outside iterations", "a page fault")
    records = [_record(outcome=Outcome.FAULTS, faults=(outside, FAULT)), CHECKED]
    state = state_of("05-x", {"bad"}, {"good"}, SUITES, (), records, (suite,))
    assert state.by is not None
    assert state.by[1] == FAULT


def test_a_row_whose_suites_all_ran_without_a_fault_is_not_shown() -> None:
    assert _state(_record()).result is Result.NOT_SHOWN
    halves = [_record(suites={"uapi": "d1"}), _record(suites={"vm-bind": "d2"})]
    assert _state(*halves).result is Result.NOT_SHOWN
    assert _state(halves[0]).missing == ("vm-bind",)
    known = _record(outcome=Outcome.FAULTS, stopped=False)
    assert _state(known, _record(CLEAN, "good", Outcome.FAULTS)).result is Result.NOT_SHOWN


def test_a_run_that_the_time_limit_ended_speaks_of_a_single_suite_alone() -> None:
    """Of several the last may never have begun: each is run by itself then."""
    several = _record(outcome=Outcome.TIME_LIMIT, errors=("late",))
    assert (_state(several).result, _state(several).missing) == (Result.OPEN, ("uapi", "vm-bind"))
    each = [_record(outcome=Outcome.TIME_LIMIT, suites={name: digest}) for name, digest in SUITES.items()]
    assert _state(several, *each).result is Result.NOT_SHOWN
    assert _state(several, *each).limited


def test_an_error_of_the_lab_is_neither_shown_nor_not_shown_and_is_tried_again() -> None:
    state = _state(_record(outcome=Outcome.ERROR))
    assert (state.result, state.missing) == (Result.ERROR, ("uapi", "vm-bind"))
    assert "the lab is on fire" in state.errors[0]
    assert _state(_record(outcome=Outcome.ERROR), _record()).result is Result.NOT_SHOWN
    assert _state(_record(outcome=Outcome.ERROR, faults=(FAULT,))).result is Result.ERROR


@pytest.mark.parametrize(
    "old",
    [
        _record(kernel="older"),
        _record(row="06-x"),
        _record(suites={"uapi": "d0", "vm-bind": "d0"}),
        _record(arguments=("--iterations", "6")),
        _record(outcome=Outcome.FAULTS, suites={"uapi": "d0"}),
    ],
)
def test_what_was_run_on_another_kernel_or_with_another_suite_does_not_count(old: Record) -> None:
    state = _state(old)
    assert (state.result, state.missing) == (Result.OPEN, ("uapi", "vm-bind"))


def test_a_new_suite_is_all_that_is_run_of_a_row_that_was_not_shown() -> None:
    state = _state(_record(), suites={**SUITES, "sched": "d3"})
    assert (state.result, state.missing) == (Result.OPEN, ("sched",))
    assert _state(_record(outcome=Outcome.FAULTS), CHECKED, suites={**SUITES, "sched": "d3"}).result is Result.SHOWN
    changed = _state(_record(outcome=Outcome.FAULTS), CHECKED, suites={"uapi": "d1", "vm-bind": "changed"})
    assert changed.result is Result.SHOWN, "another suite than the one that showed it has changed"


@given(st.lists(st.sampled_from(["clean", "faults", "time-limit", "error"]), max_size=6), st.integers(0, 400))
def test_a_file_of_results_that_was_cut_anywhere_is_read_up_to_its_last_whole_line(kinds: list[str], cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a" / "results.jsonl"
        written = Records(path)
        for kind in kinds:
            written.add(_record(outcome=Outcome(kind)))
        data = path.read_bytes() if kinds else b""
        if kinds:
            path.write_bytes(data[: max(0, len(data) - cut)])
        kept = data[: max(0, len(data) - cut)].count(b"\n")
        again = Records(path)
        assert again.all == written.all[:kept]
        if kinds:
            assert path.read_bytes() == data[: max(0, len(data) - cut)], "who only reads does not cut what is written"
        again.add(_record())
        assert Records(path).all == [*written.all[:kept], _record()]
        other = Path(folder) / "other.jsonl"
        beside = Records(other, [path])
        beside.add(_record(CLEAN))
        assert beside.all == [*written.all[:kept], _record(), _record(CLEAN)]
        assert len(Records(other, [path, path, other]).all) == len(beside.all), "no file counts twice"
        assert Records(other).all == [_record(CLEAN)], "the others are only read"


def test_what_a_full_disk_has_left_does_not_spoil_what_is_added_later(tmp_path: Path) -> None:
    records = Records(tmp_path / "results.jsonl")
    records.add(_record())
    with records.path.open("ab") as file:
        file.write(b'{"row": "06-')
    records.add(_record(CLEAN))
    assert Records(records.path).all == [_record(), _record(CLEAN)]


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text('{"row": "05-x"}\n')
    with pytest.raises(UsageError, match=r"results.jsonl:1: no record"):
        Records(tmp_path / "results.jsonl")


# -- suites, times, the page


def test_suites_of_single_calls_come_before_those_that_iterate(tmp_path: Path) -> None:
    quick, slow = tmp_path / "test_uapi.py", tmp_path / "test_claim.py"
    quick.write_text("def test_a(session): ...\n")
    slow.write_text("def test_a(iterate): ...\n")
    suites = {"claim": slow, "uapi": quick}
    assert groups(suites, ["claim", "uapi"], alone=False) == [["uapi"], ["claim"]]
    assert groups(suites, ["claim"], alone=False) == [["claim"]]
    assert groups(suites, ["claim", "uapi"], alone=True) == [["claim"], ["uapi"]]
    assert groups(suites, [], alone=True) == []
    assert groups(suites, ["claim", "uapi"], alone=False, first=["claim"]) == [["claim"], ["uapi"]]
    assert groups(suites, ["uapi", "claim"], alone=True, first=["claim"]) == [["claim"], ["uapi"]]
    before = digest(quick)
    (tmp_path / "conftest.py").write_text("")
    assert digest(quick) != before


def test_the_guests_clock_is_read_from_the_last_line_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "boots/after1.1/kmsg.log"
    assert guest_seconds(tmp_path, typed([START])) is None
    assert guest_seconds(tmp_path, typed([START, BOOT])) is None
    log.parent.mkdir(parents=True)
    log.write_bytes(b"6,1,1500000,-;first\n4,2,7250000,-;Oops, 1,2,3\n SUBSYSTEM=drm\n")
    assert guest_seconds(tmp_path, typed([START, BOOT])) == 7.25


# -- what is run again after a kill


def _board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *outcomes: Ran | None) -> tuple[Board, list[str]]:
    """A board whose runs are these, and the kernels and suites that they were of. None: that of a kill."""
    suites = {}
    for name in SUITES:
        suites[name] = tmp_path / f"test_{name.replace('-', '_')}.py"
        suites[name].write_text("def test_a(session): ...\n")
    asked: list[str] = []
    left = list(outcomes)

    def run(kernel: str, chosen: dict[str, Path], directory: Path, **_: Any) -> Ran:
        asked.append(f"{kernel}: {' '.join(chosen)}")
        if (one := left.pop(0)) is None:
            raise KeyboardInterrupt
        return one

    monkeypatch.setattr("benchmarks.bug_board.run", run)
    results = tmp_path / "results.jsonl"
    return Board(Settings(results, suites), Records(results)), asked


def test_a_row_that_was_seen_before_a_kill_is_checked_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = _ran(_test("uapi::a", "FAIL"), stopped=True)
    quiet = _ran(_test("uapi::a", "PASS"), END, status=0)
    failed = Ran([], 4, 1.0, False, False, None, "the lab is on fire")
    keys: Any = [SimpleNamespace(key=key) for key in ("bad", "good")]
    row = next(bug for bug in load().shown if not bug.shown_by)
    built = Built(row, keys[0], keys[1], base="6.12.117", fragments=("panthor",), seconds=1.0)
    board, asked = _board(tmp_path, monkeypatch, seen, None)
    with pytest.raises(KeyboardInterrupt):
        board.play(built)
    assert asked == ["bad: uapi vm-bind", "good: uapi"]
    board, asked = _board(tmp_path, monkeypatch, failed, failed, failed)
    assert board.play(built).result is Result.ERROR
    assert set(asked) == {"good: uapi"}
    board, asked = _board(tmp_path, monkeypatch, quiet)
    assert board.play(built).result is Result.SHOWN
    assert asked == ["good: uapi"]
    board, asked = _board(tmp_path, monkeypatch)
    assert board.play(built).result is Result.SHOWN
    assert asked == [], "what is on record is not run again"

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the scoreboard says, and keeps: a part of it is renewed, the rest stays, and each row says what it is from."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bug_faults import Fault
from benchmarks.bug_published import Alarm, Published, Quiet, Row, changed, changed_patches, read, renew, write
from benchmarks.bug_records import CLEAN, First, Outcome, Record, Result, State
from benchmarks.bug_rows import load
from benchmarks.bug_scores import Scores, markdown
from panthorlab.errors import UsageError

FAULT = Fault(("test", "vm_bind::a"), "vm_bind", "vm_bind::a", "why")
STRAY = Fault(("outside", "after a job", "mmu-fault"), "", "outside iterations, after a job", "a page fault")
SUITES = {"uapi": "d1", "vm-bind": "d2"}
NUMBERS = itertools.count()
OLD = Row(
    result=Result.SHOWN, by="vm_bind::old", host=5.0, suites={"vm-bind": "d0"}, panthorlab="old", date="2026-01-01"
)


def _record(row: str = "05-x", **more: Any) -> Record:
    fields: dict[str, Any] = {
        "kernel": "bad",
        "base": "6.12.117",
        "fragments": ("panthor",),
        "suites": SUITES,
        "arguments": ("--iterations", "6"),
        "outcome": Outcome.FAULTS,
        "stopped": True,
        "faults": (FAULT,),
        "errors": (),
        "first": First(host=3.0, guest=2.0, iterations=0, tests=1),
        "seconds": 10.0,
        "build_seconds": 1.0,
        "run": f"r{next(NUMBERS)}",
        "started": "2026-11-29T12:00:00+00:00",
        "panthorlab": "new",
    }
    return Record(row=row, **{**fields, **more})


def _clean(*faults: Fault) -> Record:
    return _record(CLEAN, outcome=Outcome.FAULTS if faults else Outcome.CLEAN, faults=faults, first=None, stopped=False)


def _ran(*suites: str, **more: Any) -> Record:
    ran = {name: SUITES[name] for name in suites}
    return _record(suites=ran, outcome=Outcome.CLEAN, faults=(), first=None, stopped=False, **more)


SHOWN = State(result=Result.SHOWN, by=(_record(), FAULT))
PLAIN, DEBUG = ("panthor", "qemu-virt"), ("panthor", "qemu-virt", "kasan", "prove-locking")


def _not_shown(*suites: str, **more: Any) -> State:
    return State(result=Result.NOT_SHOWN, ran=(_ran(*suites, **more),))


def _error(*suites: str) -> State:
    ran = (_ran(*suites),) if suites else ()
    return State(result=Result.ERROR, ran=ran, missing=("uapi",), errors=("uapi: the lab is on fire",))


def test_a_row_that_is_run_takes_the_place_of_what_was_said_of_it_and_the_others_stay() -> None:
    before = Published(rows={"05-x": OLD, "06-y": OLD}, clean={"old": Quiet(runs=7, seconds=70.0)})
    after = renew(
        before, {"05-x": SHOWN, "06-y": State(result=Result.OPEN)}, [_record(), _clean(FAULT), _clean(FAULT)], needs={}
    )
    assert after.rows["06-y"] == OLD
    row = after.rows["05-x"]
    assert (row.by, row.guest, row.host, row.text) == ("vm_bind::a", 2.0, 3.0, "why")
    assert (row.panthorlab, row.date, row.arguments) == ("new", "2026-11-29", ("--iterations", "6"))
    assert row.suites == {"vm-bind": "d2"}
    assert after.clean["old"] == before.clean["old"]
    assert (after.clean["new"].runs, after.clean["new"].seconds, after.clean["new"].alarms[0].times) == (2, 20.0, 2)


def test_no_alarm_and_no_run_is_lost_with_results_of_a_part() -> None:
    """Nor does one count twice."""
    first, second, third = _clean(FAULT), _clean(), _clean(FAULT, STRAY)
    before = renew(Published(), {}, [first, second], needs={})
    after = renew(before, {}, [third], needs={})
    assert (after.clean["new"].runs, after.clean["new"].seconds) == (3, 30.0)
    assert {alarm.by: alarm.times for alarm in after.clean["new"].alarms} == {FAULT.by: 2, STRAY.by: 1}
    assert renew(after, {}, [first, second, third], needs={}) == after


def test_where_it_is_not_known_which_runs_were_told_of_no_alarm_is_lost_and_none_counts_twice() -> None:
    told = (Alarm(by=FAULT.by, text=FAULT.text, times=2),)
    before = Published(clean={"new": Quiet(runs=7, seconds=70.0, alarms=told)})
    after = renew(before, {}, [_clean(FAULT), _clean(STRAY)], needs={}).clean["new"]
    assert (after.runs, after.seconds) == (7, 70.0)
    assert {alarm.by: alarm.times for alarm in after.alarms} == {FAULT.by: 2, STRAY.by: 1}
    assert renew(before, {}, [_clean() for _ in range(9)], needs={}).clean["new"].runs == 9


def test_a_kernel_that_cannot_be_built_is_told_and_takes_no_result_away() -> None:
    table = load()
    known, unknown = table.shown[:2]
    unbuilt = State(result=Result.ERROR, errors=("not built: hunk 1 does not apply",))
    after = renew(Published(rows={known.id: OLD}), {known.id: unbuilt, unknown.id: unbuilt}, [], needs={})
    assert after.rows == {known.id: OLD}
    page = markdown(Scores(table, after, {}, SUITES, "today", "a machine"))
    told = next(line for line in page.splitlines() if line.startswith("**Since then.**"))
    assert f"{known.number} (not built: hunk 1 does not apply); {unknown.number} (not built" in told
    lines = {line.split(" | ")[0].strip("| "): line for line in page.splitlines() if line.startswith("| ")}
    assert "| shown |" in lines[known.id]
    assert "| error |  |  |  |  | not built: hunk 1 does not apply |" in lines[unknown.id]
    assert renew(after, {known.id: SHOWN, unknown.id: SHOWN}, [], needs={}).unbuilt == {}


def test_a_row_whose_patch_is_another_one_now_is_told() -> None:
    table = load()
    row, other = table.shown[-1], table.shown[0]
    after = renew(Published(rows={other.id: OLD}), {row.id: SHOWN}, [], needs={}, patches={row.id: "p1"})
    assert changed_patches(after.rows, {row.id: "p1", other.id: "p2"}) == []
    now = {row.id: "p2", other.id: "p2"}
    assert changed_patches(after.rows, now) == [row.id]
    page = markdown(Scores(table, after, {}, SUITES, "today", "a machine", now))
    assert f"Rows whose patch is not what it was then, which were not run again: {row.number}." in page


@pytest.mark.parametrize(
    ("state", "displaced"),
    [
        (_not_shown("uapi"), False),
        (_not_shown("vm-bind"), True),
        (_not_shown("vm-bind", "uapi"), True),
        (_error("vm-bind", "uapi"), False),
        (_error(), False),
    ],
)
def test_what_was_shown_stays_until_the_suite_that_did_does_not(state: State, displaced: bool) -> None:
    after = renew(Published(rows={"05-x": OLD}), {"05-x": state}, [], needs={}).rows["05-x"]
    assert (after == OLD) is not displaced
    assert displaced is (after.result is Result.NOT_SHOWN)


@pytest.mark.parametrize("result", [Result.SHOWN, Result.NOT_SHOWN])
def test_what_a_debug_kernel_has_said_stays_until_one_says_something_else(result: Result) -> None:
    old = OLD.model_copy(update={"result": result, "fragments": DEBUG})
    before = Published(rows={"05-x": old})
    assert renew(before, {"05-x": _not_shown("vm-bind", "uapi", fragments=PLAIN)}, [], needs={}).rows["05-x"] == old
    after = renew(before, {"05-x": _not_shown("vm-bind", "uapi", fragments=DEBUG)}, [], needs={}).rows["05-x"]
    assert (after.result, after.fragments) == (Result.NOT_SHOWN, DEBUG)
    assert renew(before, {"05-x": SHOWN}, [], needs={}).rows["05-x"].by == "vm_bind::a", (
        "shown is shown, on whatever kernel"
    )


@pytest.mark.parametrize(("fragments", "displaced"), [(PLAIN, False), (DEBUG, True)])
def test_what_was_said_before_fragments_were_kept_is_of_a_kernel_that_had_what_the_row_needs(
    fragments: tuple[str, ...], displaced: bool
) -> None:
    """So row 48 lost that lockdep had shown it; row 8 still is of that time."""
    state = _not_shown("vm-bind", "uapi", fragments=fragments)
    after = renew(Published(rows={"05-x": OLD}), {"05-x": state}, [], needs={"05-x": ("prove-locking",)})
    assert (after.rows["05-x"] == OLD) is not displaced


def test_a_row_tells_of_the_runs_that_were_looked_at_alone() -> None:
    """Another kernel's, of the same row, are none of them."""
    records = [_ran("uapi", fragments=DEBUG, kernel="debug"), _ran("vm-bind", fragments=PLAIN)]
    row = renew(Published(), {"05-x": _not_shown("vm-bind", fragments=PLAIN)}, records, needs={}).rows["05-x"]
    assert (row.suites, row.fragments) == ({"vm-bind": "d2"}, PLAIN)


def test_an_error_of_the_lab_is_told_of_a_row_of_which_nothing_is_known() -> None:
    after = renew(Published(), {"05-x": _error("vm-bind", "uapi")}, [], needs={}).rows["05-x"]
    assert (after.result, after.text) == (Result.ERROR, "uapi: the lab is on fire")
    assert (
        renew(Published(rows={"05-x": after}), {"05-x": _not_shown("uapi")}, [], needs={}).rows["05-x"].result
        == "not shown"
    )


def test_rows_whose_suite_is_another_one_now_are_named() -> None:
    several = Row(result=Result.SHOWN, suites={"uapi": "d0", "vm-bind": "d0"}, panthorlab="old", date="2026-01-01")
    new = renew(Published(), {"07-z": SHOWN}, [_record()], needs={}).rows
    assert changed({"05-x": OLD, "06-y": several, **new}, SUITES) == {"vm-bind": ["05-x"]}
    assert changed({"05-x": OLD}, {"uapi": "d1"}) == {"vm-bind": ["05-x"]}, "it is gone"


def test_a_fault_of_no_known_suite_keeps_all_that_ran() -> None:
    state = State(result=Result.SHOWN, by=(_record(faults=(STRAY,)), STRAY))
    assert renew(Published(), {"05-x": state}, [], needs={}).rows["05-x"].suites == SUITES


def test_the_data_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "page.json"
    assert read(path) == Published()
    published = renew(Published(rows={"06-y": OLD}), {"05-x": SHOWN}, [_record(), _clean(FAULT)], needs={})
    write(path, published)
    assert read(path) == published
    assert list(read(path).rows) == ["05-x", "06-y"]
    path.write_text('{"rows": []}')
    with pytest.raises(UsageError, match=r"page\.json: not what the scoreboard says"):
        read(path)


def test_the_page_has_every_row_and_its_state() -> None:
    table = load()
    first, second, third = table.shown[:3]
    records = [_record(first.id), _clean(FAULT)]
    states = {first.id: State(result=Result.SHOWN, by=(records[0], FAULT)), second.id: _not_shown("uapi", "vm-bind")}
    published = renew(Published(rows={third.id: OLD}), states, records, needs={})
    page = markdown(Scores(table, published, {"6.12.117": "good"}, SUITES, "today", "a machine"))
    rows = {line.split(" | ")[0].strip("| "): line for line in page.splitlines() if line.startswith("| ")}
    assert "| shown | vm_bind::a | 0 | 2.0 | 3.0 | why | new `--iterations 6` |" in rows[first.id]
    assert "| not shown |" in rows[second.id]
    assert "with uapi, vm-bind" in rows[second.id]
    assert "| shown | vm_bind::old |  |  | 5.0 |  | old |" in rows[third.id]
    assert "| open |" in rows[table.shown[3].id]
    assert {bug.id for bug in table.bug} <= rows.keys()
    assert f"| {len(table.bug)} | not measured | {len(table.shown)} | 2 (" in page
    assert "Whole runs" not in page
    assert "1 × vm_bind::a: why (does not count" in page
    assert "2 with `new`, 1 with `old`" in page
    assert f"vm-bind ({third.id[:2]})" in page


def test_the_published_page_has_what_its_data_and_the_table_say_and_nothing_else() -> None:
    """Who renews one of them renews all."""
    docs = Path(__file__).resolve().parents[3] / "docs"
    published = read(docs / "scoreboard.json")
    page = markdown(Scores(load(), published, {}, SUITES, "today", "a machine"))
    of_then = re.compile(r"- (last renewed|machine then|kernels without a bug then): |\*\*Since then")
    made, told = (
        [line for line in text.splitlines() if not of_then.match(line)]
        for text in (page, (docs / "scoreboard.md").read_text())
    )
    assert made == told


def test_the_published_data_are_of_the_tables_rows_alone() -> None:
    table = load()
    published = read(Path(__file__).resolve().parents[3] / "docs/scoreboard.json")
    assert published.rows.keys() <= {row.id for row in table.rows}
    assert not [bug.id for bug in table.bug if bug.unshown and bug.id in published.rows], "it cannot be shown, and was"


def test_rows_of_three_digits_are_named_by_all_of_them() -> None:
    row = next(bug for bug in load().shown if len(bug.number) == 3)
    page = markdown(Scores(load(), Published(rows={row.id: OLD}), {}, SUITES, "today", "a machine"))
    assert f"vm-bind ({row.number})" in page


@pytest.mark.parametrize(("fragments", "told"), [(PLAIN, "not shown needs kmemleak"), (("kmemleak",), "not shown")])
def test_the_page_says_what_a_row_lacked(fragments: tuple[str, ...], told: str) -> None:
    row = Row(result=Result.NOT_SHOWN, fragments=fragments, panthorlab="new", date="2026-01-01")
    published = Published(rows={"08-vma-memleak": row})
    page = markdown(Scores(load(), published, {}, SUITES, "today", "a machine"))
    assert next(line for line in page.splitlines() if line.startswith("| 08-")).split(" | ")[3] == told

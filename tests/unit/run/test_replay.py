# SPDX-License-Identifier: GPL-2.0-or-later
"""What `panthorlab replay` refuses, and what it calls the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.cli import main as cli
from panthorlab.errors import UsageError
from panthorlab.jsonvalue import JsonObject
from panthorlab.outcome import Outcome
from panthorlab.run.dependence import FILE, changed, dependence, read_kept
from panthorlab.run.job import Job
from panthorlab.run.original import Before, before, differences, find_original, findings_of, parts_of
from panthorlab.run.record import Event, Iteration, Marker, StrayEvent, Tested
from panthorlab.run.record.codec import encode
from panthorlab.run.record.log import EventLog
from panthorlab.run.repeated import Repeated
from panthorlab.run.replay import refuse_others

from .recorded import typed

FINDING = {"kind": "mmu-fault", "timestamp": 1.25, "text": "Unhandled Page fault"}


def iterations(count: int) -> list[Iteration]:
    ran = typed({"event": "iteration", "boot": "a1.1", "id": f"a1.1.1-{n + 1}", "us": 100 + n} for n in range(count))
    return [cast(Iteration, event) for event in ran]


def unequal(then: list[Iteration], now: list[Iteration]) -> list[str]:
    return list(differences(Before(tuple(then)), Before(tuple(now))))


def test_what_the_host_wrote_down_when_does_not_count() -> None:
    then = iterations(3)
    assert unequal(then, [replace(event, time=7.0, boot="", arm="") for event in then]) == []
    assert unequal(then, [*then, *iterations(4)[3:]]) == []


@given(st.integers(0, 4), st.sampled_from(["us", "outcome", "findings", "message"]))
def test_any_difference_is_found_with_the_iteration_and_the_field(which: int, field: str) -> None:
    then, now = iterations(5), iterations(5)
    value = {"us": 1, "outcome": Outcome.FAIL, "findings": (FINDING,), "message": "x"}[field]
    now[which] = replace(now[which], **{field: value})  # type: ignore[arg-type]
    assert unequal(then, now) == [f"iteration a1.1.1-{which + 1}: {field}"]


@given(st.integers(0, 4))
def test_a_replay_that_ended_early_is_not_the_same(count: int) -> None:
    assert unequal(iterations(5), iterations(count)) == [f"iteration a1.1.1-{count + 1}: it was not reached"]


def ended(name: str, last: str, outcome: Outcome = Outcome.PASS) -> Tested:
    suite, _, test = name.partition("::")
    return Tested(boot="a1.1", suite=suite, test=test, outcome=outcome, blame=None, message="", seconds=0.1, last=last)


def stray(program: str, delay: float | None, at: float, kind: str = "warning") -> StrayEvent:
    finding: JsonObject = {"kind": kind, "signature": kind, "timestamp": at}
    return StrayEvent(boot="a1.1", finding=finding, marker=Marker(program, "w", delay))


PROGRAMS = (
    ended("s::first", "a1.1.2-1"),
    stray("a1.1.2-1", 0.1, 1.0),  # behind the first test's
    stray("a1.1.3-1", None, 2.0),  # while that ran
    stray("a1.1.3-1", 0.1, 3.0),  # behind it
    ended("s::second", "a1.1.4-1", Outcome.FAIL),
    ended("s::skipped", "", Outcome.SKIP),
)


def test_of_a_boot_counts_what_was_before_the_program_and_what_came_of_it() -> None:
    events = [*iterations(2), *PROGRAMS]
    found = before("a1.1.3-1", events)
    assert [one.id for one in found.iterations] == ["a1.1.1-1", "a1.1.1-2"]
    assert [one.name for one in found.tests] == ["s::first"]
    assert [one.finding["timestamp"] for one in found.strays] == [1.0, 2.0]
    assert [finding["timestamp"] for finding in findings_of("a1.1.3-1", events)] == [2.0]
    assert before("a1.1.1-1", events) == Before(tuple(iterations(1)))


@pytest.mark.parametrize(
    ("which", "other", "told"),
    [
        (0, ended("s::first", "a1.1.2-1", Outcome.FAIL), "test s::first: "),
        (0, ended("s::first", "a1.1.1-3"), "test s::first: "),
        (1, stray("a1.1.2-1", 0.1, 1.0, "oops"), "between iterations the kernel said oops"),
        (2, stray("a1.1.3-1", None, 2.5), "between iterations the kernel said warning"),
    ],
)
def test_what_tests_and_the_kernel_said_otherwise_is_a_difference(which: int, other: Event, told: str) -> None:
    changed = [*PROGRAMS[:which], other, *PROGRAMS[which + 1 :]]
    then, now = before("a1.1.3-1", PROGRAMS), before("a1.1.3-1", changed)
    assert [text.startswith(told) for text in differences(then, now)] == [True]


@pytest.mark.parametrize(("left_out", "told"), [(0, "test s::first"), (2, "finding warning")])
def test_what_a_replay_has_not_is_a_difference(left_out: int, told: str) -> None:
    fewer = [event for at, event in enumerate(PROGRAMS) if at != left_out]
    then, now = before("a1.1.3-1", PROGRAMS), before("a1.1.3-1", fewer)
    assert list(differences(then, now)) == [f"{told}: it was not reached"]


@pytest.mark.parametrize(
    ("text", "run", "ran"),
    [
        ("runs/a:b1.1.2-1", "runs/a", "b1.1.2-1"),
        ("runs/a:s::test[x:y/z]", "runs/a", "s::test[x:y/z]"),
        ("/odd:run:b1.1.2-1", "/odd:run", "b1.1.2-1"),
        ("/odd:run:s::t", "/odd:run", "s::t"),
    ],
)
def test_a_test_is_named_as_an_iteration_is(text: str, run: str, ran: str) -> None:
    assert parts_of(text) == (run, ran)


def test_a_program_of_a_test_is_found_by_its_own_name_or_the_tests(tmp_path: Path) -> None:
    run = record(tmp_path, {"time": "exact"}, PROGRAMS)
    log_dir = run / "boots/a1.1"
    log_dir.mkdir(parents=True)
    (log_dir / "job.json").write_text(json.dumps(encode(job(run))))
    (log_dir / "kmsg.log").write_text("14,1,1,-;panthorlab: begin id=a1.1.4-1 workload=gpu-job/store boot=x\n")
    for name in ("a1.1.4-1", "s::second"):
        original = find_original(str(run), name)
        assert (original.ran, original.workload, original.findings) == ("a1.1.4-1", "gpu-job/store", ())
    for name in ("s::skipped", "s::none", "a1.1.9-1", "../a-1"):
        with pytest.raises(UsageError) as refused:
            find_original(str(run), name)
        assert refused.value.hint


def record(folder: Path, facts: Mapping[str, Any], more: Sequence[Event] = ()) -> Path:
    """A run of one boot with two iterations, and `more`."""
    run = folder / "run"
    run.mkdir()
    start = {"event": "run-start", "options": {"expect": "fix"}}
    kernel = {"event": "kernel", "key": "k", "build_id": "b", "path": "/k", "side": "after"}
    boot = {"event": "boot-start", "boot": "a1.1", "kernel": "k", "board": "b", "side": "after"}
    board = {"event": "board", "boot": "a1.1", "name": "b", "facts": dict(facts), "boot_id": "x", "side": "after"}
    events: list[Event] = typed([start, kernel, boot, board])
    with EventLog(run) as log:
        for event in (*events, *iterations(2), *more):
            log.append(event)
    return run


def job(folder: Path, **fields: Any) -> Job:
    (folder / "board.yaml").write_text("type: emulated\n")
    (folder / "test_x.py").write_text("")
    (folder / "boots" / "a1.1").mkdir(parents=True, exist_ok=True)
    return Job(
        board=str(folder / "board.yaml"), kernel="no such kernel", arm="after", slot="a1", boot="a1.1", index=0,
        boots=1, run_dir=str(folder), log_dir=str(folder / "boots" / "a1.1"), suites=(str(folder / "test_x.py"),),
        iterations=2, seed=3, **fields,
    )  # fmt: skip


@pytest.mark.parametrize("facts", [{}, {"time": "host"}, {"time": "host", "time_wanted": "exact"}])
def test_what_ran_in_the_hosts_time_is_refused(tmp_path: Path, facts: dict[str, str]) -> None:
    run = record(tmp_path, facts)
    with pytest.raises(UsageError, match="host's time") as refused:
        find_original(str(run), "a1.1.1-2")
    assert "--time exact" in str(refused.value.hint)


def test_an_iteration_that_never_ran_is_refused(tmp_path: Path) -> None:
    run = record(tmp_path, {"time": "exact"})
    with pytest.raises(UsageError, match=r"no iteration or program a1\.1\.1-3"):
        find_original(str(run), "a1.1.1-3")


def test_its_boot_up_to_it_is_found(tmp_path: Path) -> None:
    run = record(tmp_path, {"time": "exact"})
    with pytest.raises(UsageError, match=r"job\.json"):
        find_original(str(run), "a1.1.1-1")
    wanted = job(run)
    (run / "boots/a1.1/job.json").write_text(json.dumps(encode(wanted)))
    original = find_original(str(run), "a1.1.1-1")
    assert original.job == wanted
    assert [event.id for event in original.before.iterations] == ["a1.1.1-1"]


@pytest.mark.parametrize("missing", ["board.yaml", "test_x.py"])
def test_what_is_gone_is_named(tmp_path: Path, missing: str) -> None:
    run = record(tmp_path, {"time": "exact"})
    (run / "boots" / "a1.1").mkdir(parents=True)
    (run / "boots/a1.1/job.json").write_text(json.dumps(encode(job(run))))
    (run / missing).unlink()
    with pytest.raises(UsageError, match=missing):
        refuse_others(find_original(str(run), "a1.1.1-1"))


def test_whatever_a_boot_depends_on_is_told_apart(tmp_path: Path) -> None:
    wanted = job(tmp_path)
    kept = dependence(wanted, "11.1.3")
    assert list(changed(kept, dependence(wanted, "11.1.3"))) == []
    (tmp_path / "test_x.py").write_text("x = 1\n")
    now = dependence(wanted, "10.1.0")
    assert [text.split(" (")[0] for text in changed(kept, now)] == ["QEMU", "the suites"]
    assert all(text.count("now)") for text in changed({}, now))


def test_files_of_an_overlay_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay/a").write_text("one")
    wanted = replace(job(tmp_path), overlay=str(tmp_path / "overlay"))
    kept = dependence(wanted, "11.1.3")
    assert list(changed(kept, dependence(wanted, "11.1.3"))) == []
    (tmp_path / "overlay/a").write_text("two")
    assert [text.split(" (")[0] for text in changed(kept, dependence(wanted, "11.1.3"))] == ["the overlay"]


@pytest.mark.parametrize("content", [None, "", "[]", "{"])
def test_a_boot_that_kept_nothing_cannot_be_repeated(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(UsageError):
        read_kept(tmp_path)


def test_the_command_says_how_an_iteration_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["replay", "nothing"]) == 2
    assert "RUN:ITERATION" in capsys.readouterr().err
    assert cli(["replay", "/nonexistent:a1.1.1-1"]) == 2


def test_of_a_test_that_failed_the_program_that_did_is_repeated_and_not_its_clean_up() -> None:
    ran = Repeated()
    assert ran.wanted == ""
    ran.begins("a1.1.2-1")
    ran.begins("a1.1.3-1")
    assert ran.wanted == "a1.1.3-1"
    ran.fails()
    ran.begins("a1.1.4-1")
    ran.fails()
    assert ran.wanted == "a1.1.3-1"

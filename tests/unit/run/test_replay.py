# SPDX-License-Identifier: GPL-2.0-or-later
"""What `panthorlab replay` refuses, and what it calls the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.cli import main as cli
from panthorlab.errors import UsageError
from panthorlab.outcome import Outcome
from panthorlab.run.dependence import FILE, changed, dependence, read_kept
from panthorlab.run.job import Job
from panthorlab.run.record import Event, Iteration
from panthorlab.run.record.codec import encode
from panthorlab.run.record.log import EventLog
from panthorlab.run.replay import differences, find_original, refuse_others

from .recorded import typed

FINDING = {"kind": "mmu-fault", "timestamp": 1.25, "text": "Unhandled Page fault"}


def iterations(count: int) -> list[Iteration]:
    ran = typed({"event": "iteration", "boot": "a1.1", "id": f"a1.1.1-{n + 1}", "us": 100 + n} for n in range(count))
    return [cast(Iteration, event) for event in ran]


def test_what_the_host_wrote_down_when_does_not_count() -> None:
    then = iterations(3)
    assert list(differences(then, [replace(event, time=7.0, boot="", arm="") for event in then])) == []
    assert list(differences(then, [*then, *iterations(4)[3:]])) == []


@given(st.integers(0, 4), st.sampled_from(["us", "outcome", "findings", "message"]))
def test_any_difference_is_found_with_the_iteration_and_the_field(which: int, field: str) -> None:
    then, now = iterations(5), iterations(5)
    value = {"us": 1, "outcome": Outcome.FAIL, "findings": (FINDING,), "message": "x"}[field]
    now[which] = replace(now[which], **{field: value})  # type: ignore[arg-type]
    assert list(differences(then, now)) == [f"iteration a1.1.1-{which + 1}: {field}"]


@given(st.integers(0, 4))
def test_a_replay_that_ended_early_is_not_the_same(count: int) -> None:
    assert list(differences(iterations(5), iterations(count))) == [f"iteration a1.1.1-{count + 1}: it was not reached"]


def record(folder: Path, facts: Mapping[str, Any]) -> Path:
    """A run of one boot with two iterations."""
    run = folder / "run"
    run.mkdir()
    start = {"event": "run-start", "options": {"expect": "fix"}}
    kernel = {"event": "kernel", "key": "k", "build_id": "b", "path": "/k", "side": "after"}
    boot = {"event": "boot-start", "boot": "a1.1", "kernel": "k", "board": "b", "side": "after"}
    board = {"event": "board", "boot": "a1.1", "name": "b", "facts": dict(facts), "boot_id": "x", "side": "after"}
    events: list[Event] = typed([start, kernel, boot, board])
    with EventLog(run) as log:
        for event in (*events, *iterations(2)):
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
    with pytest.raises(UsageError, match=r"no iteration a1\.1\.1-3"):
        find_original(str(run), "a1.1.1-3")


def test_its_boot_up_to_it_is_found(tmp_path: Path) -> None:
    run = record(tmp_path, {"time": "exact"})
    with pytest.raises(UsageError, match=r"job\.json"):
        find_original(str(run), "a1.1.1-1")
    wanted = job(run)
    (run / "boots/a1.1/job.json").write_text(json.dumps(encode(wanted)))
    original = find_original(str(run), "a1.1.1-1")
    assert original.job == wanted
    assert [event.id for event in original.before] == ["a1.1.1-1"]


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

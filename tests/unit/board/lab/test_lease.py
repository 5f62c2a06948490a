# SPDX-License-Identifier: GPL-2.0-or-later
"""Leases between real processes: shared by one run, refused to others, never kept by the dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from panthorlab.board import lab
from panthorlab.board.lab import record as records
from panthorlab.board.lab.process import Holder, this_process
from panthorlab.board.lab.record import LeaseRecord, Record
from panthorlab.board.lab.state import LeaseState
from panthorlab.errors import LabError

HOLD = """
import sys
from panthorlab.board import lab
held = lab.lease("b", "/runs/other", run=sys.argv[1] if len(sys.argv) > 1 else None)
print("got it" + held.note, flush=True)
sys.stdin.readline()
held.release()
"""


@pytest.fixture(autouse=True)
def _lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PANTHORLAB_LEASE", raising=False)
    folder = tmp_path / "lab"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("PANTHORLAB_LAB", str(folder))


@contextmanager
def holder(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process with a lease of board `b`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    try:
        assert process.stdout.readline().startswith("got it")
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_board_is_free_leased_and_free_again() -> None:
    assert lab.standing("b").state is LeaseState.FREE
    with lab.lease("b", "/runs/x") as held:
        held.check()
        assert lab.standing("b").state is LeaseState.LEASED
        assert f"process {os.getpid()}" in lab.standing("b").why
        assert "/runs/x" in lab.standing("b").why
    assert lab.standing("b").state is LeaseState.FREE
    assert records.read("b").lease is None


def test_another_run_is_refused_and_told_who_has_it() -> None:
    with holder() as other, pytest.raises(lab.BusyError, match=rf"process {other.pid}\) since .* for /runs/other"):
        lab.lease("b")


def test_waits_for_the_run_that_has_it() -> None:
    notes: list[str] = []

    def end(text: str) -> None:
        notes.append(text)
        assert other.stdin
        other.stdin.write("\n")
        other.stdin.flush()

    with holder() as other:
        lab.lease("b", wait=60, on_note=end).release()
    assert len(notes) == 1
    assert "waiting up to 60 s: board b is leased by" in notes[0]


def test_gives_up_waiting_at_the_deadline_or_when_stopped() -> None:
    stop = threading.Event()
    stop.set()
    with holder():
        with pytest.raises(lab.BusyError, match=r"waited 0\.01 s"):
            lab.lease("b", wait=0.01)
        with pytest.raises(LabError, match="interrupted while waiting"):
            lab.lease("b", wait=60, stop=stop)


def test_lease_of_a_killed_process_is_taken_over_with_a_note() -> None:
    with holder() as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert lab.standing("b").state is LeaseState.FREE
        assert "stale lease" in lab.standing("b").why
        notes: list[str] = []
        with lab.lease("b", on_note=notes.append) as held:
            assert f"process {other.pid}" in held.note
        assert notes == [held.note]


def test_pid_that_was_given_to_somebody_else_holds_nothing() -> None:
    with lab.lease("b", run="t1"):
        old = records.read("b")
    assert old.lease
    me = old.lease.holders[0]
    assert me.started
    stale = old.lease
    reused = me.model_copy(update={"started": me.started - 1})
    records.update("b", lambda _: Record(lease=stale.model_copy(update={"holders": (reused,)})))
    with lab.lease("b", run="t2") as held:
        assert "took over" in held.note


def test_processes_of_one_run_share_it_and_the_last_one_frees_it() -> None:
    with holder("run-1") as worker:
        controller = lab.lease("b", run="run-1")
        with pytest.raises(lab.BusyError):
            lab.lease("b", run="run-2")
        controller.release()
        controller.release()
        assert lab.standing("b").state is LeaseState.LEASED  # the worker still tidies up
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()
        assert worker.wait(60) == 0
    assert lab.standing("b").state is LeaseState.FREE


def test_killed_controller_keeps_the_board_for_as_long_as_its_worker_lives() -> None:
    with holder("run-1") as controller, holder("run-1"):
        controller.kill()
        controller.wait()
        with pytest.raises(lab.BusyError):
            lab.lease("b")


def test_workers_inherit_the_run() -> None:
    with lab.lease("b"):
        environment = {**os.environ, "PANTHORLAB_LEASE": lab.run_token()}
        argv = [sys.executable, "-c", HOLD]
        child = subprocess.run(argv, input="\n", env=environment, capture_output=True, text=True, check=False)
        assert (child.returncode, child.stdout) == (0, "got it\n"), child.stderr
        assert lab.standing("b").state is LeaseState.LEASED


def _elsewhere(beat: float) -> Holder:
    me = this_process("x")
    return me.model_copy(update={"machine": "another", "host": "far", "pid": 1, "beat": me.beat + beat})


@pytest.mark.parametrize(("age", "alive"), [(0, True), (-179, True), (-200, False), (1000, False)])
def test_process_of_another_host_lives_by_its_heartbeat(age: float, alive: bool) -> None:
    lease = LeaseRecord(run="far", run_dir="", since=0, expiry=180, holders=(_elsewhere(age),))
    records.update("b", lambda _: Record(lease=lease))
    if alive:
        with pytest.raises(lab.BusyError, match="@far"):
            lab.lease("b")
    else:
        with lab.lease("b") as held:
            assert "@far" in held.note


def test_heart_beats_and_its_holder_notices_that_the_board_was_taken() -> None:
    lost: list[str] = []
    told = threading.Event()

    def lose(why: str) -> None:
        lost.append(why)
        told.set()

    with lab.lease("b", run="ours", beat=0.01, on_loss=lose) as held:
        first = records.read("b").lease
        assert first
        while records.read("b").lease == first:
            assert not held.lost.is_set()
        theirs = LeaseRecord(run="theirs", run_dir="/r", since=0, expiry=180, holders=(_elsewhere(0),))
        records.update("b", lambda record: record.model_copy(update={"lease": theirs}))
        assert told.wait(60)
        assert "@far" in lost[0]
        with pytest.raises(LabError, match="was lost: it is now leased by"):
            held.check()
    assert records.read("b").lease == theirs, "leaving must not end the lease of others"


def test_lease_that_cannot_be_given_back_is_noted_and_ends_with_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    notes: list[str] = []
    held = lab.lease("b", on_note=notes.append)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        held.release()
    assert "free only when this process has ended" in notes[0]
    assert "No space left" in notes[0]
    assert lab.standing("b").state is LeaseState.LEASED


def test_check_notices_before_the_heart_beats() -> None:
    with lab.lease("b") as held:
        lab.release("b", end_lease=True)
        with pytest.raises(LabError, match="somebody ended it"):
            held.check()


def test_quarantined_board_is_refused_even_to_the_run_that_has_it_but_not_to_its_trainer() -> None:
    with lab.lease("b", run="run"):
        lab.quarantine("b", "no network")
        with pytest.raises(lab.QuarantinedError, match="no network"):
            lab.lease("b", run="run")
    with pytest.raises(lab.QuarantinedError, match="no network"):
        lab.lease("b", wait=60)
    with lab.lease("b", run="trainer", despite_quarantine=True), lab.lease("b", run="trainer"):
        assert lab.standing("b").state is LeaseState.QUARANTINED


def test_only_one_of_many_gets_it() -> None:
    script = """
import sys
from panthorlab.board import lab
sys.stdin.readline()
try:
    held = lab.lease("b")
except lab.BusyError:
    print("busy", flush=True)
else:
    print("got", flush=True)
    sys.stdin.readline()
"""
    crowd = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    try:
        for one in crowd:
            assert one.stdin
            one.stdin.write("\n")
            one.stdin.flush()
        said = [one.stdout.readline().strip() for one in crowd if one.stdout]
    finally:
        for one in crowd:
            one.communicate("\n")
    assert sorted(said) == ["busy"] * 4 + ["got"]

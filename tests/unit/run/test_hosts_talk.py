# SPDX-License-Identifier: GPL-2.0-or-later
"""One boot on other hosts as the controller sees it: what they say and what becomes of it, without any host."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import KilledWorker
from distributed.core import Status

from panthorlab.board.boardtime import TimeName
from panthorlab.board.registry import open_board
from panthorlab.errors import LabError
from panthorlab.jsonvalue import Json, JsonObject
from panthorlab.outcome import Outcome
from panthorlab.run.hosts import remote
from panthorlab.run.hosts.desk import Leash
from panthorlab.run.hosts.equal import unequal
from panthorlab.run.hosts.parcels import packed_logs
from panthorlab.run.hosts.remote import RemoteBoot
from panthorlab.run.hosts.session import slots
from panthorlab.run.job import Job
from panthorlab.run.poll import POLL
from panthorlab.run.record import BootEnd, Doing, Note, OfBoot, Quota
from panthorlab.run.record.codec import encode
from panthorlab.run.record.versions import as_json

from .task_future import TaskFuture

VERSIONS = {"panthorlab": "1"}
ONE, TWO = Quota(workload="one", arm_total=1), Quota(workload="two", arm_total=1)
END = BootEnd(complete=True, outcome=Outcome.PASS, blame=None)


@dataclass
class _Hosts:
    """Plays the scheduler: says `script` when the boot is submitted."""

    script: Sequence[JsonObject]
    outcome: object
    inbox: queue.SimpleQueue[JsonObject] = field(default_factory=queue.SimpleQueue)
    future: TaskFuture = field(default_factory=TaskFuture)
    answers: list[tuple[str, str]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    submitted: int = 0
    left: bool = True

    def submit(self, ticket: str, name: str) -> TaskFuture:
        if self.submitted and not self.left:
            raise LabError("no host is left that may do boots")
        self.submitted += 1
        for message in self.script if self.submitted == 1 else ():
            self.inbox.put(message)
        self.future.outcome = self.outcome
        return self.future

    def refuse(self, address: str, theirs: Mapping[str, object]) -> str:
        if why := unequal(address, theirs, VERSIONS):
            self.refused.append(address)
        return why

    def hand(self, address: str, attempt: str, message: object) -> bool:
        self.answers.append((attempt, message["no"] if isinstance(message, dict) else ""))
        return True

    def stop(self, address: str, attempt: str) -> None:
        self.stopped.append(attempt)

    def any_left(self) -> bool:
        return False


def _ready(attempt: str, versions: Mapping[str, str] = VERSIONS) -> JsonObject:
    told: Json = {"host": f"host-{attempt}", "address": f"tcp://{attempt}", "versions": versions}
    return {"attempt": attempt, "number": 0, "ready": told}


def _says(attempt: str, *events: OfBoot, first: int = 1) -> list[JsonObject]:
    return [
        {"attempt": attempt, "number": number, "event": json.dumps(as_json(event))}
        for number, event in enumerate(events, first)
    ]


def _outcome(attempt: str, told: int, why: str = "") -> object:
    return {
        "why": why,
        "log": packed_logs(Path(__file__).parent / "bisect", frozenset()),
        "told": told,
        "attempt": attempt,
    }


@dataclass
class _Talk:
    why: str
    events: list[OfBoot]
    hosts: _Hosts
    log_dir: Path

    def recorded(self, kind: type[OfBoot]) -> list[OfBoot]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def log_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(remote, "parcels_of", lambda _job: [])
    return tmp_path


def _talk(
    log_dir: Path, script: Sequence[JsonObject], outcome: object, *, exact: bool = True, stop: bool = False
) -> _Talk:
    board = open_board("qemu-g610")
    time = TimeName.EXACT if exact else TimeName.HOST
    job = Job(str(board.path), "k", "kernel", "s", "b", 0, 1, "/run", str(log_dir), (), None, 1, time=time)
    (log_dir / "job.json").write_text(json.dumps(encode(job)))
    hosts, events, stopped = _Hosts(script, outcome), list[OfBoot](), threading.Event()
    if stop:
        stopped.set()
    why = RemoteBoot(hosts, "t", hosts.inbox, board, log_dir, events.append, stopped).run()
    return _Talk(why, events, hosts, log_dir)


def test_what_a_host_says_is_on_record_in_order_and_its_logs_are_here(log_dir: Path) -> None:
    talk = _talk(log_dir, [_ready("a"), *_says("a", ONE, Doing(text="x"), TWO, END)], _outcome("a", 5))
    assert talk.why == ""
    assert [event for event in talk.events if not isinstance(event, Doing)] == [ONE, TWO, END]
    assert talk.hosts.answers == [("a", "")]
    assert any(path.suffix == ".py" for path in log_dir.iterdir())
    assert json.loads((log_dir / "host.json").read_text())["host"] == "host-a"
    assert not talk.hosts.future.cancelled


def test_in_exact_time_a_boot_whose_host_died_starts_again_and_is_told_once(log_dir: Path) -> None:
    script = [_ready("a"), *_says("a", ONE), _ready("b"), *_says("a", TWO, first=2), *_says("b", ONE, TWO, END)]
    talk = _talk(log_dir, script, _outcome("b", 4))
    assert talk.why == ""
    assert [event for event in talk.events if not isinstance(event, Doing | Note)] == [ONE, TWO, END]
    (note,) = talk.recorded(Note)
    assert isinstance(note, Note)
    assert "host-a" in note.text
    assert "host-b" in note.text
    assert talk.hosts.answers == [("a", ""), ("b", "")]


def test_in_exact_time_a_second_boot_that_is_another_one_is_an_error(log_dir: Path) -> None:
    talk = _talk(log_dir, [_ready("a"), *_says("a", ONE), _ready("b"), *_says("b", TWO)], None)
    assert "another boot" in talk.why
    assert talk.hosts.stopped == ["b"]
    assert talk.hosts.future.cancelled


def test_in_the_hosts_time_a_boot_whose_host_died_is_given_back(log_dir: Path) -> None:
    talk = _talk(log_dir, [_ready("a"), *_says("a", ONE), _ready("b"), *_says("b", TWO)], None, exact=False)
    assert "host-a" in talk.why
    assert "died" in talk.why
    assert talk.recorded(Quota) == [ONE]
    assert talk.hosts.answers == [("a", ""), ("b", talk.why)]
    assert talk.hosts.future.cancelled


def test_a_host_that_died_before_it_said_anything_costs_nothing(log_dir: Path) -> None:
    talk = _talk(log_dir, [_ready("a"), _ready("b"), *_says("b", ONE, END)], _outcome("b", 3), exact=False)
    assert talk.why == ""
    assert talk.recorded(Quota) == [ONE]


def test_a_host_that_died_after_the_end_takes_only_the_logs(log_dir: Path) -> None:
    talk = _talk(log_dir, [_ready("a"), *_says("a", ONE, END), _ready("b")], None)
    assert talk.why == ""
    assert "logs of this boot are lost" in str(talk.recorded(Note))


def test_a_killed_worker_is_no_failed_boot(log_dir: Path) -> None:
    last: Any = SimpleNamespace(address="tls://10.0.0.2:1")
    killed = KilledWorker("boot", last, 3)
    talk = _talk(log_dir, [_ready("a"), *_says("a", ONE)], killed)
    assert "died" in talk.why
    assert talk.recorded(BootEnd) == []


def test_without_a_scheduler_there_is_no_other_try(log_dir: Path) -> None:
    with pytest.raises(LabError, match="the scheduler is gone"):
        _talk(log_dir, [_ready("a"), *_says("a", ONE)], CancelledError())


@pytest.mark.parametrize(
    ("status", "silent", "ends"),
    [(Status.running, 0.0, False), (Status.running, 61.0, True), (Status.closing, 0.0, True)],
)
def test_a_boot_ends_with_its_worker_and_without_its_controller(status: Status, silent: float, ends: bool) -> None:
    worker: Any = SimpleNamespace(status=status)
    leash = Leash(worker, 60.0)
    leash.heard -= silent
    assert leash.is_set() is ends
    leash.set()
    assert leash.is_set()


def test_a_host_of_another_version_gets_no_boot(log_dir: Path) -> None:
    """Another one does the boot."""
    script = [_ready("a", {"panthorlab": "2"}), _ready("b"), *_says("b", ONE, END)]
    talk = _talk(log_dir, script, _outcome("b", 3))
    assert (talk.why, talk.hosts.refused, talk.hosts.submitted) == ("", ["tcp://a"], 2)
    ((_, no), (other, yes)) = talk.hosts.answers
    assert "panthorlab: 2 there, 1 wanted" in no
    assert (other, yes) == ("b", "")
    assert [no in note.text for note in talk.recorded(Note) if isinstance(note, Note)] == [True]
    assert talk.recorded(BootEnd) == [END]


def test_what_is_lost_on_the_way_is_an_error(log_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "lost" in _talk(log_dir, [_ready("a"), *_says("a", TWO, first=2)], None).why
    monkeypatch.setattr(remote, "LATE", 0.0)
    talk = _talk(log_dir, [_ready("a"), *_says("a", ONE)], _outcome("a", 3))
    assert "did not come whole" in talk.why


def test_a_boot_that_never_told_its_end_says_why(log_dir: Path) -> None:
    assert _talk(log_dir, [_ready("a")], _outcome("a", 1, "the worker was killed by SIGKILL")).why.endswith("SIGKILL")


def test_a_stopped_run_ends_its_boot_there_and_takes_what_it_still_says(log_dir: Path) -> None:
    assert _talk(log_dir, [], None, stop=True).why == "interrupted"
    talk = _talk(log_dir, [_ready("a"), *_says("a", ONE)], _outcome("a", 2, "interrupted"), stop=True)
    assert talk.why == "interrupted"
    assert talk.recorded(Quota) == [ONE]


def test_a_boot_that_was_stopped_has_time_to_come_back_with_its_logs(
    log_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its host gives it the same grace before it kills it."""
    monkeypatch.setattr(remote, "STOP_GRACE", -open_board("qemu-g610").patience.switching)

    def stop(hosts: _Hosts, _address: str, attempt: str) -> None:
        late = _outcome(attempt, 2, "interrupted")
        threading.Timer(3 * POLL, lambda: setattr(hosts.future, "outcome", late)).start()

    monkeypatch.setattr(_Hosts, "stop", stop)
    talk = _talk(log_dir, [_ready("a"), *_says("a", ONE)], None, stop=True)
    assert talk.why == "interrupted"
    assert any(path.suffix == ".py" for path in log_dir.iterdir()), "its logs"


def test_without_any_host_nobody_waits(log_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "CHECK", 0.0)
    monkeypatch.setattr(remote, "ALONE", 0.0)
    with pytest.raises(LabError, match="no host is left"):
        _talk(log_dir, [], None)


def test_a_client_that_has_lost_its_scheduler_knows_no_workers() -> None:
    def client(known: JsonObject) -> Any:
        return SimpleNamespace(scheduler_info=lambda **_options: known)

    workers: Json = {"tcp://a": {"resources": {"boot": 2}}, "tcp://b": {"resources": {}}}
    assert slots(client({"workers": workers})) == {"tcp://a": 2}
    with pytest.raises(LabError, match="does not answer"):
        slots(client({}))

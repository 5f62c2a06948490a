# SPDX-License-Identifier: GPL-2.0-or-later
"""One build on other hosts as the controller sees it: what they say and what becomes of it, without any host."""

from __future__ import annotations

import gzip
import queue
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import KilledWorker

from panthorlab.errors import BuildError, LabError, UsageError
from panthorlab.jsonvalue import JsonObject
from panthorlab.kernel import store
from panthorlab.kernel.job import known_same
from panthorlab.kernel.model import Kernel
from panthorlab.run.hosts import remotebuild
from panthorlab.run.hosts.equal import unequal
from panthorlab.run.hosts.parcels import packed_logs
from panthorlab.run.hosts.remotebuild import RemoteBuild

from .task_future import TaskFuture

VERSIONS = {"panthorlab": "1"}
KEY = "5" * 64


Act = tuple[Sequence[JsonObject], object]
"""What is said when the build is submitted, and what comes of it."""


@dataclass
class _Hosts:
    """Plays scheduler and hosts, one act for each submission of the build. `kernel`: what hosts have packed."""

    acts: Sequence[Act]
    alive: set[str]
    kernel: bytes
    inbox: queue.SimpleQueue[JsonObject] = field(default_factory=queue.SimpleQueue)
    fits: list[frozenset[str]] = field(default_factory=list)
    handed: list[tuple[str, object]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    future: TaskFuture = field(default_factory=lambda: TaskFuture(None))

    def submit_build(self, ticket: str, fit: frozenset[str]) -> TaskFuture:
        script, outcome = self.acts[len(self.fits)]
        self.fits.append(fit)
        for message in script:
            self.inbox.put(message)
        self.future = TaskFuture(outcome)
        return self.future

    def builders(self) -> frozenset[str]:
        return frozenset(self.alive)

    def refuse(self, address: str, theirs: Mapping[str, object]) -> str:
        return unequal(address, theirs, VERSIONS)

    def hand(self, address: str, attempt: str, message: object) -> bool:
        self.handed.append((attempt, message))
        return True

    def take(self, address: str, attempt: str, offset: int) -> bytes | None:
        return self.kernel[offset : offset + 4096] if address in self.alive else None

    def stop(self, address: str, attempt: str) -> None:
        self.stopped.append(attempt)


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A finished kernel on its way, and a store that has it not."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "there"
    folder.mkdir()
    for name in ("Image", "System.map", "config", "vmlinux"):
        (folder / name).write_text(name)
    store.write_record(Kernel(KEY, folder, "arm64", "6.12.99", "b", "tiny"), "core")
    return packed_logs(folder, frozenset())


def _ready(attempt: str, versions: Mapping[str, str] = VERSIONS) -> JsonObject:
    told: JsonObject = {"host": f"host-{attempt}", "address": f"tcp://{attempt}", "versions": {**versions}}
    return {"attempt": attempt, "number": 0, "ready": told}


def _says(attempt: str, number: int, kind: str, value: Any) -> JsonObject:
    return {"attempt": attempt, "number": number, kind: value}


def _outcome(attempt: str, told: int, kind: str = "built", message: str = "", same: bool | None = None) -> object:
    log = gzip.compress(b"CC x.o\n")
    return {
        "kind": kind, "message": message, "hint": "", "same": same, "log": log, "told": told, "attempt": attempt,
    }  # fmt: skip


@dataclass
class _Talk:
    built: tuple[Kernel, str] | None
    hosts: _Hosts
    notes: list[str]


def _build(tmp_path: Path, packed: bytes, *acts: Act, alive: str = "ab", first: str | None = None) -> _Talk:
    plan: Any = SimpleNamespace(key=KEY, title="6.12.99", fragments=())
    before: Any = SimpleNamespace(key="4" * 64)
    hosts, notes = _Hosts(acts, {f"tcp://{name}" for name in alive}, packed), list[str]()

    def progress(_step: str, _done: int | None = None, _total: int | None = None, /) -> None:
        pass

    log = tmp_path / "build.log"
    build = RemoteBuild(hosts, "t", hosts.inbox, plan, before, log, progress, notes.append, first)
    return _Talk(build.run(), hosts, notes)


def _good(attempt: str, packed: bytes, **more: Any) -> Act:
    return [_ready(attempt), _says(attempt, 1, "built", len(packed))], _outcome(attempt, 2, **more)


def test_the_kernel_comes_by_its_key_with_what_was_found_of_it(tmp_path: Path, packed: bytes) -> None:
    talk = _build(tmp_path, packed, _good("a", packed, same=True), first="tcp://a")
    assert talk.built == (store.load(KEY), "tcp://a")
    assert talk.hosts.fits == [frozenset({"tcp://a"})], "who has the tree is asked"
    assert talk.hosts.handed[-1] == ("a", b""), "it need wait no longer"
    assert known_same("4" * 64, KEY) is True
    assert (tmp_path / "build.log").read_text() == "CC x.o\n"
    assert talk.notes == []


def test_a_host_that_dies_costs_its_build_alone(tmp_path: Path, packed: bytes) -> None:
    script, outcome = _good("b", packed)
    talk = _build(tmp_path, packed, ([_ready("a"), *script], outcome))
    assert talk.built == (store.load(KEY), "tcp://b")
    (note,) = talk.notes
    assert "host-a (tcp://a) died; the build starts again on host-b" in note


def test_a_host_that_fails_is_asked_no_more(tmp_path: Path, packed: bytes) -> None:
    failed = [_ready("a")], _outcome("a", 1, "lab", "the disk is full")
    talk = _build(tmp_path, packed, failed, _good("b", packed))
    assert talk.built == (store.load(KEY), "tcp://b")
    assert talk.hosts.fits == [frozenset({"tcp://a", "tcp://b"}), frozenset({"tcp://b"})]
    assert talk.notes == ["6.12.99 is not built on host-a (tcp://a): the disk is full"]


@pytest.mark.parametrize(
    ("kind", "error"), [("kernel", BuildError), ("usage", UsageError)], ids=["compiler", "configuration"]
)
def test_what_does_not_build_is_asked_of_nobody_else(
    tmp_path: Path, packed: bytes, kind: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"x\.c:1: error"):
        _build(tmp_path, packed, ([_ready("a")], _outcome("a", 1, kind, "x.c:1: error")))
    assert (tmp_path / "build.log").read_text() == "CC x.o\n"


@pytest.mark.parametrize(
    "script",
    [
        [_ready("a", {"panthorlab": "2"})],
        [_ready("a"), _says("a", 2, "step", ["building", 1, None])],
        [_ready("a"), _says("a", 1, "built", 1 << 30)],
    ],
    ids=["another panthorlab", "a message is lost", "the kernel is cut off"],
)
def test_who_is_wrong_is_stopped_and_another_one_asked(
    tmp_path: Path, packed: bytes, script: Sequence[JsonObject]
) -> None:
    talk = _build(tmp_path, packed, (script, None), _good("b", packed))
    assert talk.built == (store.load(KEY), "tcp://b")
    assert talk.hosts.stopped == ["a"]
    assert len(talk.notes) == 1
    assert talk.hosts.fits[1] == frozenset({"tcp://b"})


def test_a_kernel_that_came_damaged_is_none(tmp_path: Path, packed: bytes) -> None:
    with gzip.open(tmp_path / "x.gz", "wb") as file:
        file.write(gzip.decompress(packed).replace(b"vmlinux\0\0", b"vmlinuz\0\0"))
    damaged = (tmp_path / "x.gz").read_bytes()
    talk = _build(tmp_path, damaged, _good("a", damaged), alive="a")
    assert talk.built is None
    assert store.load(KEY) is None
    assert "is not built on host-a" in talk.notes[0]


def test_a_build_that_kills_its_hosts_is_none_of_theirs(tmp_path: Path, packed: bytes) -> None:
    last: Any = SimpleNamespace(address="tcp://b")
    talk = _build(tmp_path, packed, ([_ready("a"), _ready("b")], KilledWorker("build", last, 3)))
    assert talk.built is None
    assert "so many died under it" in talk.notes[-1]


def test_without_a_scheduler_there_is_nobody_to_ask(tmp_path: Path, packed: bytes) -> None:
    with pytest.raises(LabError, match="the scheduler is gone"):
        _build(tmp_path, packed, ([_ready("a")], CancelledError()))


def test_who_was_asked_and_is_gone_is_waited_for_no_longer_than_need_be(
    tmp_path: Path, packed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler keeps what only those may do that are gone."""
    monkeypatch.setattr(remotebuild, "CHECK", 0.0)
    monkeypatch.setattr(remotebuild, "GONE", 0.0)
    monkeypatch.setattr(_Hosts, "submit_build", _losing(_Hosts.submit_build))
    talk = _build(tmp_path, packed, ([_ready("a")], None), _good("b", packed), alive="ab", first="tcp://a")
    assert talk.built == (store.load(KEY), "tcp://b")
    assert talk.hosts.fits == [frozenset({"tcp://a"}), frozenset({"tcp://b"})]


def _losing(submit: Any) -> Any:
    def lost(hosts: _Hosts, ticket: str, fit: frozenset[str]) -> TaskFuture:
        if not hosts.fits:
            hosts.alive.discard("tcp://a")
        found: TaskFuture = submit(hosts, ticket, fit)
        return found

    return lost

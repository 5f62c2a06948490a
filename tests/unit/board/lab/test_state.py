# SPDX-License-Identifier: GPL-2.0-or-later
"""The states of a board, and its file in a private or shared lab directory."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from panthorlab.board import lab
from panthorlab.board.lab import record as records
from panthorlab.board.lab.state import LeaseState
from panthorlab.errors import LabError, UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "lab"
    path.mkdir(mode=0o700)
    monkeypatch.setenv("PANTHORLAB_LAB", str(path))
    return path


@pytest.mark.usefixtures("folder")
def test_quarantine_and_back() -> None:
    lab.quarantine("b", "relay stuck", by="boards train")
    found = lab.standing("b")
    assert found.state is LeaseState.QUARANTINED
    assert "relay stuck" in found.why
    assert "boards train" in found.why
    assert lab.release("b").state is LeaseState.QUARANTINED
    assert lab.standing("b").state is LeaseState.FREE
    assert lab.release("b").state is LeaseState.FREE  # nothing to lift


@pytest.mark.usefixtures("folder")
def test_releasing_a_leased_board_needs_force() -> None:
    with lab.lease("b", run="other") as held:
        with pytest.raises(UsageError, match="leased by"):
            lab.release("b")
        held.check()
        lab.quarantine("b", "sick")
        assert "leased by" in lab.standing("b").why
        lab.release("b")  # the quarantine alone
        held.check()
        lab.release("b", end_lease=True)
        assert lab.standing("b").state is LeaseState.FREE


@pytest.mark.usefixtures("folder")
def test_run_that_has_a_board_may_lift_its_quarantine() -> None:
    with lab.lease("b", despite_quarantine=True) as held:
        lab.release("b")  # there is none
        lab.quarantine("b", "was sick")
        assert lab.release("b").quarantine
        held.check()
        assert lab.standing("b").state is LeaseState.LEASED


@pytest.mark.usefixtures("folder")
def test_no_change_of_many_at_once_is_lost() -> None:
    def count(record: records.Record) -> records.Record:
        number = int(record.quarantine.reason) if record.quarantine else 0
        return records.Record(quarantine=records.Quarantine(reason=str(number + 1), since=0, by="x"))

    def change() -> None:
        for _ in range(20):
            records.update("b", count)

    threads = [threading.Thread(target=change) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert records.read("b").quarantine == records.Quarantine(reason="100", since=0, by="x")


@pytest.mark.usefixtures("folder")
def test_health_is_kept_and_changes_no_state() -> None:
    lab.record_health("b", healthy=False, detail="2 of 5 boots")
    found = lab.standing("b")
    assert found.state is LeaseState.FREE
    assert found.health
    assert (found.health.healthy, found.health.detail) == (False, "2 of 5 boots")


def test_record_is_replaced_whole_or_not_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.quarantine("b", "one")
    before = (folder / "b.json").read_bytes()

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LabError, match="No space left"):
        lab.quarantine("b", "two")
    assert (folder / "b.json").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["b.json", "b.lock"], "no litter"


def test_damaged_record_is_an_error_that_says_which_file(folder: Path) -> None:
    (folder / "b.json").write_text('{"version": 7}')
    with pytest.raises(LabError, match=r"b\.json: not a record of this version"):
        lab.standing("b")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden", "a\nb"])
def test_name_cannot_lead_out_of_the_lab(name: str) -> None:
    with pytest.raises(LabError, match="name of a board"):
        lab.quarantine(name, "x")


def test_lock_that_is_never_given_back_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LOCK_DEADLINE", 0.01)
    with (folder / "b.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LabError, match="has been locked"):
            lab.quarantine("b", "x")


@pytest.mark.parametrize(("mode", "files"), [(0o700, 0o600), (0o770, 0o660)])
def test_files_are_for_whom_the_directory_is_whatever_the_umask(folder: Path, mode: int, files: int) -> None:
    folder.chmod(mode)
    old = os.umask(0o077)
    try:
        lab.quarantine("b", "x")
    finally:
        os.umask(old)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {files}


def test_files_belong_to_the_directorys_group_without_setgid_too(folder: Path) -> None:
    others = [group for group in os.getgroups() if group != os.getegid()]
    if os.geteuid() == 0:
        others = [54321]
    if not others:
        pytest.skip("this user is in one group only")
    os.chown(folder, -1, others[0])
    folder.chmod(0o770)
    lab.quarantine("b", "x")
    assert {path.stat().st_gid for path in folder.iterdir()} == {others[0]}


def test_lab_directory_must_be_there_and_not_everybodys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.chmod(0o777)
    with pytest.raises(LabError, match="everybody"):
        lab.lab_dir()
    monkeypatch.setenv("PANTHORLAB_LAB", str(folder / "none"))
    with pytest.raises(LabError, match="no such directory") as caught:
        lab.lab_dir()
    assert "install -d -m 2770" in str(caught.value.hint)
    monkeypatch.delenv("PANTHORLAB_LAB")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    assert lab.lab_dir() == folder / "panthorlab" / "lab"

# SPDX-License-Identifier: GPL-2.0-or-later
"""Deleting runs: what the rules say goes, and nothing that is not a run goes, whoever has prepared the directory.

The attacks are made as whoever runs the tests, and if that is root, also as an ordinary user.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panthorlab import cli, options
from panthorlab.history.prune import KeptError, delete
from panthorlab.run.record.log import EventLog, read_run
from tests.made_runs import ALONE, NIGHT, NOON, write_run

NOBODY = 65534


def made(runs: Path, number: int, *, boots: bool = True) -> Path:
    """A run called as panthorlab calls them, with everything that it may have."""
    run = write_run(runs / f"20260101-0000{number:02}-abcd", replace(ALONE, started=NOON + number * NIGHT))
    for name in ("result.json", "junit.xml", "report.html", "build.log"):
        (run / name).write_text("x" * 1000)
    if boots:
        for boot in ("kernel1.1", "kernel2.1"):
            (run / "boots" / boot / "tmp").mkdir(parents=True)
            (run / "boots" / boot / "kmsg.log").write_text("x" * 100_000)
    (run / "patches").mkdir()
    (run / "patches/1").write_text("diff")
    return run


def prune(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert cli.main(["prune", *map(str, arguments), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert isinstance(told, dict)
    return told


def names(told: list[dict[str, Any]]) -> list[str]:
    return [Path(one["run"]).name[14:15] for one in told]


def test_number_age_and_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        made(tmp_path, number)
    assert names(prune(capsys, tmp_path, "--keep", "2", "--dry-run")["deleted"]) == ["0", "1", "2"]
    assert len(list(tmp_path.iterdir())) == 5
    assert names(prune(capsys, tmp_path, "--size", "500K", "--dry-run")["deleted"]) == ["0", "1", "2", "3"][:3]
    assert prune(capsys, tmp_path, "--older", "999999w", "--dry-run")["deleted"] == []
    spared = tmp_path / "20260101-000001-abcd"
    told = prune(capsys, tmp_path, "--older", "1h", "--except", spared)
    assert names(told["deleted"]) == ["0", "2", "3", "4"]
    assert [one["why"] for one in told["kept"]] == ["--except"]
    assert [path.name for path in tmp_path.iterdir()] == [spared.name]


def test_without_a_rule_nothing_is_deleted(tmp_path: Path) -> None:
    run = made(tmp_path, 0)
    for wrong in (
        [],
        ["--keep", "-1"],
        ["--older", "3"],
        ["--size", "x"],
        ["--keep", "0", "--except", str(tmp_path / "x")],
    ):
        assert cli.main(["prune", str(tmp_path), *wrong]) == 2
    assert (run / "events.jsonl").exists()


def test_what_runs_has_a_name_or_is_not_ours_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running, foreign = made(tmp_path, 0), made(tmp_path, 1)
    log = running / "events.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-2]))
    named = write_run(tmp_path / "mine", ALONE)
    (foreign / "notes.txt").write_text("mine")
    (foreign / "boots/mine").mkdir()
    with EventLog(running):
        told = prune(capsys, tmp_path, "--keep", "0")
    why = {Path(one["run"]).name: one["why"] for one in told["kept"]}
    assert told["deleted"] == []
    assert why[running.name] == "somebody works on it"
    assert "--named" in why["mine"]
    assert "boots, notes.txt" in why[foreign.name]
    assert sorted(path.name for path in foreign.iterdir()) == ["boots", "notes.txt"]
    assert (running / "boots").exists()
    assert len(prune(capsys, tmp_path, "--keep", "0", "--named")["deleted"]) == 2
    assert not named.exists()


def test_what_other_commands_leave_in_a_run_goes_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = ("git-bisect.log", "exploration.json", "output.log", ".report.html.4711.tmp")
    for number, name in enumerate(left):
        (made(tmp_path, number) / name).write_text("x")
    assert len(prune(capsys, tmp_path, "--keep", "0")["deleted"]) == len(left)
    assert list(tmp_path.iterdir()) == []


def test_a_run_in_a_run_goes_first_and_keeps_it_if_it_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outer = made(tmp_path, 0)
    write_run(outer / "gdb", replace(ALONE, started=NOON + NIGHT))
    (kept, inner) = sorted(prune(capsys, tmp_path, "--keep", "0")["kept"], key=lambda one: len(one["run"]))
    assert (kept["why"], "--named" in inner["why"]) == ("a run that is kept is in it: gdb", True)
    assert (outer / "events.jsonl").exists()
    for dry in (["--dry-run"], []):
        assert len(prune(capsys, tmp_path, "--keep", "0", "--named", *dry)["deleted"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_the_record_can_be_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made(tmp_path, 0)
    before = read_run(run)
    prune(capsys, tmp_path, "--keep", "0", "--keep-record")
    assert sorted(path.name for path in run.iterdir()) == [
        "build.log", "events.jsonl", "junit.xml", "report.html", "result.json"
    ]  # fmt: skip
    assert read_run(run) == before
    assert cli.main(["report", str(run)]) in (0, 1, 4)


def test_what_is_no_run_is_kept(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("text", b"hello\n"), ("other", b'{"event":"note","time":1,"text":"x"}\n')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.jsonl").write_bytes(content)
        with pytest.raises(KeptError, match="no log of a run"):
            delete(tmp_path / name)
        assert (tmp_path / name / "events.jsonl").read_bytes() == content
    (tmp_path / "nothing").mkdir()
    for path in (tmp_path / "nothing", tmp_path / "absent", tmp_path):
        with pytest.raises(KeptError):
            delete(path)


def run_is_a_link(runs: Path, treasure: Path) -> None:
    run = made(treasure, 1)
    (runs / run.name).symlink_to(run)


def log_is_a_link(runs: Path, treasure: Path) -> None:
    run = made(runs, 1)
    (run / "events.jsonl").rename(treasure / "events.jsonl")
    (run / "events.jsonl").symlink_to(treasure / "events.jsonl")


def boots_is_a_link(runs: Path, treasure: Path) -> None:
    run = made(runs, 1, boots=False)
    (treasure / "kernel1.1").mkdir()
    (treasure / "kernel1.1/kept").touch()
    (run / "boots").symlink_to(treasure)


def boot_is_a_link(runs: Path, treasure: Path) -> None:
    run = made(runs, 1, boots=False)
    (run / "boots").mkdir()
    (run / "boots/kernel1.1").symlink_to(treasure)


def file_in_a_boot_is_a_link(runs: Path, treasure: Path) -> None:
    run = made(runs, 1)
    (run / "boots/kernel1.1/deep").symlink_to(treasure)
    (run / "boots/kernel1.1/tmp/file").symlink_to(treasure / "kept")


def patches_is_a_link(runs: Path, treasure: Path) -> None:
    run = made(runs, 1)
    shutil.rmtree(run / "patches")
    (run / "patches").symlink_to(treasure)


def report_is_a_link(runs: Path, treasure: Path) -> None:
    run = made(runs, 1)
    (run / "report.html").unlink()
    (run / "report.html").symlink_to(treasure / "kept")


def log_names_a_way_out(runs: Path, treasure: Path) -> None:
    run = made(runs, 1)
    (run / "boots/kernel1.1/kmsg.log").unlink()
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    for line in lines:
        del line["c"]
        if line["event"] == "boot-start":
            line["boot"] = {"kernel1.1": os.path.relpath(treasure, run / "boots"), "kernel2.1": str(treasure)}[
                line["boot"]
            ]
    (run / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


ATTACKS: tuple[Callable[[Path, Path], None], ...] = (
    run_is_a_link, log_is_a_link, boots_is_a_link, boot_is_a_link, file_in_a_boot_is_a_link, patches_is_a_link,
    report_is_a_link, log_names_a_way_out,
)  # fmt: skip


def as_user(user: int | None, arguments: list[str]) -> int:
    """The exit status of the command line, in a child: somebody else may not even read this Python's files."""
    assert options.parse(arguments), "everything is imported"
    child = os.fork()
    if child == 0:
        status = 99
        try:
            if user is not None:
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
            status = cli.main(arguments)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("user", [None, NOBODY], ids=["self", "ordinary"])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_nothing_outside_a_run_is_deleted(
    tmp_path: Path, attack: Callable[[Path, Path], None], user: int | None
) -> None:
    if user is not None and os.getuid() != 0:
        pytest.skip("only root can become somebody else; as this user it was tried")
    runs, treasure = tmp_path / "runs", tmp_path / "treasure"
    for directory in (runs, treasure):
        directory.mkdir()
    (treasure / "kept").write_text("gold")
    (treasure / "kernel2.1").mkdir()
    attack(runs, treasure)
    before = sorted(str(path) for path in treasure.rglob("*"))
    if user is not None:
        for path in (tmp_path, *tmp_path.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)
        for path in tmp_path.parents:
            if path.stat().st_mode & 0o001 == 0:
                path.chmod(path.stat().st_mode | 0o011)
    assert as_user(user, ["prune", str(runs), "--keep", "0", "--named"]) == 0
    assert sorted(str(path) for path in treasure.rglob("*")) == before
    assert (treasure / "kept").read_text() == "gold"


def test_a_directory_that_becomes_a_link_meanwhile_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attacker wins the race: between the look and the deletion."""
    run, treasure = made(tmp_path / "runs", 1), tmp_path / "treasure"
    shutil.copytree(run, treasure / run.name)
    kept = sorted(treasure.rglob("*"))

    def swap() -> list[Path]:
        (tmp_path / "runs").rename(tmp_path / "moved")
        (tmp_path / "runs").symlink_to(treasure)
        return []

    monkeypatch.setattr("panthorlab.history.prune._mounts", swap)
    with pytest.raises(KeptError):
        delete(run)
    assert sorted(treasure.rglob("*")) == kept


def test_what_is_mounted_in_a_run_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(tmp_path, 1)
    table = tmp_path / "mountinfo"
    inside = str(run / "boots/kernel1.1").replace("-", "\\055")
    table.write_text(f"36 35 98:0 / /proc rw - proc proc rw\n37 35 98:0 / {inside} rw - ext4 /dev/sda rw\n")
    monkeypatch.setattr("panthorlab.history.prune._MOUNTS", table)
    with pytest.raises(KeptError, match=r"mounted at .*kernel1\.1"):
        delete(run)
    assert (run / "boots/kernel1.1/kmsg.log").exists()

# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab boards`: the listing and what keeps a lab in order, on board files and records made here."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paramiko
import pytest

from panthorlab import cli
from panthorlab.board import lab
from panthorlab.board.board import Fitness
from panthorlab.board.real.file import RealFile
from panthorlab.board.real.ssh import hostkeys
from panthorlab.errors import LabError

REAL = """\
type: real
description: a board made for tests
tags: [bench]
unverified: true
console: {transport: tcp, host: localhost, port: 4000}
power: {driver: manual}
ssh: {host: localhost}
boot:
  methods: [kexec]
  console: ttyS2,1500000n8
  root: root=/dev/mmcblk1p2
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PANTHORLAB_LAB", raising=False)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    configs = tmp_path / "board_configs"
    configs.mkdir()
    (configs / "bench.yaml").write_text(REAL)
    monkeypatch.setenv("PANTHORLAB_PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return configs


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str) -> tuple[int, str, str]:
        status = cli.main(["boards", *arguments])
        return (status, *capsys.readouterr())

    return call


Run = Callable[..., tuple[int, str, str]]


def _row(run: Run, name: str) -> dict[str, Any]:
    status, out, _ = run("--json")
    assert status == 0
    return next(row for row in json.loads(out)["boards"] if row["name"] == name)


def test_listing_tells_states_and_why(run: Run) -> None:
    assert _row(run, "bench")["state"] == "free"
    assert _row(run, "bench")["unverified"] is True
    with lab.lease("bench", "/runs/x"):
        row = _row(run, "bench")
        assert (row["state"], row["lease"]["run_dir"]) == ("leased", "/runs/x")
        assert "for /runs/x" in run()[1]
    lab.quarantine("bench", "the relay is stuck")
    out = run()[1]
    assert "quarantined" in out
    assert "the relay is stuck" in out
    assert "unverified" in out
    assert _row(run, "bench")["quarantine"]["reason"] == "the relay is stuck"


def test_failed_health_check_is_told(run: Run) -> None:
    lab.record_health("bench", healthy=False, detail="3 of 5 boots")
    assert "3 of 5 boots" in run()[1]


def test_broken_board_file_and_record_do_not_break_the_listing(run: Run, folder: Path) -> None:
    (folder / "bad.yaml").write_text("type: real\nconsole: 3\n")
    (lab.lab_dir() / "bench.json").write_text("{")
    status, out, _ = run()
    assert status == 0
    assert "bad.yaml:" in out
    assert "qemu-g610" in out
    assert _row(run, "bad")["state"] == "broken"
    assert _row(run, "bench")["state"] == "unknown"
    assert "bench.json" in _row(run, "bench")["why"]


def test_schema_is_one(run: Run) -> None:
    status, out, _ = run("schema")
    assert status == 0
    assert json.loads(out)["$schema"].startswith("https://json-schema.org/")


def test_quarantine_and_release(run: Run) -> None:
    assert run("quarantine", "bench", "--reason", "on loan")[0] == 0
    assert _row(run, "bench")["state"] == "quarantined"
    status, out, _ = run("release", "bench", "--json")
    assert (status, json.loads(out)["state"]) == (0, "free")
    assert "on loan" in json.loads(out)["said"]
    with lab.lease("bench", run="other") as held:
        assert run("release", "bench")[0] == 2
        assert run("release", "bench", "--force")[0] == 0
        with pytest.raises(LabError, match="somebody ended it"):
            held.check()


def test_trust_asks_a_person_or_takes_yes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    key = paramiko.ECDSAKey.generate()
    monkeypatch.setattr(hostkeys, "scan_host_keys", lambda _host, _port, _timeout: [key])
    monkeypatch.setattr("sys.stdin", io.StringIO())
    status, _, err = run("trust", "bench")
    assert status == 2
    assert hostkeys.fingerprint(key) in err
    assert hostkeys.pinned(lab.lab_dir(), "bench") == []
    status, out, err = run("trust", "bench", "--yes")
    assert (status, out) == (0, f"bench: pinned {hostkeys.fingerprint(key)}\n")
    assert hostkeys.fingerprint(key) in err
    assert hostkeys.pinned(lab.lab_dir(), "bench") == [key]


def test_train_takes_the_board_files_number_of_boots_and_quarantines_what_fails(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(_name: str, file: RealFile, boots: int | None, _progress: object) -> Fitness:
        wanted = boots or file.recovery.health_boots
        return Fitness(wanted, min(wanted, 5), None if wanted == 5 else "boot 6: no SSH", 7.0)

    monkeypatch.setattr("panthorlab.board.real.train.train", train)
    assert run("train", "bench")[:2] == (0, "bench: healthy, 5 of 5 known-good boots in 7 s\n")
    status, _, err = run("train", "bench", "--boots", "6")
    assert status == 4
    assert "no SSH" in err
    assert "no SSH" in str(lab.standing("bench").quarantine)
    assert run("train", "bench")[0] == 0
    assert lab.standing("bench").quarantine is None


def test_examples_are_listed_as_what_they_are(run: Run, folder: Path) -> None:
    (folder / "model.yaml").write_text(REAL + "example: true\n")
    _, out, _ = run()
    assert re.search(r"^model +example +real", out, re.MULTILINE)
    status, _, err = run("train", "model")
    assert status == 2
    assert "the file of board model is an example" in err

# SPDX-License-Identifier: GPL-2.0-or-later
"""Where there can be no jail nothing is built, unless `--no-jail` says so; then every report says so, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from panthorlab.cli import main
from panthorlab.kernel.jail import sandbox
from panthorlab.kernel.model import Kernel
from panthorlab.outcome import Side
from panthorlab.run import reports
from panthorlab.run.bothkernels import _Kernels
from panthorlab.run.hosts.crew import build_here
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import RunStart, Settings
from panthorlab.run.record.log import EventLog, new_run_dir, read_events
from panthorlab.verdict.model import Expect


@pytest.fixture(autouse=True)
def without_bubblewrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sandbox, "_open", False)
    monkeypatch.chdir(tmp_path)
    sandbox._probe.cache_clear()


@pytest.mark.parametrize("command", ["build", "validate"])
def test_refused_before_anything_is_done(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Even a base that does not exist is not looked for."""
    assert main([command, "--base", "debian:6.18.5", "--output", str(tmp_path / "run"), "--json"]) == 4
    out, err = capsys.readouterr()
    assert json.loads(out)["exit"] == 4
    assert "bubblewrap is not installed" in err
    assert "install bubblewrap (Debian), or use --no-jail" in err
    assert not list((tmp_path / "cache").rglob("trees/*"))


def test_a_refused_run_can_be_resumed_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["validate", "--base", "/nonexistent", "--output", str(tmp_path / "run")])
    assert "bubblewrap is not installed" in capsys.readouterr().err
    main(["resume", str(tmp_path / "run")])
    assert "bubblewrap is not installed" in capsys.readouterr().err
    main(["resume", str(tmp_path / "run"), "--no-jail"])
    text = capsys.readouterr().err
    assert "bubblewrap" not in text
    assert "no compiler" in text


def test_doctor_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 4
    [check] = [check for check in json.loads(capsys.readouterr().out)["checks"] if check["name"] == "jail for builds"]
    assert not check["ok"]
    assert "install bubblewrap" in check["hint"]


@pytest.mark.parametrize("command", ["build", "validate"])
def test_no_jail_goes_on(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To the next thing that is wrong."""
    main([command, "--base", "/nonexistent", "--no-jail", "--output", str(tmp_path / "run"), "--json"])
    text = "".join(capsys.readouterr())
    assert "bubblewrap" not in text
    assert "no compiler" in text or "no such kernel source" in text


def test_the_report_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernels = {
        side: Kernel(
            key=side * 10,
            path=tmp_path,
            arch="arm64",
            release="6.12.99",
            build_id="0" * 40,
            title="6.12.99",
            jailed=side is Side.BEFORE,
        )
        for side in Side
    }
    run_dir = new_run_dir(tmp_path / "run")
    settings = Settings(board="qemu-g610", boards=("qemu-g610",), expect=Expect.FIX, patch=())
    with EventLog(run_dir) as log:
        log.append(RunStart(options=settings, suites=(), command=("panthorlab",), directory=str(tmp_path)))
        _Kernels(run_dir, log, settings, [], ProgressDisplay(quiet=True), build_here)._record_kernels(kernels, {})
    events = read_events(run_dir)
    reports.write(run_dir, events, reports.judge(events), as_json=True)
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert [note for note in notes if "jail" in note] == [
        "after was built without a jail (--no-jail): the code of its tree could do all that the user can"
    ]
    assert "built without a jail" in (run_dir / "report.html").read_text()

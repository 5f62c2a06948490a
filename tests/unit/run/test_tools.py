# SPDX-License-Identifier: GPL-2.0-or-later
"""The small commands as processes: suites by pytest, completion in a shell, KCIDB in its own schema."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kcidb_io.schema import V5_3

from panthorlab import cli
from tests.made_runs import write_bisect

ROOT = Path(__file__).parents[3]
SUITE = """
import pytest
from panthorlab.errors import BootError, LabError, UsageError
def test_good(): pass
def test_bad(): assert 0
def test_fails(): pytest.fail("no")
def test_boot(): raise BootError("panic")
def test_lab(): raise LabError("no network")
def test_usage(): raise UsageError("which?")
def test_bug(): 1 / 0
def test_stopped(): raise KeyboardInterrupt
def test_board(session): pass
"""


def _panthorlab(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {**os.environ, "PYTHONPATH": str(ROOT), "PANTHORLAB_PATH": str(cwd), **environ}
    return subprocess.run(
        [sys.executable, "-m", "panthorlab", *arguments],
        cwd=cwd,
        env=kept,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("chosen", "status"),
    [
        ("good", 0),
        ("good or bad", 1),
        ("fails", 1),
        ("boot", 1),
        ("lab", 4),
        ("lab or bad", 4),
        ("usage or lab", 2),
        ("bug", 4),
        ("stopped", 130),
        ("board", 2),
        ("none_so", 2),
    ],
)
def test_only_the_kernels_failures_are_status_1(chosen: str, status: int, tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "test_zzz.py").write_text(SUITE)
    done = _panthorlab("suites", "--", "-q", "-k", f"zzz and ({chosen})", cwd=tmp_path)
    assert done.returncode == status, done.stdout + done.stderr


def test_who_names_no_kernel_is_told_so_once(tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "test_zzz.py").write_text("def test_a(session): pass\n\n\ndef test_b(session): pass\n")
    done = _panthorlab("suites", "--", "-q", "-k", "zzz", "--board", "qemu-g610", cwd=tmp_path)
    assert done.returncode == 2
    assert (done.stdout + done.stderr).count("suites need a board and a kernel") == 1
    assert "Traceback" not in done.stdout
    assert "def _job_of" not in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_is_a_script_of_that_shell(shell: str, tmp_path: Path) -> None:
    done = _panthorlab("completion", shell, cwd=tmp_path)
    assert done.returncode == 0
    assert "--iterations" in done.stdout
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    script = _panthorlab("completion", "bash", cwd=tmp_path).stdout
    ask = (
        'f=$(complete -p panthorlab | sed "s/.*-F \\([^ ]*\\).*/\\1/"); '
        'COMP_WORDS=(panthorlab "$@"); COMP_CWORD=$#; "$f" panthorlab "${!#}" x; echo "${COMPREPLY[*]}"'
    )
    for words, wanted in ((("vali",), "validate"), (("validate", "--expe"), "--expect"), (("boards", "tru"), "trust")):
        done = subprocess.run(["bash", "-c", script + ask, "bash", *words], capture_output=True, text=True, check=True)
        assert wanted in done.stdout.split(), done


def _event(event: str, **fields: Any) -> str:
    return json.dumps({"time": 1.0, "event": event, **fields}) + "\n"


def test_report_writes_kcidb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit = "0123456789" * 4
    options = {"expect": "fix", "board": "b", "boots": 2, "seed": 1}
    kernel = {
        "key": "k",
        "build_id": "b0",
        "release": "6.12",
        "title": "t",
        "fragments": ["panthor"],
        "patches": [],
        "toolchain": "gcc 12",
    }
    (tmp_path / "events.jsonl").write_text(
        _event("run-start", options=options, suites=["s"], command=["panthorlab"], directory="/")
        + _event("source", base="PATH@v1", commit=commit, patches=[])
        + "".join(_event("kernel", side=side, **kernel) for side in ("before", "after"))
        + _event("run-end")
    )
    status = cli.main(["report", str(tmp_path)])
    capsys.readouterr()
    assert cli.main(["report", str(tmp_path), "--kcidb", "-"]) == status
    data = json.loads(capsys.readouterr().out)
    V5_3.validate(data)
    assert data["checkouts"][0]["git_commit_hash"] == commit
    assert {build["compiler"] for build in data["builds"]} == {"gcc 12"}
    assert cli.main(["report", str(tmp_path), "--kcidb", str(tmp_path / "k.json")]) == status
    assert json.loads((tmp_path / "k.json").read_text()) == data
    assert "commit" in (tmp_path / "report.html").read_text()
    assert cli.main(["report", str(tmp_path), "--kcidb", str(tmp_path / "no" / "k.json")]) == 2
    (tmp_path / "events.jsonl").write_text(_event("run-start", options={"board": "b"}, suites=[]))
    assert cli.main(["report", str(tmp_path), "--kcidb", "-"]) == 2


def test_the_report_of_a_bisect_is_what_it_came_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its boots show the fault: that is no verdict on a kernel."""
    assert cli.main(["report", str(write_bisect(tmp_path / "found"))]) == 0
    assert capsys.readouterr().out.startswith("it is c\n  its parent: clean\n")
    assert cli.main(["report", str(write_bisect(tmp_path / "begun", None))]) == 4
    assert "panthorlab bisect --resume" in capsys.readouterr().err

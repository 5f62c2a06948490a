# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever happens to the streams, exit status 1 means the kernel; and a result that nobody got is no success."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOG = "[    1.000000] panthor fb000000.gpu: [drm] Unhandled Page fault in AS1 at VA 0x0000800000003000\n"
PANTHORLAB = f"{sys.executable} -m panthorlab"


def shell(command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[bytes]:
    """`command` by a shell, since only that can close a stream before Python starts."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cwd / "cache"), **env}
    return subprocess.run(["/bin/sh", "-c", command], cwd=cwd, env=environment, capture_output=True, timeout=60,
                          check=False)


BROKEN_STDERR = ["2>/dev/full", "2>&-"]
BROKEN_STDOUT = [">/dev/full", ">&-"]


@pytest.mark.parametrize("streams", BROKEN_STDERR)
@pytest.mark.parametrize(("command", "status"), [
    ("scan log", 0), ("scan --fail-on mmu-fault log", 1), ("scan missing", 2), ("scan --fail-on fire log", 2),
    ("boards", 0), ("--help", 0), ("--version", 0), ("nonsense", 2), ("report nowhere", 2), ("run --kernel abc", 2),
    ("validate no.patch --base /nowhere", 2), ("gpu params", 0), ("gpu serve --socket s --param x=y", 2),
])
def test_a_broken_stderr_changes_no_status(tmp_path: Path, command: str, status: int, streams: str) -> None:
    (tmp_path / "log").write_text(LOG)
    whole = shell(f"{PANTHORLAB} {command}", tmp_path)
    broken = shell(f"{PANTHORLAB} {command} {streams}", tmp_path)
    assert (whole.returncode, broken.returncode) == (status, status)
    assert broken.stdout == whole.stdout


@pytest.mark.parametrize("streams", BROKEN_STDOUT)
@pytest.mark.parametrize("command", [
    "scan log", "scan --json log", "scan --fail-on mmu-fault log", "boards", "boards --json", "--help", "--version",
    "validate --help", "gpu params", "doctor",
])
def test_a_result_that_cannot_be_written_is_an_error_of_the_lab(tmp_path: Path, command: str, streams: str) -> None:
    (tmp_path / "log").write_text(LOG)
    done = shell(f"{PANTHORLAB} {command} {streams}", tmp_path)
    assert done.returncode == 4, done.stderr
    assert b"could not be written to stdout" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("streams", [">/dev/full 2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-"])
def test_no_stream_at_all(tmp_path: Path, streams: str) -> None:
    (tmp_path / "log").write_text(LOG)
    assert shell(f"{PANTHORLAB} scan log {streams}", tmp_path).returncode == 4
    assert shell(f"{PANTHORLAB} nonsense {streams}", tmp_path).returncode == 2
    assert not (tmp_path / "runs").exists()


def test_nothing_of_ours_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """A file opened as number 2 would get what others write to stderr."""
    program = ("from panthorlab import streams, spawn; import os; streams.prepare();"
               "f = open('mine', 'w'); assert f.fileno() > 2, f.fileno(); os.write(2, b'x')")
    done = shell(f'{sys.executable} -c "{program}" <&- 2>&-', tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "mine").read_text() == ""


@pytest.mark.parametrize("command", ["scan log", "gpu params", "boards --json"])
def test_a_reader_who_leaves_early(tmp_path: Path, command: str) -> None:
    (tmp_path / "log").write_text(LOG * 5000)
    done = shell(f"{PANTHORLAB} {command} | true; exit 0", tmp_path)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("env", [
    {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "latin-1"},
])
def test_characters_that_the_locale_lacks_are_escaped(tmp_path: Path, env: dict[str, str]) -> None:
    log = LOG.replace("fb000000.gpu", "fb000000.gpu é ✓ 🙂")
    (tmp_path / "log").write_text(log)
    people = shell(f"{PANTHORLAB} scan log", tmp_path, **env)
    assert people.returncode == 0
    assert b"Traceback" not in people.stderr
    program = shell(f"{PANTHORLAB} scan --json log", tmp_path, **env)
    assert "🙂" in json.loads(program.stdout)["findings"][0]["text"]
    wrong = shell(f"{PANTHORLAB} scan é✓🙂", tmp_path, **env)
    assert wrong.returncode == 2
    assert b"Traceback" not in wrong.stderr


def test_an_exception_that_nobody_expects_does_not_blame_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import panthorlab.run.boards as b\ndef main(options): raise RuntimeError('boom')\nb.main = main\n")
    done = shell(f"{PANTHORLAB} boards 2>&1", tmp_path, PYTHONPATH=f"{ROOT}:{tmp_path}")
    assert done.returncode == 4
    assert b"boom" in done.stdout
    assert b"bug of panthorlab" in done.stdout
    assert shell(f"{PANTHORLAB} boards >/dev/full 2>&-", tmp_path, PYTHONPATH=f"{ROOT}:{tmp_path}").returncode == 4

# SPDX-License-Identifier: GPL-2.0-or-later
"""Host programs: missing, failing, too slow, and disks that are full."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from pathlib import Path

import pytest

from panthorlab.errors import LabError
from panthorlab.files import disk_errors
from panthorlab.kernel.tools import need_space, pipeline, run, tool_error


def test_output_in_the_c_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert run(["sh", "-c", "cat; echo $LC_ALL"], timeout=60, stdin=b"in ").stdout == b"in C\n"


def test_failure_has_the_last_lines() -> None:
    with pytest.raises(LabError, match=r"sh -c .* failed with status 3: sad"):
        run(["sh", "-c", "echo sad >&2; exit 3"], timeout=60)
    assert run(["sh", "-c", "exit 3"], timeout=60, ok=(0, 3)).returncode == 3


def test_missing_program_names_its_package() -> None:
    with pytest.raises(LabError, match="is not installed") as caught:
        run(["/nonexistent/xz"], timeout=60)
    assert caught.value.hint


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no such directory"):
        run(["true"], timeout=60, cwd=tmp_path / "none")


def test_deadline() -> None:
    with pytest.raises(LabError, match=r"did not end within 0\.1 s"):
        run(["sleep", "60"], timeout=0.1)


def test_pipeline(tmp_path: Path) -> None:
    pipeline([["echo", "hello"], ["tr", "h", "j"], ["tee", str(tmp_path / "out")]], timeout=60)
    assert (tmp_path / "out").read_text() == "jello\n"


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_pipeline_names_the_stage_that_broke(broken: int, tmp_path: Path) -> None:
    stages = [["echo", "x"], ["cat"], ["tee", str(tmp_path / "out")]]
    stages[broken] = ["sh", "-c", f"echo broken{broken} >&2; exit 2"]
    with pytest.raises(LabError, match=f"broken{broken}"):
        pipeline(stages, timeout=60)


def test_pipeline_with_a_missing_program() -> None:
    with pytest.raises(LabError, match="not installed"):
        pipeline([["echo", "x"], ["/nonexistent/tool"]], timeout=60)


@pytest.mark.parametrize("slow", [0, 1, 2])
def test_pipeline_has_one_deadline_for_all_stages(slow: int) -> None:
    stages = [["cat", "/dev/null"], ["cat"], ["cat"]]
    stages[slow] = ["sleep", "60"]
    began = time.monotonic()
    with pytest.raises(LabError, match=r"did not end within 0\.3 s"):
        pipeline(stages, timeout=0.3)
    assert time.monotonic() - began < 5
    began = time.monotonic()
    with pytest.raises(LabError, match="did not end"):
        pipeline([["sleep", "60"]] * 6, timeout=0.3)
    assert time.monotonic() - began < 5, "not so long for each"


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_pipeline_whose_stages_say_more_than_a_pipe_holds(stage: int, tmp_path: Path) -> None:
    talk = "head -c 300000 /dev/zero | tr '\\0' x >&2"
    stages = [["echo", "hello"], ["cat"], ["tee", str(tmp_path / "out")]]
    stages[stage] = ["sh", "-c", f"{talk}; exec {' '.join(stages[stage])}"]
    pipeline(stages, timeout=60)
    assert (tmp_path / "out").read_text() == "hello\n"
    stages[stage] = ["sh", "-c", f"{talk}; echo; echo the end >&2; exit 3"]
    with pytest.raises(LabError, match="the end"):
        pipeline(stages, timeout=60)


def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    mark = str(tmp_path / "fifo")
    code = (
        "import os; from panthorlab.kernel.tools import run; from pathlib import Path\n"
        f"run(['sh', '-c', 'echo $$ > {mark}.new; mv {mark}.new {mark}; sleep 60 & wait'], timeout=60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not Path(mark).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child = int(Path(mark).read_text())
    parent.kill()
    parent.wait(60)

    def runs() -> bool:
        try:
            return bool(Path(f"/proc/{child}/cmdline").read_bytes())  # a zombie has none
        except OSError:
            return False

    while runs() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not runs()


def test_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="the disk is full"), disk_errors():
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), disk_errors():
        raise PermissionError(errno.EACCES, "no")
    assert "the disk is full" in str(tool_error(["tar"], 2, "tar: x: Cannot write: No space left on device"))
    with pytest.raises(LabError, match=r"GB are needed") as caught:
        need_space(tmp_path, 1 << 60)
    assert "XDG_CACHE_HOME" in (caught.value.hint or "")
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(LabError, match="the disk is full"),
        disk_errors(),
    ):
        full.write(b"x")

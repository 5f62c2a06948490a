# SPDX-License-Identifier: GPL-2.0-or-later
"""Standing in somebody else's checkout runs nothing of it: neither suites nor board files nor Python modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from panthorlab.errors import UsageError
from panthorlab.kernel.build.config import find_fragments
from panthorlab.run.record.codec import encode
from panthorlab.run.suites import all_suites, find_suites, lasting
from panthorlab.run.worker import worker_argv
from tests.unit.run.workers import job_on

SUITES = Path(__file__).parents[3] / "suites"
MODULES = ("yaml", "pydantic", "pytest", "requests", "unidiff", "paramiko", "json", "panthorlab_plugin")
NAMED = "def test_named() -> None:\n    pass\n"


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: whatever of it is run, or loaded, leaves a file `ran`."""
    evil = f"open({str(tmp_path / 'ran')!r}, 'a').write(__file__ + '\\n')\n"
    checkout = tmp_path / "checkout"
    for name in ("suites", "board_configs", "kernel_configs"):
        (checkout / name).mkdir(parents=True)
    for name in (
        *(f"{module}.py" for module in MODULES),
        "conftest.py",
        "sitecustomize.py",
        "suites/test_probe.py",
        "suites/test_evil.py",
    ):
        (checkout / name).write_text(evil)
    (checkout / "pytest.ini").write_text("[pytest]\naddopts = -p panthorlab_plugin\n")
    (checkout / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = "-p panthorlab_plugin"\n')
    (checkout / "board_configs/qemu-g610.yaml").write_text("type: emulated\ndescription: evil\n")
    (checkout / "kernel_configs/kasan.config").write_text("CONFIG_EVIL=y\n")
    (checkout / "kernel_configs/mine.config").write_text("CONFIG_MINE=y\n")
    (checkout / "good").mkdir()
    (checkout / "good/test_named.py").write_text(NAMED)
    monkeypatch.chdir(checkout)
    monkeypatch.delenv("PANTHORLAB_PATH", raising=False)
    return checkout


def ran(hostile: Path) -> str:
    mark = hostile.parent / "ran"
    return mark.read_text() if mark.exists() else ""


def test_names_mean_what_is_shipped(hostile: Path) -> None:
    assert find_suites(["probe"]) == {"probe": SUITES / "test_probe.py"}
    assert "evil" not in all_suites()
    assert find_fragments(["kasan"])[0].parent == SUITES.parent / "kernel_configs"


def test_what_is_here_is_told_when_it_was_meant(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError) as caught:
        find_suites(["evil"])
    assert caught.value.hint == (
        "there is suites/test_evil.py here: use --suite ./suites/test_evil.py, or set PANTHORLAB_PATH=."
    )
    with pytest.raises(UsageError) as caught:
        find_fragments(["mine"])
    assert "--config ./kernel_configs/mine.config" in (caught.value.hint or "")
    monkeypatch.setenv("PANTHORLAB_PATH", ".")
    assert find_suites(["evil"]) == {"evil": hostile / "suites/test_evil.py"}
    assert find_suites(["probe"]) == {"probe": hostile / "suites/test_probe.py"}


@pytest.mark.parametrize("name", ["./good/test_named.py", "good/test_named.py", "good", "./good", "good/"])
def test_a_path_is_where_the_user_says(hostile: Path, name: str) -> None:
    if name == "good":
        with pytest.raises(UsageError, match="no suite `good`"):
            find_suites([name])
    else:
        assert find_suites([name]) == {"named": hostile / "good/test_named.py"}
        assert lasting([name, "probe"])[1] == "probe"
        assert find_suites(lasting([name])) == {"named": hostile / "good/test_named.py"}


@pytest.mark.parametrize("name", ["./none/test_x.py", "board_configs/", "test_x.py", "./suites/none.py"])
def test_a_path_without_suites(hostile: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no suite at"):
        find_suites([name])


@pytest.mark.parametrize(
    "arguments",
    [
        ["boards", "--json"],
        ["scan", "--json", os.devnull],
        ["gpu", "params"],
        ["validate", "--board", "none"],
        ["doctor"],
        ["lava", "job", "--board", "x", "--kernel", "k", "--suite", "probe", "--rootfs", "u", "--artifacts", "a"],
    ],
)
def test_commands_load_nothing_of_it(hostile: Path, arguments: list[str]) -> None:
    argv = [sys.executable, "-m", "panthorlab", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    assert not ran(hostile)
    assert "evil" not in done.stdout


def test_a_worker_loads_what_is_beside_its_suites_and_nothing_above(hostile: Path) -> None:
    """The suites of one run may be in different places; a shipped one must not bring the other's surroundings in."""
    mine = hostile / "good/test_named.py"
    (hostile / "good/conftest.py").write_text("import pytest\n\n\n@pytest.fixture\ndef own() -> int:\n    return 7\n")
    mine.write_text("def test_named(own: int) -> None:\n    assert own == 7\n")
    log_dir = hostile / "runs/boot"
    log_dir.mkdir(parents=True)
    suites = (str(SUITES / "test_probe.py"), str(mine))
    job = job_on(mine, suites=suites, run_dir=str(log_dir), log_dir=str(log_dir))
    (log_dir / "job.json").write_text(json.dumps(encode(job)))
    argv = [*worker_argv(log_dir, 2), "--setup-plan"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=hostile)
    assert "::test_named (fixtures used: _only_expected_findings, own" in done.stdout, done.stdout + done.stderr
    assert "::test_probe_messages" in done.stdout
    assert not ran(hostile)


def test_a_worker_does_not_tidy_what_others_have_left(tmp_path: Path) -> None:
    """pytest's own place for temporary files is one for all runs of a user, and is tidied at the end of each."""
    mine = tmp_path / "test_mine.py"
    mine.write_text("def test_it(tmp_path):\n    assert 'boot-1' in str(tmp_path), tmp_path\n")
    log_dir = tmp_path / "boot-1"
    log_dir.mkdir()
    argv = worker_argv(log_dir, 2)
    argv = argv[: argv.index("--job")]  # no board
    done = subprocess.run([*argv, str(mine)], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr

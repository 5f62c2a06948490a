# SPDX-License-Identifier: GPL-2.0-or-later
"""The examples for CI systems: their shell is run as the systems run it, with a stand-in for panthorlab that keeps what
it was called with and gives the statuses that a test wants; one is run with panthorlab itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, ValidationError

from panthorlab.options import parse
from panthorlab.paths import PACKAGE
from tests.unit.kernel.conftest import write_tree

EXAMPLES = PACKAGE.parent / "scripts/ci-examples"
KEY = "0123456789abcdef" * 4
STAND_IN = f"""#!/bin/sh
for word in "$@"; do printf '%s\\0' "$word"; done >>"$CALLS"
printf '\\n' >>"$CALLS"
[ "$1" != build ] || echo "base    {KEY}  build-id 0123456789abcdef  6.12.117"
status=$(head -n 1 "$STATUSES")
sed -i 1d "$STATUSES"
exit "${{status:-0}}"
"""
ENVIRONMENT = {
    "CI_MERGE_REQUEST_DIFF_BASE_SHA": "v1", "CI_COMMIT_SHA": "HEAD", "CI_JOB_ID": "17", "BOARD": "qemu-g610",
    "MBOX": "", "BASE": "v1", "HEAD": "HEAD", "GITHUB_RUN_ID": "17", "GITHUB_RUN_ATTEMPT": "1",
    "PATCH": "v1..HEAD", "BUILD_NUMBER": "17", "ATTEMPT": "1",
}  # fmt: skip


@dataclass(frozen=True)
class Script:
    """Shell of an example, and its steps' shell options, by which each system ends it at the first failure."""

    name: str
    text: str
    shell: tuple[str, ...]


def scripts() -> Iterator[Script]:
    gitlab = yaml.safe_load((EXAMPLES / "gitlab-ci.yml").read_text())
    for name, job in gitlab.items():
        if isinstance(job, dict) and "script" in job:
            yield Script(f"gitlab {name}", "\n".join(job["script"]), ("bash", "-eo", "pipefail"))
    github = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())
    for name, job in github["jobs"].items():
        for step in job["steps"]:
            if "run" in step:
                yield Script(f"github {name}", step["run"], ("bash", "--noprofile", "--norc", "-e"))
    for number, found in enumerate(re.findall(r"'''(.*?)'''", (EXAMPLES / "Jenkinsfile").read_text(), re.DOTALL)):
        yield Script(f"jenkins {number}", found, ("sh", "-xe"))


SCRIPTS = {script.name: script for script in scripts()}


@dataclass
class Ran:
    status: int
    output: str
    calls: list[list[str]]


class Runner:
    """Runs scripts in a directory of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        self.install(STAND_IN)

    def install(self, program: str) -> None:
        """`program` is panthorlab from now on."""
        file = self.folder / "bin/panthorlab"
        file.write_text(program)
        file.chmod(0o755)

    def run(
        self, name: str, statuses: Sequence[int] = (), cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Ran:
        calls, script = self.folder / "calls", SCRIPTS[name]
        calls.write_text("")
        (self.folder / "statuses").write_text("".join(f"{status}\n" for status in statuses))
        own = {
            "CALLS": str(calls),
            "STATUSES": str(self.folder / "statuses"),
            "GITHUB_OUTPUT": str(self.folder / "out"),
        }
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        (self.folder / "script").write_text(script.text)
        done = subprocess.run(
            [*script.shell, str(self.folder / "script")],
            cwd=cwd or self.folder,
            env={**os.environ, **ENVIRONMENT, **(env or {}), **own, "PATH": path},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        lines = calls.read_text().split("\0\n")[:-1]
        return Ran(done.returncode, done.stdout + done.stderr, [line.split("\0") for line in lines])


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def test_there_are_scripts_of_all_three() -> None:
    assert {name.partition(" ")[0] for name in SCRIPTS} == {"gitlab", "github", "jenkins"}
    assert len(SCRIPTS) >= 8


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_command_is_one_that_panthorlab_knows(runner: Runner, name: str) -> None:
    done = runner.run(name)
    assert done.status == 0, done.output
    assert done.calls
    for call in done.calls:
        options = parse(call)
        assert options.name == call[0]
        if call[0] == "suites":
            assert KEY in call


@pytest.mark.parametrize("status", [0, 1, 2, 3, 4, 130])
def test_a_status_reaches_the_ci_system(runner: Runner, status: int) -> None:
    for name in ("gitlab validate", "gitlab series", "jenkins 0"):
        done = runner.run(name, [status], env={"MBOX": "series.mbox"})
        assert (done.status, len(done.calls)) == (status, 1), name
    for name in ("gitlab suites", "github suites", "jenkins 1"):
        assert runner.run(name, [status]).status == status, "of the build"
        assert runner.run(name, [0, status]).status == status, "of the suites"


@pytest.mark.parametrize(
    ("statuses", "status", "word"),
    [
        ([0], 0, ""),
        ([1], 1, ""),
        ([2], 2, ""),
        ([3], 0, "::warning"),
        ([4, 0], 0, ""),
        ([4, 1], 1, ""),
        ([4, 4], 4, "::error"),
    ],
)
def test_on_github_the_lab_has_a_second_try(runner: Runner, statuses: list[int], status: int, word: str) -> None:
    done = runner.run("github validate", statuses)
    assert (done.status, len(done.calls)) == (status, len(statuses))
    assert word in done.output
    assert ("::" in done.output) == bool(word)
    outputs = [call[call.index("--output") + 1] for call in done.calls]
    assert len(set(outputs)) == len(statuses), "two runs have two directories"


@pytest.mark.parametrize(
    ("statuses", "status"),
    [([0, 0, 0], 0), ([1, 1, 0], 0), ([0, 0, 1], 1), ([0, 1, 3], 3), ([4], 4), ([1, 4], 4), ([2], 2)],
)
def test_a_queue_is_judged_by_what_changed(runner: Runner, statuses: list[int], status: int) -> None:
    done = runner.run("gitlab stable", statuses)
    assert (done.status, len(done.calls)) == (status, len(statuses)), done.output
    if len(statuses) == 3:
        assert done.calls[-1][:3] == ["compare", "runs/last", "runs/queue"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_others_write_is_no_shell(runner: Runner, name: str) -> None:
    hostile = "'\"; touch pwned; $(touch pwned) `touch pwned` #"
    strange = dict.fromkeys(("MBOX", "PATCH", "BASE", "HEAD", "CI_COMMIT_SHA", "BOARD"), hostile)
    done = runner.run(name, env=strange)
    assert not (runner.folder / "pwned").exists()
    assert done.status == 0
    assert any(hostile in word for call in done.calls for word in call)


def test_no_expression_stands_in_github_s_shell() -> None:
    assert all("${{" not in script.text for name, script in SCRIPTS.items() if name.startswith("github"))


@pytest.mark.parametrize(
    ("schema", "file"), [("gitlab-ci", "gitlab-ci.yml"), ("github-workflows", "github-actions.yml")]
)
def test_the_systems_own_schemas_accept_them(schema: str, file: str) -> None:
    rules = json.loads((files("check_jsonschema") / f"builtin_schemas/vendor/{schema}.json").read_text())
    made = yaml.safe_load((EXAMPLES / file).read_text())
    if True in made:  # YAML 1.1 takes `on` for that
        made["on"] = made.pop(True)
    Draft7Validator(rules).validate(made)
    for key, wrong in (
        ("stages", {"no": 1}),
        ("jobs", {"validate": {"runs-on": []}}),
        ("jobs", {"validate": {"steps": []}}),
    ):
        if key in made:
            with pytest.raises(ValidationError):
                Draft7Validator(rules).validate({**made, key: wrong})


def test_gitlab_keeps_reports_and_knows_the_statuses() -> None:
    made: dict[str, Any] = yaml.safe_load((EXAMPLES / "gitlab-ci.yml").read_text())
    common = made[".panthorlab"]
    assert (common["retry"]["exit_codes"], common["allow_failure"]["exit_codes"]) == ([4], [3])
    assert common["artifacts"]["when"] == "always"
    jobs = [job for job in made.values() if isinstance(job, dict) and "script" in job]
    assert all(job["extends"] == ".panthorlab" for job in jobs)


def test_a_validation_is_planned_as_the_example_says(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command itself, with --dry-run, on a tree with one commit to judge."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE.parent))
    tree = write_tree(tmp_path / "linux")

    def git(*words: str) -> None:
        argv = ["git", "-C", str(tree), "-c", "user.name=T", "-c", "user.email=t@example.org", *words]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-q", "-m", "tiny")
    git("tag", "v1")
    driver = tree / "drivers/gpu/drm/panthor/panthor_sched.c"
    driver.write_text(driver.read_text() + "/* more */\n")
    git("commit", "-q", "-a", "-m", "drm/panthor: Say more")
    runner.install(f'#!/bin/sh\nexec "{sys.executable}" -m panthorlab "$@" --dry-run\n')
    done = runner.run("gitlab validate", cwd=tree)
    assert done.status == 0, done.output
    assert "drm/panthor: Say more" in done.output
    assert "panthor_sched.c" in done.output

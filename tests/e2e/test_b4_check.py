# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab b4-check` as b4 itself calls it: from `b4 prep --check`, and from the checks of `b4 review`."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.kernel.conftest import write_tree
from tests.unit.kernel.test_each_commit import SCHED, with_scripts

pytestmark = pytest.mark.e2e

OURS = f"{shlex.quote(sys.executable)} -m panthorlab b4-check"
# What the review's program does when it is asked for checks.
REVIEW = """\
import email, email.policy, json, sys
import b4.command
from b4.review import checks
b4.setup_config(b4.command.setup_parser().parse_args(["review"]))
perpatch, series = checks.load_check_cmds()
mails = [(name, email.message_from_file(open(name), policy=email.policy.default)) for name in sys.argv[1:]]
top = b4.git_get_toplevel()
told = {"series": checks.run_series_checks(mails[0], series, top)}
print(json.dumps({**told, **checks.run_perpatch_checks(mails[1:], perpatch, top)}))
"""


@pytest.fixture
def tree(tmp_path: Path) -> SimpleNamespace:
    """A small kernel tree as a git repository, in which b4 is told to call us."""
    root = with_scripts(write_tree(tmp_path / "linux"))
    home = tmp_path / "home"
    home.mkdir()
    env = {**os.environ, "HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])}
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        env.pop(name, None)

    def run(*argv: str) -> str:
        done = subprocess.run(argv, capture_output=True, text=True, cwd=root, env=env, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def change(old: str, new: str, message: str) -> None:
        (root / SCHED).write_text((root / SCHED).read_text().replace(old, new))
        run("git", "commit", "-q", "-a", "-s", "-m", message)

    run("git", "init", "-q", "-b", "main")
    for name, value in (
        ("user.name", "T"),
        ("user.email", "t@example.org"),
        ("b4.prep-perpatch-check-cmd", f"{OURS} --lines"),
        ("b4.review-perpatch-check-cmd", OURS),
        ("b4.review-series-check-cmd", OURS),
    ):
        run("git", "config", name, value)
    run("git", "add", "-A")
    run("git", "commit", "-q", "-m", "tiny")
    return SimpleNamespace(path=root, run=run, change=change)


def test_before_an_author_sends_it(tree: SimpleNamespace) -> None:
    b4 = str(Path(sys.executable).with_name("b4"))
    tree.run(b4, "--no-interactive", "prep", "-n", "ticks", "-f", "main")
    tree.change("ticks++;", "if (ticks) {\n\t\tticks++;\n\t}", 'drm/panthor: Tick\n\nFixes: 123456789012 ("tock")')
    told = tree.run(b4, "--no-interactive", "prep", "--check")
    assert "panthorlab-fixes: Fixes: 123456789012" in told
    assert "WARNING:BRACES: braces {} are not necessary" in told
    assert "does not apply" not in told


def test_what_a_reviewer_sees(tree: SimpleNamespace) -> None:
    tree.change("ticks++;", "ticks += 1;", "drm/panthor: One")
    tree.change("ticks += 1;", "ticks += 3;", "drm/panthor: Two")
    tree.run("git", "format-patch", "-q", "-o", "../mails", "--cover-letter", "HEAD~2")
    names = sorted(str(path) for path in (tree.path.parent / "mails").iterdir())
    tree.run("git", "reset", "-q", "--hard", "HEAD~2")
    told: dict[str, list[dict[str, Any]]] = json.loads(tree.run(sys.executable, "-c", REVIEW, *names))
    [cover, one, two] = told.values()
    assert [(result["tool"], result["status"]) for result in one] == [
        ("panthorlab-fit", "pass"),
        ("panthorlab-style", "pass"),
        ("panthorlab-run", "warn"),
    ]
    assert "cover letter" in cover[0]["summary"]
    assert (two[0]["tool"], two[0]["status"]) == ("panthorlab-fit", "warn"), "without a branch of the review"

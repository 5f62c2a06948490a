# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab b4-check`: one mail on standard input, results for b4 on standard output."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from panthorlab import cli
from panthorlab.run.b4check import TRACKING, ResultJson
from tests.unit.kernel.conftest import DRIVER
from tests.unit.kernel.test_each_commit import SCHED, with_scripts

Ask = Callable[..., tuple[int, dict[str, ResultJson]]]


@pytest.fixture
def history(git_tree: SimpleNamespace) -> SimpleNamespace:
    """The tiny tree with checkpatch.pl, and a branch of two commits."""
    with_scripts(git_tree.path)
    git_tree.git("add", "-A")
    git_tree.git("commit", "-q", "-m", "drm/panthor: scripts")
    git_tree.git("tag", "-f", "v1")
    path = git_tree.path / SCHED
    for old, new, title in (
        ("ticks++", "ticks += 1", "drm/panthor: one"),
        ("ticks += 1", "ticks += 2", "drm/panthor: two"),
    ):
        path.write_text(path.read_text().replace(old, new))
        git_tree.git("commit", "-q", "-a", "-m", title)
    return git_tree


@pytest.fixture
def ask(
    history: SimpleNamespace, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Ask:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.delenv(TRACKING, raising=False)
    monkeypatch.chdir(history.path)

    def call(mail: str, *options: object) -> tuple[int, dict[str, ResultJson]]:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(mail.encode())))
        status = cli.main(["b4-check", *map(str, options)])
        results = json.loads(capsys.readouterr().out)
        for one in results:
            assert list(one) == ["tool", "status", "summary", "url", "details"]
            assert "\n" not in one["summary"]
        return status, {one["tool"]: one for one in results}

    return call


def mails(history: SimpleNamespace, *options: str) -> list[str]:
    return [
        Path(name).read_text()
        for name in history.git("format-patch", "-o", str(history.path.parent / "mails"), *options, "v1..main").split()
    ]


def test_a_patch_for_the_tree_as_it_is(ask: Ask, history: SimpleNamespace) -> None:
    [one, two] = mails(history, "--no-numbered")
    history.git("checkout", "-q", "v1")
    status, results = ask(one)
    assert status == 0
    assert {tool: result["status"] for tool, result in results.items()} == {
        "panthorlab-fit": "pass",
        "panthorlab-style": "pass",
        "panthorlab-run": "warn",
    }
    assert "scheduler" in results["panthorlab-run"]["details"]
    history.git("tag", "-d", "v1")
    history.git("branch", "-D", "main")
    status, results = ask(two)
    assert (status, results["panthorlab-fit"]["status"]) == (1, "fail")


def test_an_author_has_the_commit_already(ask: Ask, history: SimpleNamespace) -> None:
    status, results = ask(mails(history, "--no-numbered")[1])
    assert (status, results["panthorlab-fit"]["status"]) == (0, "pass")
    assert "of its history" in results["panthorlab-fit"]["details"]


def test_parts_of_a_series(ask: Ask, history: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cover, one, two = mails(history, "--cover-letter", "-v3")
    history.git("checkout", "-q", "-b", "b4/review/x", "main")
    history.git("commit", "-q", "--allow-empty", "-m", "what b4 keeps of the review")
    first = history.git("rev-parse", "main~1").strip()
    second = history.git("rev-parse", "main").strip()
    history.git("checkout", "-q", "v1")
    assert ask(one)[1]["panthorlab-fit"]["status"] == "pass"
    assert ask(cover)[1]["panthorlab"]["status"] == "warn", "of a cover letter alone nothing is known"
    tracking = tmp_path / "tracking.json"
    tracking.write_text(json.dumps({"series": {"change-id": "x", "first-patch-commit": first}}))
    monkeypatch.setenv(TRACKING, str(tracking))
    for mail in (cover, one, two):
        assert ask(mail)[1]["panthorlab-fit"]["status"] == "pass"
    history.git("branch", "-q", "-D", "main")
    assert ask(two)[1]["panthorlab-fit"]["summary"].count(f"{second}^"), "on top of the first"


def test_the_verdict_on_record(ask: Ask, history: SimpleNamespace, tmp_path: Path) -> None:
    one, two = mails(history, "--no-numbered")
    history.git("checkout", "-q", "v1")
    for name, verdict, status, kept in (
        ("a", "fixed", 0, [one]),
        ("b", "regressed", 1, [one, two]),
        ("c", "fixed", 0, [two]),
    ):
        for number, mail in enumerate(kept, 1):
            (tmp_path / f"runs/{name}/patches/{number:02d}").mkdir(parents=True)
            (tmp_path / f"runs/{name}/patches/{number:02d}/x.patch").write_text(mail.replace("one", "One"))
        (tmp_path / f"runs/{name}/result.json").write_text(
            json.dumps({"verdict": verdict, "exit": status, "reasons": ["because"]})
        )
    _, results = ask(one, "--runs", tmp_path / "runs")
    told = results["panthorlab-run"]
    assert (told["status"], told["summary"]) == ("fail", "regressed (as part of a series)"), "the newest"
    assert told["url"] == (tmp_path / "runs/b/report.html").as_uri()
    assert f"earlier: fixed, {tmp_path / 'runs/a'}" in told["details"]
    shutil.rmtree(tmp_path / "runs/b")
    assert ask(one, "--runs", tmp_path / "runs")[1]["panthorlab-run"]["summary"] == "fixed"
    for name in ("gone", "pipe"):
        (tmp_path / "runs" / name).mkdir()
    (tmp_path / "runs/gone/result.json").symlink_to("nowhere")
    os.mkfifo(tmp_path / "runs/pipe/result.json")
    for damaged in ("{", "[" * 100_000):
        (tmp_path / "runs/a/result.json").write_text(damaged)
        assert ask(one, "--runs", tmp_path / "runs")[1]["panthorlab-run"]["summary"] == "not validated yet"


def test_lines_for_an_author(
    history: SimpleNamespace, ask: Ask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mail = mails(history, "--no-numbered")[1].replace("\n---\n", '\nFixes: 123456789012 ("x")\n---\n', 1)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(mail.encode())))
    assert cli.main(["b4-check", "--lines"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ERROR: panthorlab-fixes: ") for line in lines)
    assert any(line.startswith("WARNING: panthorlab-run: not validated") for line in lines)


@pytest.mark.parametrize(
    "mail", ["", "\0", "From: a\n\nhello\n", "Subject: [PATCH] x\n\ndiff --git a/x b/x\n--- a/x\n"]
)
def test_what_is_no_patch(ask: Ask, mail: str) -> None:
    status, results = ask(mail)
    assert status in (0, 2)
    assert all(result["status"] == "fail" for result in results.values())


def test_a_machine_that_fails_is_told_to_b4(
    ask: Ask, history: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    mail = mails(history, "--no-numbered")[0]
    assert ask(mail, "--", "--suite", "leaks")[0] == 2, "nothing is validated"
    monkeypatch.setattr("tempfile.mkdtemp", full)
    status, results = ask(mail, "--base", f"{history.path}@v1")
    assert (status, results["panthorlab"]["status"]) == (4, "fail")
    monkeypatch.setattr("sys.stdin", None)
    assert cli.main(["b4-check"]) == 2
    assert "closed" in json.loads(capsys.readouterr().out)[0]["summary"]


def test_a_tree_that_cannot_be_checked(ask: Ask, history: SimpleNamespace) -> None:
    mail = mails(history, "--no-numbered")[0]
    history.git("rm", "-q", "-r", "scripts")
    history.git("commit", "-q", "-m", "gone")
    status, results = ask(mail, "--base", f"{history.path}@v1")
    assert (status, results["panthorlab-fit"]["status"]) == (0, "pass")
    history.git("checkout", "-q", "--orphan", "other")
    history.git("commit", "-q", "-a", "-m", "other")
    (history.path / f"{DRIVER}/panthor_sched.c").write_text(
        (history.path / SCHED).read_text().replace("ticks += 2", "ticks++")
    )
    history.git("commit", "-q", "-a", "-m", "base")
    status, results = ask(mail, "--base", f"{history.path}@other")
    assert status == 4
    assert results["panthorlab"]["status"] == "fail", "what could not be checked has not passed"


def test_hostile_text(ask: Ask, history: SimpleNamespace) -> None:
    mail = mails(history, "--no-numbered")[1].replace("drm/panthor: two", "drm: \x1b]0;x\x07 two\u202e")
    _, results = ask(mail.replace("ticks += 1", "tacks \x1b[2J"))
    assert not {"\x1b", "\x07", "\u202e"} & set(
        "".join(str(value) for one in results.values() for value in one.values())
    )

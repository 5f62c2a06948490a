# SPDX-License-Identifier: GPL-2.0-or-later
"""The history of many runs: what it counts, and that neither damage nor company nor hostile text makes it wrong."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from panthorlab import cli
from panthorlab.history import database
from panthorlab.history.facts import RunFacts, State, facts_of
from panthorlab.history.find import run_dirs
from panthorlab.history.pages import PAGES
from panthorlab.outcome import Outcome
from panthorlab.run.record.log import EventLog
from panthorlab.verdict.stats import wilson
from tests.made_runs import ALONE, FIXED, NIGHT, NOON, SIGNATURE, write_bisect, write_run

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "tests/data/runs"
XSS = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&lt;\u202e\x1b[31m\ud800\x00"


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def history(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert cli.main(["history", *map(str, arguments), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert isinstance(made, dict)
    return made


def test_nights_trends_and_signatures_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    write_run(runs / "one", FIXED)
    write_run(runs / "deep/two", replace(ALONE, started=NOON + NIGHT - 60, lost=3))
    write_run(runs / "three", replace(ALONE, started=NOON + NIGHT, stray=("warning:panthor:x",)))
    made = history(capsys, runs)
    assert [(night["date"], night["runs"]) for night in made["nights"]] == [
        ("2026-01-02", {"failed": 1}), ("2026-01-01", {"error": 1, "fixed": 1})
    ]  # fmt: skip
    first = made["nights"][1]
    ran = 2 * (80 + 300) + 2 * 2 + 2 * 20 + 2
    assert (first["attempted"], first["judged"], first["lost"]) == (ran + 12, ran, 12)
    assert (first["boots"], first["boots_lost"]) == (6, 0)
    (trend,) = [one for one in made["trends"] if one["name"] == "heap-exit/vm-destroy-live"]
    assert trend["suite"] == "heap-exit"
    assert trend["nights"]["2026-01-01"] == {"faulty": 4, "judged": 20, "interval": list(wilson(4, 20))}
    assert (trend["flaky"], trend["flakes"]) == (1, {"faulty": 8, "judged": 40, "interval": list(wilson(8, 40))})
    (solid,) = [one for one in made["trends"] if one["name"] == "heap-exit/exit" and one["arm"] == "before"]
    assert (solid["all"]["faulty"], solid["flaky"]) == (80, 0), "always is not flaky"
    named = {one["signature"]: one for one in made["signatures"]}
    assert (named[SIGNATURE]["first"], named[SIGNATURE]["last"]) == (NOON, NOON + NIGHT)
    assert named[SIGNATURE]["first_run"].endswith("/one")
    assert named["warning:panthor:x"]["places"] == [
        {"kernel": "6.12.117 kernel", "board": "qemu-g610", "workload": "(outside iterations)",
         "faulty": 2, "judged": 2, "interval": list(wilson(2, 2))}
    ]  # fmt: skip
    assert {(row["kernel"], row["runs"]) for row in made["kernels"]} == {
        ("6.12.117 before", 1), ("6.12.117 after", 1), ("6.12.117 kernel", 2)
    }  # fmt: skip


def test_a_replay_counts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "runs/one", FIXED)
    whole = history(capsys, tmp_path / "runs")
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    lines[0]["replay_of"] = "one:x"
    again = tmp_path / "runs/again"
    again.mkdir()
    (again / "events.jsonl").write_text(
        "".join(json.dumps({k: v for k, v in one.items() if k != "c"}) + "\n" for one in lines)
    )
    made = history(capsys, tmp_path / "runs")
    assert [run["kind"] for run in made["runs"]] == ["validate", "replay"]
    assert {key: made[key] for key in made if key != "runs"} == {key: whole[key] for key in whole if key != "runs"}


def test_a_bisect_counts_nothing_and_is_what_it_came_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "runs/one", FIXED)
    whole = history(capsys, tmp_path / "runs")
    for status in (0, 3, None):
        write_bisect(tmp_path / f"runs/bisect-{status}", status)
    made = history(capsys, tmp_path / "runs")
    found = {
        Path(run["run"]).name: (run["kind"], run["state"], run["verdict"], run["exit"], run["title"])
        for run in made["runs"]
    }
    assert found["bisect-0"] == ("bisect", "ended", "found", 0, "it is c")
    assert found["bisect-3"] == ("bisect", "ended", "inconclusive", 3, "it is c")
    assert found["bisect-None"] == ("bisect", "stopped", "", None, "bisect aaaaaaaaaaaa..bbbbbbbbbbbb")
    assert {key: made[key] for key in made if key != "runs"} == {key: whole[key] for key in whole if key != "runs"}


@pytest.mark.parametrize("run", sorted(path for path in KEPT.iterdir()), ids=lambda path: path.name)
def test_logs_of_all_versions_are_read(run: Path) -> None:
    facts = facts_of(run)
    assert facts.state in (State.ENDED, State.STOPPED), facts.why
    assert facts.verdict


def _flipped(run: Path) -> None:
    data = bytearray((run / "events.jsonl").read_bytes())
    data[len(data) // 2] ^= 1
    (run / "events.jsonl").write_bytes(data)


def _fifo(run: Path) -> None:
    (run / "events.jsonl").unlink()
    os.mkfifo(run / "events.jsonl")


def _link(run: Path) -> None:
    (run / "events.jsonl").rename(run / "other")
    (run / "events.jsonl").symlink_to(run / "other")


def _sparse(run: Path) -> None:
    with (run / "events.jsonl").open("r+b") as file:
        file.truncate(1 << 40)


def _empty(run: Path) -> None:
    (run / "events.jsonl").write_bytes(b"")


def _newer(run: Path) -> None:
    text = (run / "events.jsonl").read_text().splitlines()[0]
    first = json.loads(text) | {"version": 99}
    del first["c"]
    (run / "events.jsonl").write_text(json.dumps(first) + '\n{"time":1,"event":"of-tomorrow"}\n')


def _contradicts(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    for line in lines:
        del line["c"]
        if line["event"] == "iteration":
            line["faulty"] = 7
    (run / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _huge(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    for line in lines:
        del line["c"]
        if line["event"] == "quota":
            line["arm_total"] = 10**30
    (run / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


DAMAGE = (_huge, _flipped, _fifo, _link, _sparse, _empty, _newer, _contradicts)


def test_damaged_runs_are_told_and_not_fatal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "runs/good", FIXED)
    for damage in DAMAGE:
        damage(write_run(tmp_path / f"runs/{damage.__name__}", FIXED))
    for _ in range(2):
        made = history(capsys, tmp_path / "runs")
        bad = {Path(run["run"]).name: run["why"] for run in made["runs"] if run["state"] == "damaged"}
        assert set(bad) == {damage.__name__ for damage in DAMAGE}
        assert all(bad.values())
        assert made["nights"][0]["runs"] == {"fixed": 1}
    assert "newer panthorlab" in bad["_newer"]
    assert cli.main(["history", str(tmp_path / "runs")]) == 0
    out, err = capsys.readouterr()
    assert f"{len(DAMAGE)} of them damaged" in out
    assert err.count("\n") == len(DAMAGE)


def test_a_run_that_is_not_over_is_read_until_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "runs/one", replace(FIXED, ended=False))
    with EventLog(run):
        assert history(capsys, tmp_path / "runs")["runs"][0]["state"] == "running"
    assert history(capsys, tmp_path / "runs")["runs"][0]["state"] == "stopped"
    shutil.rmtree(run)
    write_run(run, FIXED)
    assert history(capsys, tmp_path / "runs")["runs"][0]["verdict"] == "fixed"


def test_a_run_may_be_called_as_a_directory_of_a_run(tmp_path: Path) -> None:
    names = {"boots", "patches", "coverage", "history"}
    for name in names:
        write_run(tmp_path / name, ALONE)
    (tmp_path / "boots/boots/x").mkdir(parents=True)
    (tmp_path / "boots/boots/x/events.jsonl").touch()
    assert {path.name for path in run_dirs([tmp_path])} == names


def test_it_is_of_the_directories_that_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, out = tmp_path / "a", tmp_path / "b", tmp_path / "out"
    write_run(one / "x", FIXED)
    write_run(two / os.fsdecode(b"y\xff%"), ALONE)
    history(capsys, one, "--output", out)
    assert len(history(capsys, two, "--output", out)["runs"]) == 2, "those below other directories stay"
    shutil.rmtree(one / "x")
    kept = history(capsys, two, "--output", out)
    assert len(kept["runs"]) == 1
    assert kept == history(capsys, two, "--output", out, "--rebuild")
    (two / os.fsdecode(b"y\xff%") / "report.html").touch()
    history(capsys, two, "--output", out)
    assert "../b/y%FF%25/report.html" in (out / "runs.html").read_text()
    assert cli.main(["history", str(tmp_path / "none")]) == 2


@pytest.mark.parametrize("content", [b"", b"no database" * 1000, None], ids=["empty", "garbage", "half"])
def test_a_damaged_database_is_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    write_run(tmp_path / "runs/one", FIXED)
    whole = history(capsys, tmp_path / "runs")
    file = tmp_path / "runs/history" / database.FILE
    file.write_bytes(file.read_bytes()[:5000] + b"\xff" * 20_000 if content is None else content)
    assert history(capsys, tmp_path / "runs") == whole


def test_a_database_of_another_version_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "runs/one", FIXED)
    whole = history(capsys, tmp_path / "runs")
    connection = sqlite3.connect(tmp_path / "runs/history" / database.FILE)
    connection.executescript("DROP TABLE sighting; ALTER TABLE run ADD COLUMN new; PRAGMA user_version = 77;")
    connection.close()
    assert history(capsys, tmp_path / "runs") == whole


WRITER = (
    "import sys; from pathlib import Path; from panthorlab.history import database, find\n"
    "out, runs, rebuild = sys.argv[1:]\n"
    "for _ in range(3): database.update(Path(out), find.run_dirs([Path(runs)]), rebuild=bool(rebuild))"
)


def _writer(output: Path, runs: Path, *, rebuild: bool = False, **more: Any) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", WRITER, str(output), str(runs), "x" if rebuild else ""]
    return subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, **more)


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    for name in "abc":
        for number in range(4):
            write_run(tmp_path / name / str(number), replace(ALONE, started=NOON + number))
    out = tmp_path / "out"
    writers = [_writer(out, tmp_path / name) for name in "abca"] + [_writer(out, tmp_path, rebuild=True)]
    assert [(one.communicate()[1], one.returncode) for one in writers] == [(b"", 0)] * 5
    database.update(out, run_dirs([tmp_path]))
    found = database.read(out)
    database.update(tmp_path / "fresh", run_dirs([tmp_path]))
    assert found == database.read(tmp_path / "fresh")
    assert len(found) == 12


def test_a_writer_that_is_killed_leaves_a_database(tmp_path: Path) -> None:
    for number in range(30):
        write_run(tmp_path / "runs" / str(number), ALONE)
    writer = _writer(tmp_path / "out", tmp_path / "runs", rebuild=True)
    while not (tmp_path / "out" / database.FILE).exists():
        assert writer.poll() is None
    writer.kill()
    writer.communicate()
    assert writer.returncode == -signal.SIGKILL
    database.update(tmp_path / "out", run_dirs([tmp_path / "runs"]))
    assert len(database.read(tmp_path / "out")) == 30


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(20):
        write_run(tmp_path / "runs" / str(number), ALONE)

    def limit() -> None:  # as a full disk: a write is short, and the next one fails
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    done = subprocess.run(
        [sys.executable, "-m", "panthorlab", "history", str(tmp_path / "runs")],
        cwd=ROOT, preexec_fn=limit, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(history(capsys, tmp_path / "runs")["runs"]) == 20


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "runs/one", ALONE)
    (tmp_path / "runs/history/.history.sqlite.lock").mkdir(parents=True)
    assert cli.main(["history", str(tmp_path / "runs")]) == 2
    assert "choose another directory" in capsys.readouterr().err


class _Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [str(value) for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_hostile_text_stays_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = replace(
        FIXED, title=XSS, release=XSS, board=XSS, signature=f"mmu-fault:{XSS}", stray=(f"warning:{XSS}",),
        rates={f"{XSS}/x": {"before": (1, 2), "after": (0, 2)}},
        tests={f"{XSS}::{XSS}": {"before": Outcome.PASS, "after": Outcome.FAIL}},
    )  # fmt: skip
    run = write_run(tmp_path / "runs/<script>alert(1)&\"'<", hostile)
    (run / "report.html").touch()
    write_run(tmp_path / "runs/<img src=x>", hostile)
    _flipped(tmp_path / "runs/<img src=x>")
    history(capsys, tmp_path / "runs")
    for name in PAGES.values():
        page = _Page((tmp_path / "runs/history" / name).read_text())
        assert not page.tags & {"script", "img", "link", "iframe"}
        assert not {name for name in page.attributes if name.startswith("on")}
        assert not [link for link in page.links if ":" in link or link.startswith("//")]
        assert "\x1b" not in page.text + "".join(page.links)
    assert cli.main(["history", str(tmp_path / "runs")]) == 0
    shown = "".join(capsys.readouterr())
    assert all(char.isprintable() or char == "\n" for char in shown)


def test_facts_survive_the_database(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "runs" / name, made) for name, made in (("a", FIXED), ("b", replace(ALONE, lost=2)))]
    database.update(tmp_path / "out", runs)
    assert database.read(tmp_path / "out") == [facts_of(run) for run in runs]
    assert database.read(tmp_path / "out", runs[:1]) == [facts_of(runs[0])]
    assert all(isinstance(run, RunFacts) for run in database.read(tmp_path / "out"))

# SPDX-License-Identifier: GPL-2.0-or-later
"""`runs` and `compare`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panthorlab import cli
from panthorlab.history.listing import age, size
from panthorlab.outcome import Outcome
from panthorlab.run.record.log import EventLog
from tests.made_runs import ALONE, FIXED, NIGHT, NOON, SIGNATURE, write_run


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert cli.main([*map(str, arguments), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert isinstance(made, dict)
    return made


def test_runs_are_listed_the_newest_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "old", FIXED)
    write_run(tmp_path / "new", replace(ALONE, started=NOON + NIGHT))
    write_run(tmp_path / "stopped", replace(ALONE, started=NOON + 2 * NIGHT, ended=False))
    write_run(tmp_path / "damaged", FIXED)
    (tmp_path / "damaged/events.jsonl").write_bytes(b"\x1b[2J\n")

    def check() -> None:
        made = as_json(capsys, "runs", tmp_path)["runs"]
        assert [Path(run["run"]).name for run in made] == ["stopped", "new", "old", "damaged"]
        assert [run["verdict"] for run in made] == ["error", "failed", "fixed", ""]
        assert [run["state"] for run in made] == ["stopped", "ended", "ended", "damaged"]
        assert all(run["bytes"] > 0 for run in made)
        assert cli.main(["runs", str(tmp_path)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == ["stopped", "failed", "fixed", "damaged"]
        assert "\x1b" not in "".join(lines)

    check()
    assert cli.main(["history", str(tmp_path)]) == 0
    capsys.readouterr()
    check()
    with EventLog(tmp_path / "stopped"):
        assert as_json(capsys, "runs", tmp_path)["runs"][0]["state"] == "running", "not what the history remembers"
    (tmp_path / "history/history.sqlite").write_bytes(b"damaged" * 9999)
    check()


def test_numbers_for_people() -> None:
    assert [size(count) for count in (0, 1023, 1 << 10, 5 << 20, 3 << 30)] == ["0", "1023", "1K", "5M", "3G"]
    assert age(0.0) == ""


def test_what_changed_between_two_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = write_run(tmp_path / "old", FIXED)
    worse = {
        "heap-exit/exit": {"before": (40, 40), "after": (30, 150)},
        "heap-exit/exec": {"before": (40, 40), "after": (0, 150)},
    }
    tests = {"probe::test_render_node": {"before": Outcome.PASS, "after": Outcome.FAIL}}
    new = write_run(
        tmp_path / "new",
        replace(FIXED, rates=worse, tests=tests, stray=("warning:panthor:x",), kernels={"after": "ff"}),
    )
    made = as_json(capsys, "compare", old, new)
    rates = {(one["name"], one["arm"]): one for one in made["rates"]}
    assert set(rates) == {("heap-exit/exit", "after"), ("probe::test_render_node", "after")}
    worst = rates["heap-exit/exit", "after"]
    assert (worst["change"], worst["old"]["faulty"], worst["new"]["faulty"]) == ("more", 0, 60)
    assert worst["p"] < 1e-15
    assert rates["probe::test_render_node", "after"]["change"] == "may be chance", "two of two boots prove nothing"
    assert made["only_new"] == ["heap-exit/exec (after)", "heap-exit/exec (before)"]
    assert made["only_old"] == ["heap-exit/sigkill (after)", "heap-exit/sigkill (before)"]
    assert made["appeared"] == [f"{SIGNATURE} (after)", "warning:panthor:x (after)", "warning:panthor:x (before)"]
    assert made["gone"] == []
    assert made["same"] == 2
    setup = {one["what"]: (one["old"], one["new"]) for one in made["setup"]}
    assert setup["verdict"] == ("fixed", "regressed")
    assert set(setup) == {"verdict", "store key (after)"}
    back = as_json(capsys, "compare", new, old)
    assert back["gone"] == made["appeared"]
    assert next(one for one in back["rates"] if one["name"] == "heap-exit/exit")["change"] == "fewer"
    same = as_json(capsys, "compare", old, old)
    assert [same[key] for key in ("setup", "rates", "appeared", "gone", "only_old", "only_new")] == [[]] * 6


def test_a_kernel_alone_is_compared_with_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both, alone = write_run(tmp_path / "both", FIXED), write_run(tmp_path / "alone", ALONE)
    assert cli.main(["compare", str(both), str(alone)]) == 0
    out = capsys.readouterr().out
    assert "store key (after): after-6.12.117" in out
    assert "ran in the new run alone: heap-exit/vm-destroy-live (kernel)" in out
    assert "1 workloads and tests have the same rate" in out


def test_what_cannot_be_compared_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", FIXED)
    assert cli.main(["compare", str(run), str(tmp_path)]) == 2
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/events.jsonl").write_text("{}\n")
    assert cli.main(["compare", str(tmp_path / "bad"), str(run)]) == 2
    assert "damaged" in capsys.readouterr().err

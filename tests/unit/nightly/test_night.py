# SPDX-License-Identifier: GPL-2.0-or-later
"""Nights from beginning to end, with real git trees and a real record; kernels and bisects say what they are told."""

from __future__ import annotations

import fcntl
import json
import time
from pathlib import Path
from typing import Any

import pytest

from panthorlab.board.registry import find_board_file
from panthorlab.errors import LabError, UsageError
from panthorlab.nightly import culprit
from panthorlab.nightly.culprit import OUT_OF_TIME
from panthorlab.nightly.model import Culprit, NewTrouble, NightOutcome, night_of
from panthorlab.nightly.record import NightLog, NightStart, NightTelling, read_nights
from panthorlab.run.record.log import DamagedLogError

from .conftest import NEW, KilledError, Lab, Repository, clock, named

ENDINGS = {"suite": ".py", "board": ".yaml", "fragment": ".config", "known": ".txt"}
BAD = (NightOutcome.REGRESSED, (NEW,))


def last(lab: Lab) -> Any:
    """The last night's JSON; whoever is told of nights can read it."""
    folder = max((lab.file.parent / "nightly.state/nights").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    data = json.loads((folder / "night.json").read_text())
    assert night_of(data).name == folder.name
    assert (folder / "night.html").read_text().startswith("<!DOCTYPE html>")
    return {**data["kernels"][0], "night": data}


def test_a_branch_that_has_not_changed_is_not_tested_again(lab: Lab, repository: Repository) -> None:
    assert lab.run() == 0
    assert lab.run() == 0
    assert lab.judged == ["master: The first"]
    assert (last(lab)["outcome"], last(lab)["standing"]) == ("unchanged", "good")
    assert lab.run("--force") == 0
    assert len(lab.judged) == 2
    repository.commit("The second")
    assert lab.run() == 0
    assert lab.judged[-1] == "master: The second"
    assert last(lab)["attempted"] == 10


@pytest.mark.parametrize("what", ["suite", "board", "fragment", "known", "overlay"])
def test_a_branch_is_tested_again_when_the_text_of_what_it_is_tested_with_has_changed(
    lab: Lab, repository: Repository, what: str
) -> None:
    folder = lab.file.parent
    (folder / "overlay").mkdir()
    files = {name: folder / f"mine{ending}" for name, ending in ENDINGS.items()} | {"overlay": folder / "overlay/a"}
    files["suite"].write_text("def test_nothing() -> None: ...\n")
    files["board"].write_text(find_board_file("qemu-g610").read_text())
    files["fragment"].write_text("CONFIG_DRM=y\n")
    files["known"].write_text("")
    files["overlay"].write_text("")
    text = lab.file.read_text().replace("heap-exit-claim", "./mine.py")
    text += "boards: [mine.yaml]\nkernels:\n  - {name: plain, config: [mine.config]}\nknown: [mine.txt]\n"
    lab.file.write_text(f"{text}overlay: ./overlay\n")
    assert (lab.run(), lab.run(), len(lab.judged)) == (0, 0, 1)
    with files[what].open("a") as file:
        file.write("\n# changed\n")
    assert (lab.run(), lab.run(), len(lab.judged)) == (0, 0, 2)
    assert not last(lab)["compared"], "the same kernel is nothing to compare it with"
    repository.commit("The second")
    lab.run()
    assert last(lab)["compared"]


def test_what_else_has_changed_since_the_good_night_is_told(lab: Lab, repository: Repository) -> None:
    lab.run()
    repository.commit("The second")
    lab.run()
    assert [earlier.otherwise for earlier in lab.earlier] == [False, False]
    lab.file.write_text(lab.file.read_text() + "iterations: 3\n")
    repository.commit("The third")
    lab.run()
    assert lab.earlier[-1].otherwise


def test_a_regression_is_bisected_from_the_last_good_commit_and_named(
    lab: Lab, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    good = repository.git("rev-parse", "HEAD")
    lab.run()
    planted = repository.commit("Break it")
    bad = repository.commit("Another")
    lab.says["Another"] = BAD
    lab.found = named(planted)
    assert lab.run() == 1
    assert lab.searched == [(NEW.name, good, bad)]
    said = last(lab)
    assert said["outcome"] == "regressed"
    assert said["good"] == {"id": good, "subject": "The first"}
    text = capsys.readouterr().out
    assert planted[:12] in text
    assert "REGRESSED" in text
    assert lab.run() == 1, "an unchanged branch is as bad as it was"
    assert len(lab.searched) == 1
    culprit = last(lab)["culprit"]
    assert culprit["commits"][0]["id"] == planted


def test_what_an_earlier_night_found_is_not_searched_for_again_while_it_stands(
    lab: Lab, repository: Repository
) -> None:
    lab.run()
    planted = repository.commit("Break it")
    lab.says["Break it"] = lab.says["More"] = BAD
    lab.found = named(planted)
    lab.run()
    repository.commit("More")
    assert lab.run() == 1
    assert len(lab.searched) == 1
    culprit = last(lab)["culprit"]
    assert culprit["commits"][0]["id"] == planted
    assert culprit["night"] != last(lab)["night"]


def test_what_an_earlier_night_found_is_not_believed_of_a_branch_without_that_commit(
    lab: Lab, repository: Repository
) -> None:
    base = repository.git("rev-parse", "HEAD")
    lab.run()
    lab.found = named(repository.commit("Break it"))
    lab.says["Break it"] = lab.says["Instead"] = BAD
    lab.run()
    repository.git("reset", "-q", "--hard", base)
    repository.commit("Instead")
    lab.run()
    assert len(lab.searched) == 2


def test_what_came_with_the_same_commit_needs_no_search_of_its_own(lab: Lab, repository: Repository) -> None:
    other = NewTrouble("test", "reset::test_reset", "", (0, 2), (2, 2))
    lab.run()
    planted = repository.commit("Break it")
    lab.says["Break it"] = (NightOutcome.REGRESSED, (NEW, other))
    lab.found = named(planted, explains=("test:reset::test_reset",))
    lab.run()
    assert [signature for signature, *_ in lab.searched] == [NEW.name]


def test_what_is_too_seldom_is_blamed_when_a_bisect_verifies_it(lab: Lab, repository: Repository) -> None:
    lab.run()
    planted = repository.commit("Break it")
    lab.says["Break it"] = (NightOutcome.INCONCLUSIVE, (NEW,))
    lab.found = named(planted)
    assert lab.run() == 1
    assert last(lab)["outcome"] == "regressed"


def test_a_first_night_has_nothing_to_bisect_from(lab: Lab, repository: Repository) -> None:
    lab.says["The first"] = (NightOutcome.FAILING, ())
    assert lab.run() == 1
    assert lab.searched == []


def test_a_branch_that_was_pushed_over_is_bisected_from_where_it_parted(lab: Lab, repository: Repository) -> None:
    base = repository.git("rev-parse", "HEAD")
    repository.commit("Dropped")
    lab.run()
    repository.git("reset", "-q", "--hard", base)
    bad = repository.commit("Instead")
    lab.says["Instead"] = BAD
    lab.run()
    assert lab.searched == [(NEW.name, base, bad)]


def test_a_branch_that_went_back_has_nothing_to_search(lab: Lab, repository: Repository) -> None:
    base = repository.git("rev-parse", "HEAD")
    repository.commit("Dropped")
    lab.run()
    repository.git("reset", "-q", "--hard", base)
    lab.says["The first"] = BAD
    assert lab.run() == 1
    assert lab.searched == []
    (culprit,) = last(lab)["culprits"]
    assert "leads to no commit" in culprit["reason"]


def test_a_killed_night_goes_on_with_the_commits_it_began_with(lab: Lab, repository: Repository) -> None:
    text = lab.file.read_text().replace("[master]", "[master, other]")
    lab.file.write_text(text)
    repository.commit("On other", "other")
    lab.dies_at = "On other"
    with pytest.raises(KilledError):
        lab.run()
    assert "this night has not ended" in str(last(lab)["night"])
    lab.dies_at = ""
    repository.commit("Too late", "other")
    lab.run()
    assert lab.judged == ["master: The first", "other: On other"]
    nights = list((lab.file.parent / "nightly.state/nights").iterdir())
    assert len(nights) == 1


def test_a_night_that_was_killed_in_a_bisect_goes_on_with_that(lab: Lab, repository: Repository) -> None:
    lab.run()
    planted = repository.commit("Break it")
    lab.says["Break it"] = BAD
    lab.dies_at = NEW.name
    with pytest.raises(KilledError):
        lab.run()
    lab.dies_at = ""
    lab.found = named(planted)
    assert lab.run() == 1
    assert len(lab.judged) == 2, "the kernel was not tested again"
    (culprit,) = last(lab)["culprits"]
    assert culprit["directory"].endswith("bisect-1")


def test_a_killed_night_does_not_go_on_when_its_file_is_another_one(lab: Lab, repository: Repository) -> None:
    lab.dies_at = "The first"
    with pytest.raises(KilledError):
        lab.run()
    lab.dies_at = ""
    lab.file.write_text(lab.file.read_text() + "iterations: 3\n")
    assert lab.run() == 0
    first, second = sorted((lab.file.parent / "nightly.state/nights").iterdir())
    assert "another one since" in (first / "night.json").read_text()
    assert json.loads((first / "night.json").read_text())["outcome"] == "error"
    assert json.loads((second / "night.json").read_text())["outcome"] == "good"


def test_when_the_time_is_up_nothing_is_left_out_and_nothing_passes(
    lab: Lab, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.file.write_text(lab.file.read_text() + "budget: 1h\n")
    lab.run()
    repository.commit("Break it")
    lab.says["Break it"] = BAD

    def later() -> None:
        monkeypatch.setattr("panthorlab.nightly.night.OneNight._left", lambda _: -1.0)

    lab.takes = later
    assert lab.run() == 1
    assert lab.searched == []
    (culprit,) = last(lab)["culprits"]
    assert (culprit["reason"], culprit["ended"]) == (OUT_OF_TIME, False)
    monkeypatch.undo()


def test_the_next_night_goes_on_with_a_search_that_had_no_time(lab: Lab, repository: Repository) -> None:
    lab.run()
    repository.commit("Break it")
    lab.says["Break it"] = BAD
    lab.found = lambda signature: Culprit(signature, (), False, OUT_OF_TIME, ended=False)
    lab.run()
    (first,) = last(lab)["culprits"]
    lab.found = named(repository.git("rev-parse", "HEAD"))
    assert lab.run() == 1
    assert last(lab)["outcome"] == "unchanged"
    (second,) = last(lab)["culprits"]
    assert second["directory"] == first["directory"]
    assert second["verified"]


def test_a_deadline_that_passed_closes_the_night(
    lab: Lab, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.file.write_text(lab.file.read_text() + "budget: 1h\n")
    lab.dies_at = "The first"
    with pytest.raises(KilledError):
        lab.run()
    lab.dies_at = ""
    with clock(monkeypatch, 7200):
        assert lab.run() == 0
    nights = sorted((lab.file.parent / "nightly.state/nights").iterdir())
    assert len(nights) == 2
    assert "its time was up" in (nights[0] / "night.json").read_text()


def test_two_nightlies_at_once_are_refused_with_a_sentence(lab: Lab) -> None:
    lab.run()
    with (lab.file.parent / "nightly.state" / NightLog.FILE).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another nightly is at work on this state") as refused:
            lab.run()
    assert "timer" in str(refused.value.hint)


def test_a_tree_that_cannot_be_reached_is_an_error_and_the_others_are_tested(
    lab: Lab, repository: Repository, tmp_path: Path
) -> None:
    more = f"  - name: gone\n    url: {tmp_path / 'gone'}\n    branches: [master]\n"
    lab.file.write_text(lab.file.read_text().replace("suites:", f"{more}suites:"))
    assert lab.run() == 4
    assert lab.judged == ["master: The first"]
    (bad,) = [one for one in last(lab)["night"]["kernels"] if one["tree"] == "gone"]
    assert bad["outcome"] == "error"
    assert "gone" in bad["reasons"][0]


def test_a_branch_that_is_not_there_is_an_error(lab: Lab) -> None:
    lab.file.write_text(lab.file.read_text().replace("[master]", "[master, gone]"))
    assert lab.run() == 4
    assert lab.judged == ["master: The first"]


def test_a_branch_may_take_the_name_of_a_directory_of_branches(lab: Lab, repository: Repository) -> None:
    lab.file.write_text(lab.file.read_text().replace("[master]", "[queue]"))
    repository.git("branch", "queue")
    assert lab.run() == 0
    repository.git("branch", "-D", "queue")
    repository.git("branch", "queue/6.12")
    lab.file.write_text(lab.file.read_text().replace("[queue]", "[queue/6.12]"))
    assert lab.run() == 0
    assert lab.judged == ["queue: The first", "queue/6.12: The first"]


def test_a_bisect_that_cannot_go_on_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("damaged\n")
    nothing: Any = None
    said = culprit.search(
        nothing, nothing, tree=tmp_path, near="", ends=("a", "b"), signature="oops", night="1", directory=tmp_path,
        overlay=None, no_jail=False, quiet=True,
    )  # fmt: skip
    assert not said.ended
    assert "(hint: start the run again" in said.reason


def test_the_record_of_years_is_read_in_no_time(tmp_path: Path) -> None:
    """It is read before each step."""
    with NightLog(tmp_path) as log:
        log.append(NightStart(night="1", title="t", kernels=(), asked="x"))
        log.append(NightTelling(night="1"))
    file = tmp_path / NightLog.FILE
    first, other = (
        json.dumps({key: value for key, value in json.loads(line).items() if key != "c"})
        for line in file.read_text().splitlines()
    )
    file.write_text("\n".join([first, *[other] * 20_000, ""]))
    began = time.process_time()
    assert len(read_nights(tmp_path)) == 20_001
    assert time.process_time() - began < 3


def test_a_full_disk_says_how_the_night_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with NightLog(tmp_path) as log, monkeypatch.context() as patch:
        patch.setattr("os.write", lambda *_: 0)
        with pytest.raises(LabError, match="the disk is full") as full:
            log.append(NightTelling(night="1"))
    assert full.value.hint == "free some space, then the same command goes on"
    assert (tmp_path / NightLog.FILE).read_bytes() == b""


def test_an_event_of_no_night_is_damage(tmp_path: Path) -> None:
    with NightLog(tmp_path) as log:
        log.append(NightTelling(night="1"))
    with pytest.raises(DamagedLogError, match=r"nights\.jsonl:1: .*no night that has begun"):
        read_nights(tmp_path)


def test_a_dry_run_touches_nothing(lab: Lab, repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.run("--dry-run") == 0
    assert not (lab.file.parent / "nightly.state").exists()
    assert "test  linux/master/plain" in capsys.readouterr().out
    lab.run()
    capsys.readouterr()
    before = sorted(path.stat().st_mtime_ns for path in (lab.file.parent / "nightly.state").rglob("*"))
    assert lab.run("--dry-run", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["kernels"]
    assert row["does"] == "skip"
    repository.commit("The second")
    lab.run("--dry-run", "--json")
    (row,) = json.loads(capsys.readouterr().out)["kernels"]
    assert (row["does"], "compared with" in row["why"]) == ("test", True)
    assert before == sorted(path.stat().st_mtime_ns for path in (lab.file.parent / "nightly.state").rglob("*"))


def test_what_is_wrong_is_said_before_anything_is_done(lab: Lab) -> None:
    lab.file.write_text(lab.file.read_text().replace("heap-exit-claim", "heap-exit-clam"))
    with pytest.raises(UsageError, match="no suite"):
        lab.run()
    assert not (lab.file.parent / "nightly.state").exists()


def test_the_last_night_is_shown_again_from_its_record(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="no night is on record"):
        lab.run("--report")
    lab.run()
    first = capsys.readouterr().out
    state = lab.file.parent / "nightly.state"
    before = {path: path.stat().st_mtime_ns for path in state.rglob("*")}
    assert lab.run("--report") == 0
    assert capsys.readouterr().out == first
    assert {path: path.stat().st_mtime_ns for path in state.rglob("*")} == before, "whoever may only read it can, too"


@pytest.mark.parametrize("other", ["--dry-run", "--force"])
def test_a_report_does_nothing_and_says_so(lab: Lab, other: str) -> None:
    with pytest.raises(UsageError, match="does nothing"):
        lab.run("--report", other)

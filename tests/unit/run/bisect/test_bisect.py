# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole bisect on small git histories, with boots by chance instead of boards."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from panthorlab import cli
from panthorlab.errors import LabError
from panthorlab.kernel.source.commits import History
from panthorlab.run.bisect.gitlog import LOG, parse
from panthorlab.run.bisect.search import REVERTED
from panthorlab.run.record import BisectBoot, BisectSkip
from panthorlab.run.record.log import read_events
from tests.unit.run.bisect.small_history import FAULT, OTHER, FakeHands, Killed, Repo, bisect, history_of

CULPRIT = 41


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """64 commits; of three, one changes code, one a comment, one a document."""
    made = Repo.new(tmp_path_factory.mktemp("repo") / "linux")
    made.write("good", drivers__gpu_c="int a;\n", Documentation__x_rst="x\n")
    for number in range(1, 65):
        if number == CULPRIT or number % 3 == 0:
            made.write(str(number), **{f"drivers__f{number}_c": f"int f{number};\n"})
        elif number % 3 == 1:
            made.write(str(number), drivers__gpu_c=f"int a; /* {number} */\n")
        else:
            made.write(str(number), Documentation__x_rst=f"{number}\n")
    return made


@pytest.fixture
def history(repo: Repo) -> History:
    return history_of(repo, repo.ids["good"], "master")


def bad_from(history: History, culprit: str) -> frozenset[str]:
    names = [commit.id for commit in history.commits]
    return frozenset(names[names.index(culprit) :])


def hands_of(repo: Repo, history: History, **options: object) -> FakeHands:
    bad = bad_from(history, repo.ids[str(CULPRIT)])
    return FakeHands(history, bad.__contains__, **options)  # type: ignore[arg-type]


def test_a_solid_fault_is_found_and_verified(repo: Repo, history: History, tmp_path: Path) -> None:
    hands = hands_of(repo, history)
    end = bisect(tmp_path / "run", hands)
    assert (end.exit, end.culprits) == (0, (repo.ids["41"],)), end
    assert [check.partition(":")[0] for check in end.checks] == [
        "the culprit itself",
        "its parent",
        "the tip without it",
    ]
    assert all("not" not in check for check in end.checks)
    assert FAULT in end.reason
    assert len(hands.builds) <= 2 + 6 + 2, "22 of 64 commits can change the build; their boots halve them"
    assert set(hands.expected) & set(hands.builds), "what came next was expected"


@pytest.mark.parametrize("seed", range(3))
def test_a_flaky_fault_is_found(repo: Repo, history: History, tmp_path: Path, seed: int) -> None:
    end = bisect(tmp_path / "run", hands_of(repo, history, p=0.3, seed=seed))
    assert (end.exit, end.culprits) == (0, (repo.ids["41"],)), end


@pytest.mark.parametrize("seed", range(6))
def test_seeds_that_have_shown_the_fault_are_booted_first(
    repo: Repo, history: History, tmp_path: Path, seed: int
) -> None:
    hands = hands_of(repo, history, p=0.3, seed=seed, exact=True)
    end = bisect(tmp_path / "run", hands)
    assert (end.exit, end.culprits) == (0, (repo.ids["41"],)), end
    assert len(hands.boots) == len(set(hands.boots)), "each boot once"
    by_target: dict[str, list[int]] = {}
    for target, number in hands.boots:
        by_target.setdefault(target, []).append(number)
    tip = by_target.pop(history.bad)
    shown = [number for number in tip if random.Random(f"{seed}{number}").random() < 0.3]  # noqa: S311
    assert shown
    assert all(numbers[0] in shown for numbers in by_target.values())
    assert by_target[repo.ids["41"]], "the culprit"
    assert all(number in shown for number in by_target[repo.ids["41"]][: len(shown)])


def boots_of(repo: Repo, history: History, run_dir: Path, **options: object) -> int:
    """How many boots the right answer takes."""
    hands = hands_of(repo, history, **options)
    end = bisect(run_dir, hands)
    assert (end.exit, end.culprits) == (0, (repo.ids["41"],)), end
    return len(hands.boots)


def test_where_a_seed_is_a_run_those_that_have_shown_the_fault_tell_more(
    repo: Repo, history: History, tmp_path: Path
) -> None:
    exact, host = (
        sum(boots_of(repo, history, tmp_path / f"{exact}-{seed}", p=0.2, seed=seed, exact=exact) for seed in range(5))
        for exact in (True, False)
    )
    assert exact < 0.7 * host


@pytest.mark.parametrize("first", [44, 52, 60])
@pytest.mark.parametrize("seed", range(4))
def test_a_commit_that_changes_the_course_of_all_boots_is_not_taken_for_the_culprit(
    repo: Repo, history: History, tmp_path: Path, seed: int, first: int
) -> None:
    """Before commit number `first`, each seed is another run: those that show the fault at the bad end do not there."""
    names = [commit.id for commit in history.commits]
    elsewhere = frozenset(names[: names.index(repo.ids[str(first)])])
    boots_of(repo, history, tmp_path / "run", p=0.3, seed=seed, exact=True, elsewhere=elsewhere)


@pytest.mark.parametrize("seed", range(4))
def test_seeds_that_show_it_without_the_culprit_lead_to_no_other(
    repo: Repo, history: History, tmp_path: Path, seed: int
) -> None:
    """They do so on each commit, so the tip without the culprit may show it, too, which is told."""
    end = bisect(tmp_path / "run", hands_of(repo, history, p=0.4, q=0.04, seed=seed, exact=True))
    assert end.culprits == (repo.ids["41"],), end
    assert end.exit == 0 or "without this commit, too" in end.reason


def test_killed_at_any_boot_it_goes_on_and_repeats_none(repo: Repo, history: History, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    whole = hands_of(repo, history, p=0.5)
    wanted = bisect(tmp_path / "whole", whole)
    boots: list[tuple[str, int]] = []
    for _ in range(200):
        hands = hands_of(repo, history, p=0.5, die_after=5)
        try:
            end = bisect(run_dir, hands)
        except Killed:
            boots += hands.boots
            continue
        boots += hands.boots
        break
    assert end.culprits == wanted.culprits
    assert len(boots) == len(set(boots)), "each boot once"
    assert boots[:8] == whole.boots[:8], "and the same ones"


@pytest.mark.parametrize("other", [["--dry-run"], ["--good", "HEAD"], ["--suite", "leaks"], ["--output", "x"]])
def test_what_goes_on_heeds_its_record_alone(
    repo: Repo, history: History, tmp_path: Path, capsys: pytest.CaptureFixture[str], other: list[str]
) -> None:
    bisect(tmp_path / "run", hands_of(repo, history))
    assert cli.main(["bisect", "--resume", str(tmp_path / "run"), *other]) == 2
    assert f"{other[0]} would not be heeded" in capsys.readouterr().err


def test_a_log_without_an_end_is_refused(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bisect", "--base", str(repo.path), "--replay", "/dev/zero"]) == 2
    assert "too large" in capsys.readouterr().err


def test_another_fault_is_a_skip(repo: Repo, history: History, tmp_path: Path) -> None:
    other = frozenset({repo.ids["30"], repo.ids["33"], repo.ids["36"]})
    end = bisect(tmp_path / "run", hands_of(repo, history, other=other))
    assert (end.exit, end.culprits) == (0, (repo.ids["41"],))
    skips = {event.commit: event.why for event in read_events(tmp_path / "run") if isinstance(event, BisectSkip)}
    assert skips
    assert set(skips) <= other
    assert all(OTHER in why for why in skips.values())


def test_what_does_not_build_around_the_culprit_is_a_set(repo: Repo, history: History, tmp_path: Path) -> None:
    broken = frozenset({repo.ids["39"], repo.ids["41"]})
    end = bisect(tmp_path / "run", hands_of(repo, history, broken=broken))
    assert end.exit == 3
    assert end.culprits == (repo.ids["39"], repo.ids["41"], repo.ids["42"])
    assert "it does not build" in end.reason


def test_the_lab_is_never_counted_bad(repo: Repo, history: History, tmp_path: Path) -> None:
    lab = {commit.id: 1 for commit in history.commits} | {repo.ids["33"]: 9}
    end = bisect(tmp_path / "run", hands_of(repo, history, lab=lab))
    assert (end.exit, end.culprits) == (0, (repo.ids["41"],))
    with pytest.raises(LabError, match="bad end cannot be judged"):
        bisect(tmp_path / "two", hands_of(repo, history, lab={history.bad: 9}))


def test_ends_that_are_wrong_are_told_at_once(repo: Repo, history: History, tmp_path: Path) -> None:
    everywhere = FakeHands(history, lambda _: True)
    end = bisect(tmp_path / "one", everywhere)
    assert end.exit == 2
    assert "good end" in end.reason
    assert len(everywhere.boots) == 2, "said at once"
    end = bisect(tmp_path / "two", FakeHands(history, lambda _: False), limit=4)
    assert end.exit == 3
    assert "does not show any fault in 4 boots" in end.reason
    with pytest.raises(LabError, match="good end cannot be built"):
        bisect(tmp_path / "three", hands_of(repo, history, broken=frozenset({repo.ids["good"]})))


def test_of_two_faults_the_one_that_is_asked_for(repo: Repo, history: History, tmp_path: Path) -> None:
    """A second fault came later: it does not hide the first. With the first alone, nobody can tell about the second."""
    later = bad_from(history, repo.ids["57"])
    end = bisect(tmp_path / "run", hands_of(repo, history, other=later), signature=FAULT)
    assert end.culprits == (repo.ids["41"],)
    end = bisect(tmp_path / "other", hands_of(repo, history, other=later), signature="oops")
    assert end.exit == 3
    assert end.culprits == tuple(repo.ids[str(number)] for number in (41, 42, 45, 48, 51, 54, 57))


def test_a_fault_that_stays_without_the_culprit_is_not_called_found(
    repo: Repo, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = hands_of(repo, history)
    plain = hands.boot

    def boot(target: str, numbers: object) -> object:
        for one in plain(target, numbers):  # type: ignore[arg-type]
            yield (
                BisectBoot(commit=target, number=one.number, symptoms=(FAULT,), blamed=(FAULT,))
                if target == REVERTED
                else one
            )

    monkeypatch.setattr(hands, "boot", boot)
    end = bisect(tmp_path / "run", hands)
    assert end.exit == 3
    assert "without this commit, too" in end.reason


def test_a_culprit_that_cannot_be_taken_out_is_still_named(repo: Repo, history: History, tmp_path: Path) -> None:
    end = bisect(tmp_path / "run", hands_of(repo, history, revertible=False))
    assert end.exit == 0
    assert any("cannot be taken out" in check for check in end.checks)


def test_git_replays_the_log(repo: Repo, history: History, tmp_path: Path) -> None:
    bisect(tmp_path / "run", hands_of(repo, history))
    log = tmp_path / "run" / LOG
    repo.git("bisect", "replay", str(log))
    try:
        assert repo.git("rev-parse", "refs/bisect/bad") == repo.ids["41"]
        read = parse(repo.git("bisect", "log"))
        assert read.bad == repo.ids["41"]
        assert repo.ids["good"] in read.good
    finally:
        repo.git("bisect", "reset")

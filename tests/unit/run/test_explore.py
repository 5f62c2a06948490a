# SPDX-License-Identifier: GPL-2.0-or-later
"""What `panthorlab explore` plans, counts and makes short, without a boot."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.cli import main as cli
from panthorlab.errors import LabError, UsageError
from panthorlab.gpu.kinds import KINDS
from panthorlab.gpu.latency import Latencies, Override
from panthorlab.gpu.pci import mark_of
from panthorlab.outcome import Outcome
from panthorlab.run.explore.aim import INSTRUCTION_NS, gap_aims
from panthorlab.run.explore.finding import DEFAULT_NS, drawn_as, explain, until_fault, without_first
from panthorlab.run.explore.growth import Growth
from panthorlab.run.explore.orders import Drawn, Interleaving, OrdersFile, Placed, Swap, first_swap, numbered, parse
from panthorlab.run.explore.plan import PER_BOOT, Schedule
from panthorlab.run.explore.strategies import AIMED, CHOICES
from panthorlab.run.explore.tally import Explored, Suspect
from panthorlab.run.explore.trials import Trials, Tried
from panthorlab.run.job import Job
from panthorlab.run.kernels import parse_params
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import Iteration
from panthorlab.run.record.codec import encode

from .recorded import typed

TEXTS = st.lists(st.sampled_from(["W A", "R B", "I job", "D x"]), max_size=14)


def interleaving(texts: Iterable[str] = (), latencies: Iterable[Drawn] = (), step: int = 100) -> Interleaving:
    events = tuple((text, step * turn) for turn, text in enumerate(texts, 1))
    return Interleaving(1, 5, 0, step * (len(events) + 1), "d", events, tuple(latencies))


# -- what was seen, and what is to be expected ---------------------------------------------------------------------


@given(st.lists(st.integers(0, 20), max_size=80))
def test_the_estimate_is_a_probability_and_counts_are_counts(orders: list[int]) -> None:
    growth = Growth()
    new = [growth.add([order]) for order in orders]
    assert growth.distinct == len(set(orders)) == sum(new)
    assert growth.curve == sorted(growth.curve)
    assert 0 <= growth.unseen <= 1
    assert growth.unseen == (sum(orders.count(one) == 1 for one in orders) / len(orders) if orders else 1)
    assert growth.points() == [] or growth.points()[-1] == (len(orders), growth.distinct)


@given(st.integers(0, 2**32), st.integers(5, 60), st.floats(0.0, 2.0))
def test_the_estimate_is_near_to_what_is_really_unseen(seed: int, kinds: int, skew: float) -> None:
    """On average over many explorations of the same distribution, whatever it is."""
    dice = random.Random(seed)  # noqa: S311
    weights = [1 / (turn + 1) ** skew for turn in range(kinds)]
    total, errors = sum(weights), []
    for _ in range(60):
        growth, seen = Growth(), set()
        for order in dice.choices(range(kinds), weights, k=80):
            growth.add([order])
            seen.add(order)
        errors.append(growth.unseen - sum(weight for turn, weight in enumerate(weights) if turn not in seen) / total)
    bias = 1 / 80  # of the estimate, at most; the rest is chance: five standard errors
    assert abs(fmean(errors)) < bias + 5 * stdev(errors) / len(errors) ** 0.5


def test_it_saturates_when_nothing_new_has_come_for_long_and_not_before() -> None:
    growth = Growth()
    for _ in range(39):
        growth.add(["the same"])
    assert not growth.saturated
    growth.add(["the same"])
    assert growth.saturated
    for turn in range(10):
        growth.add([turn])
    assert not growth.saturated


# -- orders -------------------------------------------------------------------------------------------------------


@given(TEXTS, TEXTS)
def test_a_swap_is_one(faulty: list[str], good: list[str]) -> None:
    swap = first_swap(faulty, good)
    left, right = numbered(faulty), numbered(good)
    both = set(left) & set(right)
    if swap is None:
        assert [event for event in left if event in both] == [event for event in right if event in both]
        return
    assert left.index(swap.first) < left.index(swap.second)
    assert right.index(swap.first) > right.index(swap.second)


@given(TEXTS, st.integers(0, 12))
def test_two_neighbours_that_are_exchanged_are_found(order: list[str], place: int) -> None:
    if place + 1 >= len(order) or order[place] == order[place + 1]:
        return
    other = [*order[:place], order[place + 1], order[place], *order[place + 2 :]]
    swap = first_swap(order, other)
    assert swap is not None
    placed = numbered(order)
    assert (swap.first, swap.second, swap.neighbours) == (placed[place], placed[place + 1], True)


def test_an_event_more_is_no_swap() -> None:
    assert first_swap(["W A", "R B"], ["W A", "I job", "R B"]) is None
    swap = first_swap(["D x", "W A", "I job"], ["I job", "D y", "W A"])
    assert swap is not None
    assert (swap.first, swap.second) == (Placed("W A", 1), Placed("I job", 1))


def test_a_context_is_two_accesses_before_and_one_after() -> None:
    one = interleaving(["I gpu", "W A", "R B", "R C", "I job", "D x", "W D", "I job"])
    assert one.contexts == {
        ("I gpu", "W A"),
        ("R B", "R C", "I job", "W D"),
        ("R B", "R C", "D x", "W D"),
        ("R C", "W D", "I job"),
    }


def test_the_file_is_read_as_it_grows_and_never_half_a_line(tmp_path: Path) -> None:
    line = {"window": 1, "mark": mark_of("a"), "begin": 1, "end": 9, "digest": "d", "events": [["W A", 2]],
            "latencies": [["irq job", 1, 20000, 3]]}  # fmt: skip
    text = json.dumps(line) + "\n"
    file, log = OrdersFile(tmp_path), tmp_path / "gpu-orders.jsonl"
    assert list(file.take()) == []
    log.write_text(text + text[:20])
    (first,) = file.of("a")
    assert first == parse(text)
    assert first.latencies == (Drawn("irq job", 1, 20000, 3),)
    log.write_text(text * 2)
    assert list(file.of("b")) == []
    assert list(file.take()) == []


@pytest.mark.parametrize("line", ["", "[]", '{"window": 1}', '{"window": "x"}'])
def test_a_line_that_is_none_is_an_error(line: str) -> None:
    with pytest.raises(LabError, match="no iteration"):
        parse(line)


# -- the plan -----------------------------------------------------------------------------------------------------


def dry_runs(*names: str) -> dict[str, Interleaving]:
    latencies = [Drawn("irq job", 1, DEFAULT_NS, 0), Drawn("slice x", 1, DEFAULT_NS, 150)]
    return {name: interleaving(["W A", "R B"] * 40, latencies, step=500) for name in names}


def test_boots_take_turns_and_no_seed_comes_twice() -> None:
    schedule = Schedule(dry_runs("a", "b"), ["uniform", "pct"], 7, 3)
    boots = [schedule.portion(index) for index in range(3, 11)]
    assert [(one.workload, one.strategy, one.seed) for one in boots] == [
        (workload, strategy, 7 + PER_BOOT * again)
        for again in (0, 1)
        for strategy in ("uniform", "pct")
        for workload in ("a", "b")
    ]
    assert boots[0].params["exact.length"] == "2"
    assert not schedule.ended(3)


def test_aims_are_dealt_out_once_and_end() -> None:
    all_of = gap_aims(dry_runs("a")["a"], seed=1)
    schedule = Schedule(dry_runs("a"), [AIMED], 1, 1, aims={"a": all_of})
    overrides: list[str] = []
    index = 1
    while not schedule.ended(index):
        portion = schedule.portion(index)
        own = portion.params["exact.override"].split(",")
        assert [int(one.partition("/")[0]) for one in own] == list(range(1, portion.count + 1))
        overrides += [one.partition("/")[2] for one in own]
        index += 1
    assert len(overrides) == len(set(overrides)) == len(all_of) > PER_BOOT
    whole = schedule.portion(1).params["exact.override"].split(",")
    rest = schedule.portion(1).after(5)
    assert [one.partition("/")[2] for one in rest.params["exact.override"].split(",")] == [
        one.partition("/")[2] for one in whole[5:]
    ]
    assert rest.count == PER_BOOT


# -- making a finding short ---------------------------------------------------------------------------------------


def iteration(outcome: Outcome, identity: str = "k1.1.1-1") -> Iteration:
    bad = outcome is Outcome.FAIL
    (event,) = typed([{"event": "iteration", "boot": "k1.1", "id": identity, "outcome": outcome.value,
                       "signatures": ["sig"] if bad else [], "kinds": ["mmu-fault"] if bad else []}])  # fmt: skip
    return cast(Iteration, event)


@dataclass
class Race:
    """A driver and a GPU without a boot: events of the GPU come when their latencies are over, and the finding comes if
    each of `needed` comes after the driver's access at instruction `before` (`inverted`: if one comes earlier)."""

    needed: tuple[tuple[str, int], ...]
    count: int = 12
    before: int = 9_000
    inverted: bool = False

    def run(self, overrides: Sequence[Override]) -> tuple[bool, Interleaving]:
        ns = {(one.kind, one.number): one.ns for one in overrides}
        drawn = [Drawn("k", turn, ns.get(("k", turn), DEFAULT_NS), 0) for turn in range(1, self.count + 1)]
        over = {("k", one.number): one.ns // INSTRUCTION_NS for one in drawn}
        late = all(over[event] > self.before for event in self.needed)
        events = sorted([(self.before, "W UNMAP"), *((at, f"D k{number}") for (_, number), at in over.items())])
        order = Interleaving(
            1, mark_of("k1.1.1-1"), 0, 10**6, "d", tuple((text, at) for at, text in events), tuple(drawn)
        )
        return late is not self.inverted, order


@dataclass
class FakeTrials:
    race: Race
    later: Race | None = None
    settings: Any = field(default_factory=lambda: SimpleNamespace(jobs=2))
    tried: int = 0
    asked: set[tuple[Override, ...]] = field(default_factory=set)

    def in_place(self, boot: Job, before: int, window: int) -> FakeTrials:
        assert (boot.seed, before, window) == (9, 2, 3)
        return replace(self, race=self.later or self.race)

    def one(self, overrides: tuple[Override, ...] = ()) -> Tried:
        if overrides not in self.asked:
            self.asked.add(overrides)
            self.tried += 1
        bad, order = self.race.run(overrides)
        return Tried(overrides, Path(), iteration(Outcome.FAIL if bad else Outcome.PASS), order)

    def ahead(self, many: Sequence[tuple[Override, ...]]) -> None:
        for overrides in many[:2]:
            self.one(overrides)

    def options(self, overrides: tuple[Override, ...]) -> list[str]:
        return [str(one) for one in overrides]


def suspect_in(tmp_path: Path, race: Race, latencies: Sequence[int]) -> tuple[Suspect, Explored, FakeTrials]:
    """A finding of an iteration with these latencies, as an exploration has it on record."""
    overrides = [Override(1, "k", turn, ns) for turn, ns in enumerate(latencies, 1)]
    bad, order = race.run(overrides)
    boot = tmp_path / "boots" / "k1.1"
    boot.mkdir(parents=True, exist_ok=True)
    line = {"window": 3, "mark": order.mark, "begin": 0, "end": 10**6, "digest": "d",
            "events": [list(event) for event in order.events],
            "latencies": [[one.kind, one.number, one.ns, one.count] for one in order.latencies]}  # fmt: skip
    (boot / "gpu-orders.jsonl").write_text(json.dumps(line) + "\n")
    job = Job(board="b", kernel="k", arm="k", slot="k1", boot="k1.1", index=0, boots=1, run_dir="r", log_dir="l",
              suites=("s",), iterations=8, seed=9)  # fmt: skip
    (boot / "job.json").write_text(json.dumps(encode(job)))
    assert bad
    return Suspect(iteration(Outcome.FAIL), "uniform"), Explored(tmp_path, []), FakeTrials(race)


LATENCIES = st.lists(st.integers(1_000, 200_000), min_size=12, max_size=12)


@given(LATENCIES, st.sets(st.integers(1, 12), min_size=1, max_size=3))
def test_the_fewest_latencies_are_left_and_the_events_that_must_swap(
    tmp_path_factory: pytest.TempPathFactory, latencies: list[int], needed: set[int]
) -> None:
    race = Race(tuple(("k", turn) for turn in sorted(needed)))
    for turn in needed:
        latencies[turn - 1] += 100_000
    suspect, tally, trials = suspect_in(tmp_path_factory.mktemp("run"), race, latencies)
    made = explain(suspect, tally, cast(Trials, trials), ProgressDisplay(quiet=True))
    assert made.reproduces
    assert made.whole
    assert not made.by_default
    assert [one.number for one in made.overrides] == sorted(needed)
    assert [one.ns for one in made.overrides] == [latencies[one.number - 1] for one in made.overrides]
    assert made.options == [str(one) for one in made.overrides]
    narrowed = made.narrowed
    assert narrowed is not None
    assert narrowed.good_ns // INSTRUCTION_NS <= race.before < narrowed.faulty_ns // INSTRUCTION_NS
    assert narrowed.swap is not None
    assert narrowed.swap.first == Placed("W UNMAP", 1)
    assert narrowed.swap.second == Placed("k", narrowed.moved.number)


def test_what_comes_by_default_is_told_with_what_keeps_it_away(tmp_path: Path) -> None:
    race = Race((("k", 4),), before=300_000, inverted=True)  # later than any seed draws
    suspect, tally, trials = suspect_in(tmp_path, race, [30_000] * 12)
    _, good = race.run([Override(1, "k", turn, 3_000_000) for turn in range(1, 13)])
    tally.good["w"] = [good]
    suspect = replace(suspect, iteration=replace(suspect.iteration, workload="w"))
    made = explain(suspect, tally, cast(Trials, trials), ProgressDisplay(quiet=True))
    assert (made.by_default, made.overrides) == (True, ())
    assert made.averting == (Override(1, "k", 4, 3_000_000),)
    assert made.narrowed is not None
    assert made.narrowed.swap is not None
    assert (made.narrowed.swap.first, made.narrowed.swap.second) == (Placed("k", 4), Placed("W UNMAP", 1))


def test_what_seeds_would_draw_is_tried_where_nothing_was_seen_to_keep_it_away(tmp_path: Path) -> None:
    race = Race((("k", 4), ("k", 7)), before=15_000, inverted=True)  # it comes unless both are later than 120 µs
    suspect, tally, trials = suspect_in(tmp_path, race, [30_000] * 12)
    suspect = replace(suspect, iteration=replace(suspect.iteration, workload="w"))
    made = explain(suspect, tally, cast(Trials, trials), ProgressDisplay(quiet=True))
    assert made.by_default
    assert made.averting is not None
    assert [one.number for one in made.averting] == [4, 7]
    assert all(one.ns // INSTRUCTION_NS > race.before for one in made.averting)
    assert made.narrowed is not None
    assert made.narrowed.swap == Swap(Placed("k", made.narrowed.moved.number), Placed("W UNMAP", 1), True)


@given(st.integers(0, 2**32), st.sampled_from(["uniform", "log-uniform", "pct"]), st.lists(st.sampled_from("abc")))
def test_latencies_are_drawn_as_the_gpu_would(seed: int, strategy: str, kinds: list[str]) -> None:
    model = Latencies(strategy, seed, length=len(kinds))
    model.begin()
    numbers: Counter[str] = Counter()
    drawn, wanted = [], []
    for kind in kinds:
        numbers[kind] += 1
        drawn.append(Drawn(kind, numbers[kind], DEFAULT_NS, 0))
        wanted.append(Override(1, kind, numbers[kind], round(model.next(kind) * 1e9)))
    assert list(drawn_as(interleaving((), drawn), strategy, seed)) == wanted


@dataclass
class Faults(Race):
    """Its driver does its access again and again, and each time the GPU may fault soon after that."""

    def run(self, overrides: Sequence[Override]) -> tuple[bool, Interleaving]:
        bad, order = super().run(overrides)
        later = (("I mmu", self.before + 1_000_000), ("I mmu", self.before + 3_000_000))
        events = (*order.events, *((("I mmu", self.before + 400),) if bad else ()), *later)
        return True, replace(order, events=tuple(sorted(events, key=lambda event: event[1])))


def test_of_what_comes_again_and_again_the_first_time_is_kept_away(tmp_path: Path) -> None:
    race = Faults((("k", 4),), inverted=True)
    suspect, tally, trials = suspect_in(tmp_path, race, [30_000] * 12)
    made = explain(suspect, tally, cast(Trials, trials), ProgressDisplay(quiet=True))
    assert made.by_default
    assert made.averting is not None
    assert [one.number for one in made.averting] == [4]
    assert made.narrowed is not None
    assert made.narrowed.swap is not None
    assert (made.narrowed.swap.first, made.narrowed.swap.second) == (Placed("k", 4), Placed("W UNMAP", 1))


def test_what_no_latency_keeps_away_is_told_so(tmp_path: Path) -> None:
    suspect, tally, trials = suspect_in(tmp_path, Faults(()), [30_000] * 12)
    made = explain(suspect, tally, cast(Trials, trials), ProgressDisplay(quiet=True))
    assert (made.by_default, made.averting, made.narrowed) == (True, None, None)
    assert made.tried <= 1 + 6


@given(st.integers(0, 10**7), st.lists(st.integers(0, 10**7), max_size=4), st.integers(0, 10**6))
def test_a_first_fault_that_has_moved_a_little_is_the_same(first: int, faults: list[int], begin: int) -> None:
    base = interleaving(["W A"])
    base = replace(base, events=(("I mmu", first),))
    other = replace(base, begin=begin, events=tuple(("I mmu", begin + at) for at in sorted(faults)))
    gone = not faults or min(faults) > first + 4_000_000 // INSTRUCTION_NS
    assert without_first(base, other) is gone
    assert not without_first(interleaving(["W A"]), other)


def test_what_does_not_come_back_alone_is_told_so(tmp_path: Path) -> None:
    suspect, tally, _ = suspect_in(tmp_path, Race(()), [30_000] * 12)
    trials = FakeTrials(Race((("k", 1),), before=10**9))
    made = explain(suspect, tally, cast(Trials, trials), ProgressDisplay(quiet=True))
    assert not made.reproduces
    assert made.options == ()


def test_what_comes_back_only_after_others_is_made_short_there(tmp_path: Path) -> None:
    race = Race((("k", 5),))
    suspect, tally, trials = suspect_in(tmp_path, race, [90_000] * 12)
    trials.race, trials.later = Race((("k", 1),), before=10**9), race
    made = explain(suspect, tally, cast(Trials, trials), ProgressDisplay(quiet=True))
    assert (made.reproduces, made.before) == (True, 2)
    assert [one.number for one in made.overrides] == [5]


def test_latencies_after_the_fault_cannot_have_brought_it() -> None:
    drawn = [Drawn("k", turn, DEFAULT_NS, 100 * turn) for turn in range(1, 9)]
    order = interleaving(["W A", "R B", "I mmu", "I mmu", "W A"], drawn)
    assert [one.number for one in until_fault(order).latencies] == [1, 2, 3]
    assert until_fault(interleaving(["W A"], drawn)).latencies == tuple(drawn)


# -- the command line ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--suite", "heap-exit-claim", "--param", "gpu.exact.latency=fixed"], "sets itself"),
        (["--suite", "no-such-suite"], "no suite"),
        (["--suite", "probe"], "in iterations"),
        (["--suite", "heap-exit-claim", "--seeds", "3", "--seconds", "4"], "not allowed with"),
        (["--suite", "heap-exit-claim", "--strategy", "none"], "invalid choice"),
        (["--suite", "heap-exit-claim", "--board", "rock-5b"], ""),
        ([], "--suite"),
    ],
)
def test_what_is_refused(
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli(["explore", "--kernel", "none", *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_help_is_enough_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli(["explore", "--help"])
    shown = " ".join(capsys.readouterr().out.replace("-\n", "-").split())
    for word in (*CHOICES, "exit status", "--output", "goes on", "panthorlab explore --kernel K --suite"):
        assert word in shown


def test_of_few_seeds_nobody_says_that_it_is_growing() -> None:
    growth = Growth()
    for _ in range(39):
        growth.add(["one order"])
    assert growth.state == "not judged, for that wants 40 seeds"
    growth.add(["one order"])
    assert growth.state == "saturated"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exact.override", "nonsense"),
        ("exact.override", "1/irq job/3=5,1/irq job/3=7"),
        ("exact.override", "9" * 5000 + "/irq job/3=5"),
        ("exact.target", f"1/irq job/{'9' * 5000}=ffff:1"),
        ("exact.kinds", ",,"),
        ("exact.kinds", "slices"),
        ("exact.override", "1/irq jobs/3=5"),
        ("exact.override", "1/irq job@x/3=5"),
        ("exact.target", "1/slice/3=ff:1"),
    ],
)
def test_a_parameter_that_is_refused_is_named(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=rf"^--param gpu\.{re.escape(name)}: ") as refused:
        parse_params([f"gpu.{name}={value}"])
    assert "digits" not in str(refused.value)


def test_events_of_every_kind_can_be_named() -> None:
    for kind in KINDS:
        parse_params([f"gpu.exact.override=1/{kind}/3=5,1/{kind}@1/3=5", f"gpu.exact.kinds={kind}"])
    with pytest.raises(UsageError, match=r"did you mean 'irq job'\?"):
        parse_params(["gpu.exact.override=1/irq jobs/3=5"])


def test_points_are_for_aims_alone(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["explore", "--kernel", "0" * 16, "--suite", "heap-exit-claim", "--strategy", "pct", "--between", "x", "y"]
    assert cli(argv) == 2
    assert "--between is for the strategy aimed" in capsys.readouterr().err

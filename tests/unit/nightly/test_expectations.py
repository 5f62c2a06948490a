# SPDX-License-Identifier: GPL-2.0-or-later
"""Known findings: how often they came, which stayed away, and the lists as drm-ci wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from panthorlab.nightly.expectations import lists, measured, stayed_away
from panthorlab.nightly.model import Expectation
from panthorlab.run.known import read_known
from panthorlab.run.record import Event, KnownEntry, RunStart
from tests.made_runs import ALONE, events_of_run

SEEN = replace(ALONE, rates={"heap-exit/exit": {"kernel": (3, 10)}, "reset/slow": {"kernel": (0, 10)}}, tests={})
ENTRY = "heap-exit/.*@mmu-fault"
ABOUT = "Bug Report: https://gitlab.example.org/1; Linux Version: 6.12; Failure Rate: 40"


def run(entries: Sequence[KnownEntry], faulty: int = 3) -> list[Event]:
    rates = {**SEEN.rates, "heap-exit/exit": {"kernel": (faulty, 10)}}
    events = events_of_run(replace(SEEN, rates=rates))
    start = events[0]
    assert isinstance(start, RunStart)
    return [replace(start, options=replace(start.options, known=tuple(entries))), *events[1:]]


def entry(pattern: str = ENTRY, file: str = "panthor-flakes.txt", about: str = "") -> KnownEntry:
    return KnownEntry(pattern, f"{file}:3", about)


def test_a_rate_is_that_of_the_entrys_own_workloads_over_the_nights() -> None:
    entries = [entry(), entry("(boot|reset/.*)@warning.*"), entry("nothing/.*@mmu-fault")]
    first = measured(run(entries), [])
    assert [(one.pattern, one.seen, one.judged, one.nights) for one in first] == [
        (ENTRY, 6, 20, 1),
        ("(boot|reset/.*)@warning.*", 0, 22, 1),  # 20 iterations, 2 boots
    ]
    second = measured(run(entries, faulty=0), [first])
    assert (second[0].seen, second[0].judged, second[0].nights, second[0].tonight) == (6, 40, 2, (0, 20))
    low, high = second[0].interval
    assert low < 6 / 40 < high


@pytest.mark.parametrize(
    ("known", "earlier", "told"),
    [
        pytest.param(entry(file="panthor-fails.txt"), [], True, id="a failure that passes"),
        pytest.param(entry(), [], False, id="a flake of which nobody knows the rate"),
        pytest.param(entry(about="Failure Rate: 40"), [], True, id="by its header"),
        pytest.param(entry(about="Failure Rate: 1"), [], False, id="too rare to be missed"),
        pytest.param(entry(about="Failure Rate: 90"), [(1, 200)], False, id="by what was measured, which comes first"),
        pytest.param(entry(), [(100, 200)], True, id="by what was measured"),
        pytest.param(entry(file="panthor-fails.txt"), [(1, 200)], False, id="a failure that was none"),
    ],
)
def test_what_stays_away_unexpectedly(known: KnownEntry, earlier: list[tuple[int, int]], told: bool) -> None:
    nights = [[Expectation(ENTRY, "", "qemu-g610", *pair, (0.0, 1.0), tonight=pair)] for pair in earlier]
    said = stayed_away(measured(run([known], faulty=0), nights), [known])
    assert bool(said) is told
    assert all(ENTRY in sentence and known.source in sentence for sentence in said)


def test_what_came_did_not_stay_away() -> None:
    known = entry(file="panthor-fails.txt")
    assert stayed_away(measured(run([known]), []), [known]) == ()


def test_the_lists_have_drm_cis_header_and_can_be_read_again(tmp_path: Path) -> None:
    entries = [entry(about=ABOUT), entry("heap-exit/exit@gpu-fault.*"), entry("reset/.*@.*")]
    written = lists(measured(run(entries), []), entries, "7.3.4")
    assert sorted(written) == ["qemu-g610-fails.txt", "qemu-g610-flakes.txt"]
    text = written["qemu-g610-flakes.txt"]
    for line in (
        "# Bug Report: https://gitlab.example.org/1",
        "# Board Name: qemu-g610",
        "# Linux Version: 6.12",
        "# Failure Rate: 30",
        "# Linux Version: 7.3.4",
        "# never came: reset/.*@.*",
    ):
        assert line in text.splitlines()
    file = tmp_path / "qemu-g610-flakes.txt"
    file.write_text(text)
    (again,) = read_known([file])
    assert again.pattern == ENTRY
    assert "Failure Rate: 30" in again.about


def test_what_always_comes_is_a_failure() -> None:
    written = lists(measured(run([entry()], faulty=10), []), [entry()], "7.3.4")
    assert f"{ENTRY},Fail" in written["qemu-g610-fails.txt"].splitlines()
    assert ENTRY not in written["qemu-g610-flakes.txt"]

# SPDX-License-Identifier: GPL-2.0-or-later
"""One exploration without a boot: what boots show before anything is explored counts, and is never passed over."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from panthorlab.board.calls import DriverCode
from panthorlab.gpu.exact.order import FILE
from panthorlab.gpu.pci import mark_of
from panthorlab.run import fleet
from panthorlab.run.explore import explorer
from panthorlab.run.explore.explorer import NOT_BEGUN, Explorer
from panthorlab.run.explore.strategies import AIMED, FIXED
from panthorlab.run.explore.tally import Explored
from panthorlab.run.job import Job
from panthorlab.run.limits import TimeLimitReached
from panthorlab.run.plan import Slot
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import Event, Iteration
from panthorlab.run.record.codec import encode
from panthorlab.run.record.log import EventLog

from .recorded import typed

Outcomes = Callable[[str, int], str]


class Boots:
    """Stands in for the controller. `outcome`: of an iteration, by its boot and number; `most`: iterations until the
    time is over."""

    def __init__(self, run_dir: Path, outcome: Outcomes, most: int) -> None:
        self.run_dir, self.outcome, self.most, self.made = run_dir, outcome, most, list[str]()
        self.events: list[Event] = []
        self.hear: Callable[[Event], None] = lambda _event: None
        self.job: Callable[[Slot], Job] = cast(Any, None)

    def run(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            ended = {event.slot for event in self.events if isinstance(event, Iteration)}
            if slot.name not in ended:
                self._boot(slot)

    def _boot(self, slot: Slot) -> None:
        job, boot = self.job(slot), f"{slot.name}.1"
        log_dir = self.run_dir / "boots" / boot
        log_dir.mkdir(parents=True)
        (log_dir / "job.json").write_text(json.dumps(encode(job)))
        for number in range(1, (job.iterations or 0) + 1):
            if len(self.made) == self.most:
                raise TimeLimitReached
            name, outcome = f"{boot}.1-{number}", self.outcome(boot, number)
            self.made.append(name)
            line = {"window": number, "mark": mark_of(name), "begin": 1000 * number, "end": 1000 * number + 900,
                    "digest": str(number), "events": [["W A", 1000 * number + 5]],
                    "latencies": [["irq job", 1, 20_000, 1000 * number + 1], ["slice x", 1, 20_000, 1000 * number + 2]],
                    }  # fmt: skip
            with (log_dir / FILE).open("a") as file:
                file.write(json.dumps(line) + "\n")
            (event,) = typed([{"event": "iteration", "boot": boot, "slot": slot.name, "id": name, "outcome": outcome,
                               "signatures": ["sig"] if outcome == "FAIL" else []}])  # fmt: skip
            self.events.append(event)
            self.hear(event)


@pytest.fixture
def explore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Explorer, Boots]]:
    def run(
        outcome: Outcomes, *, most: int = 10_000, before: Boots | None = None, until_found: bool = True
    ) -> tuple[Explorer, Boots]:
        boots = Boots(tmp_path, outcome, most)
        boots.events = list(before.events) if before is not None else []

        def controller(*made: Any, progress: Callable[[Event], None], **_others: object) -> Boots:
            _, _, boots.events, boots.job = made
            boots.hear = progress
            return boots

        monkeypatch.setattr(explorer, "Controller", controller)
        monkeypatch.setattr(explorer, "read_events", lambda _run: boots.events)
        monkeypatch.setattr(fleet, "lanes", lambda *_made: [])
        job = Job(board="b", kernel="k", arm="k", slot="k1", boot="k1.1", index=0, boots=1, run_dir="r", log_dir="l",
                  suites=("s",), iterations=1, seed=1)  # fmt: skip
        settings = SimpleNamespace(workload=(), strategy=[AIMED], seed=1, between=(), jobs=1)
        code = cast(DriverCode, SimpleNamespace(places={}))
        monkeypatch.setattr(explorer, "aims_at_blocks", lambda late, *_others: dict.fromkeys(late, ()))
        one = Explorer(tmp_path, cast(EventLog, None), cast(Any, settings), cast(Any, SimpleNamespace(key="b")),
                       lambda _slot: job, Explored(tmp_path, []), ProgressDisplay(quiet=True), None, None, until_found,
                       code=code)  # fmt: skip
        one.explore()
        return one, boots

    return run


def test_a_finding_in_the_dry_run_is_one(explore: Callable[..., tuple[Explorer, Boots]]) -> None:
    one, boots = explore(lambda _boot, _number: "FAIL")
    assert boots.made == ["kernel1.1.1-1"]
    assert [(found.iteration.id, found.strategy) for found in one.tally.found] == [("kernel1.1.1-1", FIXED)]
    assert one.aimed.aims == {}


def test_a_finding_in_a_late_iteration_ends_it_at_once(explore: Callable[..., tuple[Explorer, Boots]]) -> None:
    one, boots = explore(lambda boot, _number: "PASS" if boot == "kernel1.1" else "FAIL")
    assert boots.made == ["kernel1.1.1-1", "kernel2.1.1-1"]
    assert [(found.iteration.id, found.strategy) for found in one.tally.found] == [("kernel2.1.1-1", AIMED)]
    assert not one.tally.unjudged


def test_what_is_on_record_is_counted_once(explore: Callable[..., tuple[Explorer, Boots]]) -> None:
    first, boots = explore(lambda boot, _number: "PASS" if boot == "kernel1.1" else "FAIL", until_found=False)
    assert len(first.tally.found) == 2
    again, more = explore(lambda _boot, _number: "PASS", before=boots)
    assert [found.iteration.id for found in again.tally.found] == ["kernel2.1.1-1", "kernel2.1.1-2"]
    assert not more.made


def test_time_that_ends_before_anything_was_explored_is_no_silence(
    explore: Callable[..., tuple[Explorer, Boots]],
) -> None:
    one, _ = explore(lambda _boot, _number: "PASS", most=2)
    assert one.tally.unjudged == [NOT_BEGUN]


def test_time_that_ends_after_a_finding_is_no_error(explore: Callable[..., tuple[Explorer, Boots]]) -> None:
    one, _ = explore(lambda _boot, _number: "FAIL", most=2, until_found=False)
    assert len(one.tally.found) == 2
    assert not one.tally.unjudged

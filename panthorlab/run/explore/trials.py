# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots with given latencies in one iteration, as `panthorlab run` makes them with the same options; several at once,
and none twice: what was tried is kept below the run's directory."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from panthorlab.board.board import Board
from panthorlab.errors import LabError, UsageError
from panthorlab.files import write_whole
from panthorlab.gpu.latency import Override, format_overrides, parse_overrides
from panthorlab.gpu.targets import format_targets, parse_targets
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.arms import ALONE, Arm
from panthorlab.run.explore.orders import Interleaving, OrdersFile
from panthorlab.run.explore.plan import UNREACHED, model_params
from panthorlab.run.explore.strategies import FIXED
from panthorlab.run.explore.tally import key_of
from panthorlab.run.job import Job
from panthorlab.run.plan import Slot
from panthorlab.run.record import BootEnd, BootStart, Doing, Event, Iteration, OfBoot, RunEnd, RunStart, Settings
from panthorlab.run.record.codec import encode
from panthorlab.run.record.log import DamagedLogError, EventLog, read_events
from panthorlab.run.record.versions import VERSION
from panthorlab.run.worker import STOP_GRACE, Worker

FOLDER: Final = "shrink"
SLOT: Final = Slot(ALONE, 0).name
BOOT: Final = f"{SLOT}.1"
"""What `panthorlab run` calls its first boot: the guest sees it in the names of iterations."""
WRITTEN: Final = ("exact.orders", "exact.calls", UNREACHED)
"""Parameters that say what is written down, and move nothing."""
Overrides = tuple[Override, ...]


@dataclass(frozen=True)
class Tried:
    """What came of one. `iteration`, `interleaving`: None if it was not reached, for the reason `why`."""

    overrides: Overrides
    folder: Path
    iteration: Iteration | None
    interleaving: Interleaving | None
    why: str = ""

    def shows(self, key: frozenset[str]) -> bool:
        """Whether it has the same finding."""
        return self.iteration is not None and bool(key & key_of(self.iteration))

    @property
    def clean(self) -> bool:
        return self.iteration is not None and self.iteration.outcome is Outcome.PASS


@dataclass
class Trials:
    """Trials of one workload. `template`: a job of the run. `tried`: so many boots were made. `before`: so many
    iterations are run before the one that is tried, the `window`th of the boot, with the latencies that `template`
    draws; none: it is the first, and no others are drawn in the boot."""

    run_dir: Path
    template: Job
    board: Board
    arm: Arm
    settings: Settings
    workload: str
    tried: int = 0
    before: int = 0
    window: int = 1
    _known: dict[Overrides, Tried] = field(default_factory=dict)
    _until: str | None = None

    def in_place(self, boot: Job, before: int, window: int) -> Trials:
        """Trials of an iteration after those that were before it in a boot of the run, whose job is `boot`."""
        params = {name: value for name, value in boot.params.items() if name not in WRITTEN}
        template = replace(boot, done={}, done_tests=(), params={**params, "exact.orders": "on", UNREACHED: "allowed"})
        return replace(self, template=template, before=before, window=window, _known={}, _until=None)

    def one(self, overrides: Overrides = ()) -> Tried:
        """What comes of these latencies, all others being the default."""
        self.ahead([overrides])
        return self._known[_sorted(overrides)]

    def ahead(self, many: Sequence[Overrides]) -> None:
        """Try the first of those that were not tried yet, as many at once as there may be boots."""
        wanted = [one for one in dict.fromkeys(map(_sorted, many)) if one not in self._known]
        wanted = wanted[: max(1, self.settings.jobs)]
        stop, results = threading.Event(), dict[Overrides, Tried | BaseException]()

        def work(overrides: Overrides) -> None:
            try:
                results[overrides] = self._try(overrides, stop)
            except BaseException as error:
                results[overrides] = error

        threads = [threading.Thread(target=work, args=(one,), daemon=True) for one in wanted]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)
        except BaseException:
            stop.set()
            for thread in threads:
                thread.join(STOP_GRACE + self.board.patience.switching + 10)
            raise
        for overrides, result in results.items():
            if isinstance(result, BaseException):
                raise result
            self._known[overrides] = result

    def options(self, overrides: Overrides) -> list[str]:
        """What tells `panthorlab run` to do the same."""
        params = {**self.template.params, **self._params(overrides)}
        params = {name: value for name, value in params.items() if name not in WRITTEN and value}
        if any(one.window < self.window for one in self._aimed()):
            params[UNREACHED] = "allowed"  # what came before was aimed, perhaps at what did not come
        words = ["--workload", self.workload, "--iterations", str(self.before + 1), "--boots", "1", "--time", "exact"]
        words += ["--seed", str(self.template.seed)]
        return words + [word for name, value in params.items() for word in ("--param", f"gpu.{name}={value}")]

    def _params(self, overrides: Overrides) -> dict[str, str]:
        if not self.before:
            return model_params(FIXED, overrides)
        kept = [one for one in self._aimed() if one.window < self.window]
        targets = parse_targets(self.template.params.get("exact.target", ""))
        return {
            "exact.plain": str(self.window),
            "exact.override": format_overrides([*kept, *overrides]),
            "exact.target": format_targets(one for one in targets if one.window < self.window),
        }

    def _aimed(self) -> Overrides:
        """Overrides of the boot of the run."""
        return parse_overrides(self.template.params.get("exact.override", "")) if self.before else ()

    def _try(self, overrides: Overrides, stop: threading.Event) -> Tried:
        asked = f"{self.workload} {self.template.seed} {self.before} {sorted(self.template.params.items())} {overrides}"
        name = hashlib.sha256(asked.encode()).hexdigest()[:12]
        folder = self.run_dir / FOLDER / name
        log_dir = folder / "boots" / BOOT
        events = _whole(folder)
        if events is None:
            log_dir.mkdir(parents=True, exist_ok=True)
            for old in (folder / "events.jsonl", *(file for file in log_dir.iterdir() if file.is_file())):
                old.unlink(missing_ok=True)
            self.tried += 1
            events = self._boot(overrides, folder, log_dir, stop)
        return _result(overrides, folder, log_dir, events, self.before)

    def _boot(self, overrides: Overrides, folder: Path, log_dir: Path, stop: threading.Event) -> list[Event]:
        job = replace(
            self.template,
            slot=SLOT,
            boot=BOOT,
            index=0,
            run_dir=str(folder),
            log_dir=str(log_dir),
            iterations=self.before + 1,
            workloads=(self.workload,),
            plain_tests=False,
            until=self._until,
            params={**self.template.params, **self._params(overrides)},
        )
        write_whole(log_dir / "job.json", json.dumps(encode(job), indent=1))
        with EventLog(folder) as log:
            events: list[Event] = [
                log.append(RunStart(options=self.settings, suites=tuple(self.settings.suite), version=VERSION)),
                log.append(self.arm.on_record()),
            ]

            def record(event: OfBoot) -> None:
                event = replace(event, boot=BOOT, slot=SLOT, arm=ALONE)
                if not isinstance(event, Doing):
                    events.append(log.append(event))

            record(BootStart(kernel=job.kernel, board=self.board.name))
            if why := Worker(self.board, log_dir, record, stop).run():
                record(BootEnd(complete=False, outcome=Outcome.ERROR, blame=Blame.LAB, reason=why))
            if not stop.is_set():
                events.append(log.append(RunEnd()))
        ran = [event for event in events if isinstance(event, Iteration)]
        if len(ran) > self.before and self._until is None:
            self._until = ran[self.before].id
        return events


def _sorted(overrides: Overrides) -> Overrides:
    return tuple(sorted(overrides))


def _whole(folder: Path) -> list[Event] | None:
    """The events of a trial that came to its end and was not the lab's fault; None if there is none."""
    try:
        events = read_events(folder)
    except (UsageError, DamagedLogError):
        return None
    end = next((event for event in reversed(events) if isinstance(event, BootEnd)), None)
    ended = any(isinstance(event, RunEnd) for event in events)
    return events if ended and end is not None and end.blame is not Blame.LAB else None


def _result(overrides: Overrides, folder: Path, log_dir: Path, events: Sequence[Event], before: int) -> Tried:
    iteration = next(iter([event for event in events if isinstance(event, Iteration)][before:]), None)
    end = next((event for event in events if isinstance(event, BootEnd)), None)
    if iteration is None or iteration.outcome is Outcome.ERROR:
        why = (
            iteration.message if iteration is not None else end.why if end is not None else "it did not come to its end"
        )
        if end is not None and end.final:
            raise LabError(f"{log_dir}: {why}", hint=end.hint)
        return Tried(overrides, folder, None, None, why)
    return Tried(overrides, folder, iteration, next(OrdersFile(log_dir).of(iteration.id), None))

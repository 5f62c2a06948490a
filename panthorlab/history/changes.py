# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab compare OLD NEW`: what is not the same in two runs. Rates are held against each other by the verdict's
own tests; the rest is what is there and what is not.

An arm is compared with that of its name; the only kernel of a `panthorlab run` with *after* of a validation. Of two
matrices each kernel is compared with its own (`matrices`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from panthorlab.errors import LabError, UsageError
from panthorlab.history.facts import ArmOnBoard, RunFacts, State, facts_of
from panthorlab.history.matrices import Pairs, is_matrix, pair
from panthorlab.history.trends import Rate
from panthorlab.outcome import Side
from panthorlab.report.text import json_text, p_value, percent, plain
from panthorlab.run.arms import ALONE
from panthorlab.verdict.stats import ALPHA, fisher, holm

INCONCLUSIVE: Final = 3
"""Exit status."""


@dataclass(frozen=True)
class Change:
    """A workload or test whose rates differ. `p`: of the hypothesis that they are one, two-sided, Holm-adjusted over
    all that ran in both."""

    name: str
    arm: str
    old: Rate
    new: Rate
    p: float

    @property
    def word(self) -> str:
        if self.p >= ALPHA:
            return "may be chance"
        return "more" if self.new.faulty * self.old.judged > self.old.faulty * self.new.judged else "fewer"


@dataclass(frozen=True)
class RunDifference:
    """All that differs. `setup`: (what, old, new) of verdict, kernels, boards. `only_old`, `only_new`: what ran in one
    run alone; `gone`, `appeared`: signatures, each with its arm."""

    setup: tuple[tuple[str, str, str], ...]
    rates: tuple[Change, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    gone: tuple[str, ...]
    appeared: tuple[str, ...]
    same: int
    """Workloads and tests with the same rate in both."""

    @property
    def worse(self) -> bool:
        """Whether `new` is at fault: it has signatures that `old` lacks, or significantly higher rates."""
        return bool(self.appeared) or any(change.word == "more" for change in self.rates)

    @property
    def perhaps(self) -> bool:
        """Whether something fails that did not, which may be chance; a rate that was there before swings by itself."""
        return any(one.new.faulty and not one.old.faulty for one in self.rates)


@dataclass(frozen=True)
class Compared:
    """Two runs and what differs. `name`: of the pair, in a matrix."""

    old: RunFacts
    new: RunFacts
    found: RunDifference
    name: str = ""

    @property
    def exit(self) -> int:
        """Of `--fail-on-worse`: what could not be judged in `new`, or did not run there any more, has not passed."""
        if self.new.state is not State.ENDED or self.new.lost or self.found.only_old:
            return LabError.exit_status
        return 1 if self.found.worse else INCONCLUSIVE if self.found.perhaps else 0


def main(options: argparse.Namespace) -> int:
    """Exit status 0, whatever differs; with `--fail-on-worse`, that of the worst."""
    if is_matrix(options.old) != is_matrix(options.new):
        raise UsageError("one is a matrix, and the other a run", hint="name two runs or two matrices")
    pairs = pair(options.old, options.new) if is_matrix(options.old) else None
    if pairs is None:
        compared = [_compared(options.old, options.new)]
    else:
        compared = [_compared(old, new, name) for name, old, new in pairs.paired]
    status = _status(compared, pairs) if options.fail_on_worse else 0
    if options.json:
        made = [_json(one.old, one.new, one.found) for one in compared]
        sys.stdout.write(json_text(made[0] if pairs is None else _matrix_json(pairs, made)))
    else:
        print("\n".join(_matrix_lines(pairs, compared) if pairs else _lines(compared[0])))
    return status


def _status(compared: Sequence[Compared], pairs: Pairs | None) -> int:
    found = {one.exit for one in compared}
    if pairs is not None and (pairs.only_old or not compared):
        found.add(LabError.exit_status)
    return next((status for status in (LabError.exit_status, 1, INCONCLUSIVE) if status in found), 0)


def _compared(old: Path, new: Path, name: str = "") -> Compared:
    then, now = _facts(old), _facts(new)
    return Compared(then, now, difference(then, now), name)


def _facts(path: Path) -> RunFacts:
    facts = facts_of(path.resolve())
    if facts.state is State.DAMAGED:
        raise UsageError(f"{path}: {facts.why}", hint="only whole logs can be compared")
    return facts


def difference(old: RunFacts, new: RunFacts) -> RunDifference:
    """What differs in `new` from `old`."""
    arms = _arms(old, new)
    changes: list[tuple[str, str, Rate, Rate]] = []
    lonely: tuple[list[str], list[str]] = ([], [])
    for arm, other in arms:
        then, now = _rates(old, arm), _rates(new, other)
        lonely[0].extend(f"{name} ({arm})" for name in then if name not in now)
        lonely[1].extend(f"{name} ({other})" for name in now if name not in then)
        shown = arm if arm == other else f"{arm}, {other}"
        changes += [(name, shown, then[name], now[name]) for name in then if name in now]
    differing = [one for one in changes if one[2].faulty * one[3].judged != one[3].faulty * one[2].judged]
    raw = {one[:2]: _two_sided(one[2], one[3]) for one in changes}
    adjusted = dict(zip(raw, holm(list(raw.values())), strict=True))
    gone, appeared = _signatures(old, new, arms)
    return RunDifference(
        tuple(_setup(old, new, arms)),
        tuple(sorted((Change(*one, adjusted[one[:2]]) for one in differing), key=lambda change: change.p)),
        tuple(lonely[0]),
        tuple(lonely[1]),
        gone,
        appeared,
        len(changes) - len(differing),
    )


def _arms(old: RunFacts, new: RunFacts) -> list[tuple[str, str]]:
    """Which arm of `old` is compared with which of `new`."""
    then, now = (sorted({place.arm for place, _ in (*run.workloads, *run.tests)}) for run in (old, new))
    if then == [ALONE] and Side.AFTER in now:
        return [(ALONE, Side.AFTER.value)]
    if now == [ALONE] and Side.AFTER in then:
        return [(Side.AFTER.value, ALONE)]
    return [(arm, arm) for arm in sorted({*then, *now})]


def _rates(run: RunFacts, arm: str) -> dict[str, Rate]:
    """Of each workload and test, over all boards."""
    rates: dict[str, Rate] = {}
    for tallies in (run.workloads, run.tests):
        for (place, name), tally in tallies.items():
            if place.arm == arm:
                rates.setdefault(name, Rate()).add(tally.faulty, tally.judged)
    return rates


def _two_sided(old: Rate, new: Rate) -> float:
    return min(1.0, 2 * min(fisher(old.faulty, old.judged, new.faulty, new.judged)))


def _signatures(
    old: RunFacts, new: RunFacts, arms: Sequence[tuple[str, str]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    def of(run: RunFacts, wanted: Mapping[str, str]) -> set[str]:
        return {f"{name} ({wanted[place.arm]})" for place, _, name in run.signatures if place.arm in wanted}

    then = of(old, {arm: arm for arm, _ in arms})
    now = of(new, {other: arm for arm, other in arms})
    return tuple(sorted(then - now)), tuple(sorted(now - then))


def _setup(old: RunFacts, new: RunFacts, arms: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    def of(run: RunFacts, arm: str, what: str) -> str:
        places: set[ArmOnBoard] = {place for place, _ in (*run.workloads, *run.tests) if place.arm == arm}
        return ", ".join(sorted({getattr(place, what) for place in places})) or "nothing"

    rows = [("verdict", _verdict(old), _verdict(new)), ("about", old.title, new.title), ("base", old.base, new.base)]
    for arm, other in arms:
        for what, title in (("kernel", "kernel"), ("key", "store key"), ("board", "board")):
            rows.append((f"{title} ({arm})", of(old, arm, what), of(new, other, what)))
    rows.append(("lost", str(old.lost), str(new.lost)))
    return (row for row in rows if row[1] != row[2])


def _verdict(run: RunFacts) -> str:
    return run.verdict if run.state is State.ENDED else f"{run.verdict} ({run.state})"


_LISTS: Final = (
    ("signatures that are new", "appeared"),
    ("signatures that are gone", "gone"),
    ("ran in the new run alone", "only_new"),
    ("ran in the old run alone", "only_old"),
)


def _matrix_lines(pairs: Pairs, compared: Sequence[Compared]) -> Iterator[str]:
    for what, then, now in pairs.settings:
        yield f"asked for something else: {what}: {plain(then)} → {plain(now)}"
    for one in compared:
        yield f"== {plain(one.name)}"
        yield from _lines(one)
    for title, names in (("new", pairs.only_new), ("old", pairs.only_old)):
        for name in names:
            yield f"in the {title} matrix alone: {plain(name)}"


def _lines(one: Compared) -> Iterator[str]:
    old, new, found = one.old, one.new, one.found
    yield f"old  {plain(old.path)}  {_verdict(old)}"
    yield f"new  {plain(new.path)}  {_verdict(new)}"
    for what, then, now in found.setup:
        yield f"{what}: {then} → {now}"
    for change in found.rates:
        rates = f"{_shown(change.old)} → {_shown(change.new)}"
        yield f"{change.word}: {change.name} ({change.arm}): {rates}, p {p_value(change.p)}"
    for title, name in _LISTS:
        for one in getattr(found, name):
            yield f"{title}: {one}"
    yield f"{found.same} workloads and tests have the same rate in both"


def _shown(rate: Rate) -> str:
    return f"{rate.faulty}/{rate.judged} ({percent(*rate.interval)})"


def _matrix_json(pairs: Pairs, made: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "settings": [{"what": what, "old": then, "new": now} for what, then, now in pairs.settings],
        "kernels": [{"name": name, **one} for (name, _, _), one in zip(pairs.paired, made, strict=True)],
        "only_old": list(pairs.only_old),
        "only_new": list(pairs.only_new),
    }


def _json(old: RunFacts, new: RunFacts, found: RunDifference) -> dict[str, Any]:
    return {
        "old": str(old.path),
        "new": str(new.path),
        "setup": [{"what": what, "old": then, "new": now} for what, then, now in found.setup],
        "rates": [
            {
                "name": change.name,
                "arm": change.arm,
                "change": change.word,
                "p": change.p,
                **{
                    key: {"faulty": rate.faulty, "judged": rate.judged, "interval": list(rate.interval)}
                    for key, rate in (("old", change.old), ("new", change.new))
                },
            }
            for change in found.rates
        ],
        **{name: list(getattr(found, name)) for _, name in _LISTS},
        "same": found.same,
    }

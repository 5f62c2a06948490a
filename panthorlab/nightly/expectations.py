# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists of known findings (drm-ci's `*-fails.txt`, `*-flakes.txt`) held against what nights have seen: how often each
entry comes, which one stays away, and the lists again with what was measured. Pure functions.

The header of an entry is what Documentation/gpu/automated_testing.rst of the kernel asks for; what nobody but a person
can know, the link to the bug report, is taken from the entry, and asked for where it is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Final

from panthorlab.nightly.model import Expectation
from panthorlab.outcome import Side
from panthorlab.report.text import percent, plain
from panthorlab.run import results
from panthorlab.run.known import known_of
from panthorlab.run.record import Event, KnownEntry, OfBoot
from panthorlab.run.record.log import start_of
from panthorlab.run.variantresults import of_variant
from panthorlab.verdict.finding import KnownFinding
from panthorlab.verdict.sightings import BOOT, BOOT_IN_LISTS, Sighting, sightings
from panthorlab.verdict.stats import wilson

NIGHTS: Final = 30
"""A rate is that of so many nights: of what was mended long ago, nobody wants to know."""
CHANCE: Final = 0.01
"""An entry that stays away is told when so little is likely by chance."""
_FIELD: Final = re.compile(r"(?P<name>Bug Report|Board Name|Linux Version|IGT Version|Failure Rate):\s*(?P<text>[^;]+)")
_NUMBER: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]+)?")


def measured(events: Sequence[Event], earlier: Iterable[Sequence[Expectation]]) -> tuple[Expectation, ...]:
    """Each entry on each board of a run of one kernel in which something ran that it is about. `earlier`: of the nights
    before, newest first."""
    settings = start_of(events).options
    plain_boots = [replace(event, arm=Side.AFTER.value) if isinstance(event, OfBoot) else event for event in events]
    plain_boots = of_variant(plain_boots, "")
    known = known_of(settings)
    boots = {boot.id: boot for boot in results.boots(plain_boots)}
    seen = [one for one in sightings(results.iterations(plain_boots), boots, known) if one.sound]
    history = list(earlier)[: NIGHTS - 1]
    return tuple(one for entry in known for one in _measured(entry, seen, history))


def _measured(
    entry: KnownFinding, seen: Sequence[Sighting], history: Sequence[Sequence[Expectation]]
) -> Iterator[Expectation]:
    for board in sorted({one.board for one in seen}):
        about = [one for one in seen if one.board == board and _about(entry, _place(one))]
        if not about:
            continue
        hits = sum(any(entry.matches(_place(one), name) for name in one.names | one.known) for one in about)
        earlier = [
            own for night in history for own in night if (own.pattern, own.board) == (entry.pattern.pattern, board)
        ]
        total = hits + sum(own.tonight[0] for own in earlier), len(about) + sum(own.tonight[1] for own in earlier)
        yield Expectation(
            entry.pattern.pattern,
            entry.source,
            board,
            *total,
            wilson(*total),
            nights=1 + len(earlier),
            tonight=(hits, len(about)),
        )


def _place(one: Sighting) -> str:
    return BOOT_IN_LISTS if one.place == BOOT else one.place


def _about(entry: KnownFinding, place: str) -> bool:
    """Whether an entry is about what happens in a place: by its part before the `@`, if that is an expression by
    itself."""
    workload = entry.pattern.pattern.partition("@")[0]
    try:
        return re.fullmatch(workload, place) is not None
    except re.error:
        return False


def stayed_away(known: Sequence[Expectation], entries: Sequence[KnownEntry]) -> tuple[str, ...]:
    """Entries that did not come this night though they were expected to, in sentences. What is in a list of failures
    comes always, unless earlier nights say something else; what is in one of flakes as often as these say, or its
    header."""
    about = {entry.pattern: entry for entry in entries}
    found = []
    for one in known:
        rate = _expected(one, about[one.pattern]) if one.pattern in about else None
        hits, judged = one.tonight
        if hits or rate is None or (1 - rate) ** judged >= CHANCE:
            continue
        how = "in all" if rate == 1 else f"in {rate:.1%} of them at the least"
        what = f"did not come in {judged} iterations or boots on {one.board}; it is expected {how}"
        found.append(f"{plain(one.pattern)} {what} ({plain(one.source)})")
    return tuple(found)


def _expected(one: Expectation, entry: KnownEntry) -> float | None:
    """How often an entry comes, at the least; None if nobody knows."""
    seen, judged = one.seen - one.tonight[0], one.judged - one.tonight[1]
    if judged:
        return wilson(seen, judged)[0] if seen < judged else 1.0
    if _is_fails(one.source):
        return 1.0
    number = _NUMBER.match(header_of(entry).get("Failure Rate", ""))
    return min(1.0, float(number[0]) / 100) if number else None


def _is_fails(source: str) -> bool:
    return PurePath(source.rpartition(":")[0]).name.endswith("fails.txt")


def header_of(entry: KnownEntry) -> Mapping[str, str]:
    """What the comments above an entry say, by drm-ci's names."""
    return {match["name"]: match["text"].strip() for match in _FIELD.finditer(entry.about)}


def lists(known: Sequence[Expectation], entries: Sequence[KnownEntry], release: str) -> dict[str, str]:
    """By file name: for each board a list of what always comes, and one of what comes sometimes. `release`: of the
    kernel, told where an entry does not say since which it is."""
    about = {entry.pattern: entry for entry in entries}
    files: dict[str, list[str]] = {}
    for one in known:
        always = one.seen == one.judged
        for word, own in (("fails", always), ("flakes", not always)):
            rows = files.setdefault(f"{one.board}-{word}.txt", [])
            if own and one.pattern in about:
                rows += ["", *_entry(one, header_of(about[one.pattern]), release, result=",Fail" if always else "")]
    first = "# Written by `panthorlab nightly`: the lists of known findings, with what was measured."
    return {name: "\n".join([first, *rows, ""]) for name, rows in files.items()}


def _entry(one: Expectation, header: Mapping[str, str], release: str, *, result: str) -> Iterator[str]:
    measured_here = f"{one.seen} of {one.judged} ({percent(*one.interval)}) in {one.nights} nights"
    yield f"# Bug Report: {plain(header.get('Bug Report', 'none yet: add the link before it goes to drm-ci'))}"
    yield f"# Board Name: {plain(one.board)}"
    yield f"# Linux Version: {plain(header.get('Linux Version', release))}"
    yield f"# IGT Version: {plain(header.get('IGT Version', 'none: a suite of panthorlab'))}"
    yield f"# Failure Rate: {100 * one.seen / one.judged:.3g}"
    yield f"# Measured: {measured_here}"
    # an entry that never came stays in the list as a comment, for whoever decides that it is gone
    yield f"{one.pattern}{result}" if one.seen else f"# never came: {one.pattern}"

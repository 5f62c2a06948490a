# SPDX-License-Identifier: GPL-2.0-or-later
"""The result of an exploration: text, JSON, and a file beside the run that others can read."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab.board.calls import DriverCode
from panthorlab.files import write_whole
from panthorlab.jsonvalue import Json, JsonObject
from panthorlab.kernel.model import Kernel
from panthorlab.report.faults import headline
from panthorlab.run.explore.aim import Aim
from panthorlab.run.explore.finding import Explained, Narrowed
from panthorlab.run.explore.places import Ran
from panthorlab.run.explore.strategies import CHOICES
from panthorlab.run.explore.tally import Explored, Suspect, Variety

FILE: Final = "exploration.json"
SHOWN: Final = 5
Findings = Sequence[tuple[Suspect, Explained | None]]


@dataclass(frozen=True)
class Aimed:
    """What strategy aimed aims at, by workload; `code`: of the driver, if that is blocks of it."""

    aims: Mapping[str, Sequence[Aim]]
    code: DriverCode | None


def tell(
    options: argparse.Namespace,
    run_dir: Path,
    kernel: Kernel,
    tally: Explored,
    findings: Findings,
    aimed: Aimed,
    ran: Sequence[Ran] = (),
) -> int:
    """Print it, write it down, and give the exit status. `ran`: at the places that were asked for."""
    confirmed = bool(findings or tally.outside)
    missed = [one for one in ran if not one.reached]
    status = 1 if confirmed else 4 if tally.unjudged or not tally.seeds or missed else 0
    made = {
        "exit": status,
        "kernel": kernel.key,
        "run": str(run_dir),
        "seeds": tally.seeds,
        "interleavings": tally.distinct,
        "workloads": {
            name: {**seen, "aimed": hits.of(aimed.aims[name]) if (hits := tally.hits.get(name)) is not None else None}
            for name, seen in tally.as_json().items()
        },
        "unjudged": list(tally.unjudged),
        "outside": list(tally.outside),
        "places": [{**vars(one), "reached": one.reached} for one in ran],
        "findings": [_finding(options, run_dir, kernel, found, explained, aimed) for found, explained in findings],
    }
    write_whole(run_dir / FILE, json.dumps(made, indent=1) + "\n")
    if options.json:
        print(json.dumps(made, indent=1))
        return status
    for name, seen in tally.workloads.items():
        _print_growth(name, seen, tally, list(options.strategy or CHOICES))
        _print_aimed(aimed, tally, name)
    for found, explained in findings:
        _print_finding(options, run_dir, kernel, found, explained, aimed)
    for title, lines in (("FOUND outside iterations", tally.outside), ("ERROR", tally.unjudged)):
        for line in lines[:SHOWN]:
            print(f"{title} {line}")
        if len(lines) > SHOWN:
            print(f"… and {len(lines) - SHOWN} more")
    for one in ran:
        print(f"{'never reached' if one in missed else 'reached'}: {one}")
    print(_conclusion(tally, ran, confirmed=confirmed))
    print(f"run: {run_dir}")
    return status


def _conclusion(tally: Explored, ran: Sequence[Ran], *, confirmed: bool) -> str:
    tried = f"{tally.seeds} iterations, {tally.distinct} distinct interleavings"
    if confirmed:
        return f"confirmed: there is a finding ({tried})"
    if missed := [one.place for one in ran if not one.reached]:
        return f"not tried: {', '.join(missed)} never ran in {tried}; a workload is wanted that gets there"
    return f"nothing was found: not seen in {tried}{', in which these lines ran' if ran else ''}"


def _print_growth(name: str, seen: Variety, tally: Explored, chosen: Sequence[str]) -> None:
    print(f"{name}: {seen.orders.samples} seeds, {seen.orders.distinct} distinct interleavings")
    for (workload, strategy), own in tally.strategies.items():
        if workload == name:
            counts = f"{own.orders.distinct} interleavings, {own.contexts.distinct} contexts"
            print(f"  {strategy:12} {own.orders.samples:5} seeds, {counts}")
    if untried := [strategy for strategy in dict.fromkeys(chosen) if (name, strategy) not in tally.strategies]:
        print(f"  not tried, for want of seeds or time: {', '.join(untried)}")
    for what, growth in (("interleavings", seen.orders), ("contexts", seen.contexts)):
        points = "  ".join(f"{samples}: {distinct}" for samples, distinct in growth.points())
        print(f"  {what} after seeds  {points}")
        print(f"  {what} {growth.state}: the next seed is expected to show {growth.unseen:.2f} new ones")


def _print_aimed(aimed: Aimed, tally: Explored, name: str) -> None:
    if (hits := tally.hits.get(name)) is None:
        return
    one = hits.of(aimed.aims[name])
    tried = hits.hit + hits.missed
    print(f"  aimed at blocks of the driver: {hits.hit} of {tried} events came at theirs; there are {one['aims']} aims")
    print(f"  hit: {one['blocks_hit']} of {one['blocks']} blocks, {one['pairs_hit']} of {one['pairs']} pairs of a kind "
          "of event and a block")  # fmt: skip


def _place(found: Suspect, aimed: Aimed) -> str | None:
    """The event that was moved, and the block to which."""
    one = found.target
    if one is None or aimed.code is None:
        return None
    return f"{one.kind} ({one.number}.) at {aimed.code.name(one.address)}"


def command(options: argparse.Namespace, kernel: Kernel, explained: Explained) -> str:
    """What reproduces a finding, to be pasted into a shell."""
    words = ["panthorlab", "run", "--kernel", kernel.key[:16]]
    words += [word for suite in options.suite for word in ("--suite", suite)]
    words += [word for board in options.board or () for word in ("--board", board)]
    return shlex.join([*words, *explained.options])


def _replay(run_dir: Path, found: Suspect) -> str:
    return shlex.join(["panthorlab", "replay", f"{run_dir}:{found.iteration.id}"])


def _headline(found: Suspect) -> str:
    return headline(found.iteration.findings[0]) if found.iteration.findings else found.iteration.message


def _print_finding(
    options: argparse.Namespace,
    run_dir: Path,
    kernel: Kernel,
    found: Suspect,
    explained: Explained | None,
    aimed: Aimed,
) -> None:
    print(f"\nFOUND {found.iteration.workload}: {_headline(found)}")
    print(f"  signature {', '.join(sorted(found.key))}")
    print(f"  first in {found.iteration.id}, strategy {found.strategy}; as it came: {_replay(run_dir, found)}")
    if (place := _place(found, aimed)) is not None:
        print(f"  aimed at: {place}")
    if explained is None or not explained.reproduces:
        print("  it does not come back with the same latencies made explicit: only the replay repeats it")
        return
    if explained.before:
        print(
            f"  it does not come in the first iteration of a boot, but after the {explained.before} that were before it"
        )
    if explained.by_default:
        print(f"  it comes with the default latencies ({explained.tried} boots tried)")
        if explained.averting is None:
            print("  no seed was seen that keeps it away")
        else:
            print(f"  {len(explained.averting)} latencies keep it away where it comes first:")
            _print_overrides(explained.averting)
    else:
        print(f"  {explained.drawn} latencies are {len(explained.overrides)} after {explained.tried} boots, "
              f"{explained.seconds:g} s; all others are the default:")  # fmt: skip
        _print_overrides(explained.overrides)
    if not explained.whole:
        print("  that was not the end of it: there may be some that are not needed")
    if explained.narrowed is not None:
        _print_swap(explained.narrowed)
    print(f"  again: {command(options, kernel, explained)}")


def _print_overrides(overrides: Sequence[object]) -> None:
    for one in overrides:
        print(f"    {one} µs")


def _print_swap(narrowed: Narrowed) -> None:
    moved = narrowed.moved
    print(
        f"  with {moved.kind} ({moved.number}.) at {narrowed.faulty_ns / 1000:.3f} µs it comes, at "
        f"{narrowed.good_ns / 1000:.3f} µs not"
    )
    if (swap := narrowed.swap) is not None:
        print(f"  what must swap: it comes if `{swap.first}` is before `{swap.second}`, and does not if it is after")
    else:
        print("  no two events of both runs come in another order: what decides lies between accesses of the driver")


def _finding(
    options: argparse.Namespace,
    run_dir: Path,
    kernel: Kernel,
    found: Suspect,
    explained: Explained | None,
    aimed: Aimed,
) -> JsonObject:
    made: dict[str, Json] = {
        "workload": found.iteration.workload,
        "iteration": found.iteration.id,
        "strategy": found.strategy,
        "aimed_at": _place(found, aimed),
        "signatures": sorted(found.key),
        "text": _headline(found),
        "findings": [dict(finding) for finding in found.iteration.findings],
        "replay": _replay(run_dir, found),
        "reproduces": explained is not None and explained.reproduces,
    }
    if explained is None or not explained.reproduces:
        return made
    made |= {
        "before": explained.before,
        "drawn": explained.drawn,
        "boots": explained.tried,
        "seconds": explained.seconds,
        "by_default": explained.by_default,
        "latencies": [_override(one) for one in explained.overrides],
        "averting": None if explained.averting is None else [_override(one) for one in explained.averting],
        "shortest": explained.whole,
        "swap": _swap(explained.narrowed),
        "command": command(options, kernel, explained),
    }
    return made


def _override(one: object) -> str:
    return str(one)


def _swap(narrowed: Narrowed | None) -> Json:
    if narrowed is None:
        return None
    swap = narrowed.swap
    return {
        "kind": narrowed.moved.kind,
        "number": narrowed.moved.number,
        "faulty_us": narrowed.faulty_ns / 1000,
        "good_us": narrowed.good_ns / 1000,
        "first": str(swap.first) if swap is not None else None,
        "second": str(swap.second) if swap is not None else None,
        "neighbours": swap.neighbours if swap is not None else None,
    }

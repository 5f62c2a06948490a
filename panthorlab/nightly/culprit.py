# SPDX-License-Identifier: GPL-2.0-or-later
"""From what is new in a night to the commit that brought it: what is worth a bisect, and what one came to."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from panthorlab.errors import PanthorlabError
from panthorlab.nightly import mirror
from panthorlab.nightly.asked import bisect_options
from panthorlab.nightly.judge import symptom_of
from panthorlab.nightly.model import Culprit, KernelNight, NewTrouble, TreeCommit
from panthorlab.nightly.plan import KernelPlan, NightlyPlan
from panthorlab.nightly.work import told
from panthorlab.report.text import plain
from panthorlab.run.bisect.command import begin, is_bisect, resume
from panthorlab.run.bisect.search import REVERTED
from panthorlab.run.bisect.state import Known
from panthorlab.run.record import BisectEnd, Event
from panthorlab.run.record.log import read_events

OUT_OF_TIME: Final = "not searched to its end: the night's time was up"


def wanted(new: Iterable[NewTrouble], found: Iterable[Culprit]) -> list[str]:
    """The symptoms that are still to be searched for, the worst first. `found`: what was searched already; what came
    with the same commit needs no search of its own."""
    done = {name for one in found for name in (one.signature, *one.explains)}
    symptoms = dict.fromkeys(symptom for one in new if (symptom := symptom_of(one)))
    return [symptom for symptom in symptoms if symptom not in done]


def inherited(own: KernelNight, earlier: Iterable[KernelNight]) -> list[Culprit]:
    """What earlier nights, newest first, found for what is new in this one still, against the same good night."""
    symptoms = {symptom_of(one) for one in own.new}
    found: dict[str, Culprit] = {}
    for night in earlier:
        if night.good != own.good:
            break
        for one in night.culprits:
            if len(one.commits) == 1 and symptoms.intersection((one.signature, *one.explains)):
                found.setdefault(one.signature, one)
    return list(found.values())


def outcome_of(events: Sequence[Event], night: str, directory: str, subjects: dict[str, str]) -> Culprit:
    """What a bisect came to, from its log. `subjects`: of its culprits."""
    known = Known.of(events)
    signature = known.wanted.text if known.wanted else ""
    end = next((event for event in reversed(events) if isinstance(event, BisectEnd)), None)
    if end is None:
        return Culprit(signature, (), False, OUT_OF_TIME, directory=directory, night=night, ended=False)
    return Culprit(
        signature,
        tuple(TreeCommit(commit, subjects.get(commit, "")) for commit in end.culprits),
        end.exit == 0 and len(end.culprits) == 1,
        plain(end.reason),
        tuple(map(plain, end.checks)),
        explained(known, end) if end.exit == 0 else (),
        directory,
        night,
    )


def explained(known: Known, end: BisectEnd) -> tuple[str, ...]:
    """Other symptoms that came with the culprit: its boots show them, and no boot that was clean of the fault does."""
    (culprit,) = end.culprits
    clean = [name for name in known.boots if not known.tally(name).seen and known.tally(name).clean]
    without = {symptom for name in clean for boot in known.boots[name] for symptom in boot.symptoms}
    shown = {symptom for boot in known.boots.get(culprit, ()) for symptom in boot.symptoms}
    own = {known.wanted.text} if known.wanted else set()
    return tuple(sorted(shown - without - own)) if REVERTED in clean else ()


def search(
    plan: NightlyPlan,
    kernel: KernelPlan,
    *,
    tree: Path,
    near: str,
    ends: tuple[str, str],
    signature: str,
    night: str,
    directory: Path,
    overlay: Path | None,
    no_jail: bool,
    quiet: bool,
) -> Culprit:
    """Bisect, or go on with the one in `directory`. What it cannot do is said in the result. Raises whatever
    interrupts it."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is the night's
            if (directory / "events.jsonl").is_file() and is_bisect(read_events(directory)):
                resume(directory, as_json=False, quiet=quiet)
            else:
                options = bisect_options(
                    plan,
                    kernel,
                    mirror=tree,
                    near=near,
                    ends=ends,
                    signature=signature,
                    output=directory,
                    overlay=overlay,
                    no_jail=no_jail,
                )
                options.quiet = quiet
                begin(options)
    except PanthorlabError as error:
        why = f"not searched: {told(error)}"
        return Culprit(signature, (), False, why, directory=str(directory), night=night, ended=error.final)
    return read(tree, night, directory)


def read(tree: Path, night: str, directory: Path) -> Culprit:
    """What the bisect in `directory` came to so far."""
    events = read_events(directory)
    end = next((event for event in reversed(events) if isinstance(event, BisectEnd)), None)
    subjects = {commit: mirror.commit_of(tree, commit).subject for commit in (end.culprits if end else ())}
    return outcome_of(events, night, str(directory), subjects)

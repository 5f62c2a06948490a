# SPDX-License-Identifier: GPL-2.0-or-later
"""From two ends to a verified culprit: every decision follows from the log, every result is in it before the next one.

Builds and boots are somebody else's (`Hands`), so that the same search runs on kernels and in tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from panthorlab.bisect.ends import End, EndTrouble
from panthorlab.bisect.graph import Graph, members
from panthorlab.bisect.policy import Search
from panthorlab.bisect.posterior import BAD, Tally, mean
from panthorlab.errors import BuildError, LabError, PatchError, UsageError
from panthorlab.files import write_whole
from panthorlab.kernel.source.commits import History, Kinship
from panthorlab.run.bisect.gitlog import LOG, render
from panthorlab.run.bisect.state import Known, search_of
from panthorlab.run.bisect.symptoms import Answer
from panthorlab.run.record import BisectBoot, BisectBuilt, BisectEnd, BisectSignature, BisectSkip, BisectTest
from panthorlab.run.record.log import EventLog, read_events

REVERTED: Final = "reverted"
"""The bad end without the culprit, in the place of a commit."""
MISSED: Final = 0.01
"""A kernel is called clean after so many boots that a bad one would have been clean in all of them so rarely."""
SHOWN: Final = 5
NOT_REPRODUCED: Final = 3


@dataclass(frozen=True)
class Made:
    """A kernel in the store. `seconds`: its build took; 0 if it was there."""

    key: str
    seconds: float = 0.0


class Hands(Protocol):
    """Who builds and boots. A target is a commit, or REVERTED."""

    def revert(self, culprit: str) -> None:
        """From here on REVERTED is without this commit. Raises PatchError if it cannot be taken out."""

    def build(self, target: str) -> Made:
        """Raises BuildError or UsageError if it cannot be built, LabError."""

    def expect(self, targets: Sequence[str]) -> None:
        """These may be wanted next: build them meanwhile."""

    def boot(self, target: str, numbers: Sequence[int]) -> Iterable[BisectBoot]:
        """Boots by their numbers. What the lab does is tried again there. Raises LabError."""

    def kinship(self) -> Kinship:
        """Which commits are the same kernel, as far as is known now."""


class _OverError(Exception):
    """The bisect ends here."""

    def __init__(self, end: BisectEnd) -> None:
        super().__init__(end.reason)
        self.end = end


@dataclass(frozen=True)
class Bisect:
    """`weights`: of commits, see `Node`. `tell`: a line for people."""

    log: EventLog
    history: History
    hands: Hands
    weights: dict[str, float]
    tell: Callable[[str], None]

    @property
    def run_dir(self) -> Path:
        return self.log.path.parent

    def run(self) -> BisectEnd:
        """To its end, which is then in the log, too."""
        try:
            self._ends()
            end = self._culprit()
        except _OverError as over:
            end = over.end
        return self.log.append(end)

    def known(self) -> Known:
        return Known.of(read_events(self.run_dir))

    def look(self) -> tuple[Known, Graph, Search]:
        """How far it is."""
        known, kin = self.known(), self.hands.kinship()
        if not kin.head[known.start.bad]:
            raise _OverError(
                _end(
                    UsageError.exit_status,
                    "no commit between the ends can change this build",
                    hint=("is the fault from elsewhere? other ends, or another --config, may tell"),
                )
            )
        graph, search = search_of(known, kin, self.weights)
        return known, graph, search

    # The ends

    def _ends(self) -> None:
        while True:
            known = self.known()
            ends = known.ends
            self._check_end(known, known.start.bad, "bad")
            self._check_end(known, known.good, "good")
            if known.wanted is None and ends.bad.seen and known.boots.get(known.good):
                first, *others = known.choices
                self.log.append(BisectSignature(signature=first, others=tuple(others)))
                self.tell(
                    f"searching for {first}" + (f"; the bad end also shows {', '.join(others)}" if others else "")
                )
                continue
            if ends.trouble is not None:
                raise _OverError(self._trouble(known, ends.trouble))
            end = ends.next()
            if end is None:
                return
            commit, other = (known.start.bad, known.good) if end is End.BAD else (known.good, known.start.bad)
            if not self._test(commit, 1, f"the {end} end", ahead=[other]):
                why = self.known().skips[commit]
                raise LabError(f"the {end} end cannot be built: {why}", hint="choose another commit for this end")

    def _check_end(self, known: Known, commit: str, name: str) -> None:
        why = known.unfit(commit)
        if why.startswith("the lab"):
            raise LabError(
                f"the {name} end cannot be judged: {why}", hint="mend that, then `panthorlab bisect --resume`"
            )
        if why:
            raise _OverError(
                _end(
                    NOT_REPRODUCED,
                    f"the {name} end does not show what is searched for: {why}",
                    hint="search for that with --signature, or choose another end",
                )
            )

    def _trouble(self, known: Known, trouble: EndTrouble) -> BisectEnd:
        start, ends = known.start, known.ends
        what = known.wanted.text if known.wanted else "any fault"
        if trouble is EndTrouble.NOT_SEEN:
            return _end(
                NOT_REPRODUCED,
                f"the {start.new} end {self.name(start.bad)} does not show {what} in {ends.bad.boots} boots",
                hint="more --boots or --iterations, another --suite or --seed",
            )
        rates = (
            f"{ends.good.seen} of {ends.good.boots} boots there, {ends.bad.seen} of {ends.bad.boots} at the other end"
        )
        if trouble is EndTrouble.GOOD_IS_BAD:
            return _end(
                UsageError.exit_status,
                f"the {start.old} end {self.name(known.good)} shows {what}, too: {rates}",
                hint="give an older --good, or another --signature",
            )
        return _end(NOT_REPRODUCED, f"the ends cannot be told apart by {what}: {rates}", hint="more --boots")

    # The search

    def _culprit(self) -> BisectEnd:
        while True:
            known, graph, search = self.look()
            self._keep_log(known, graph, search)
            test = search.next()
            if test is not None:
                likely = {graph.nodes[place].id: round(share, 4) for place, share in search.posterior.ranking[:SHOWN]}
                target = graph.nodes[test.place].id
                why = "half of the candidates" if search.plain and not search.located else "tells most for its time"
                self._test(
                    target, test.boots, why, graph=graph, likely=likely, ahead=self._ahead(graph, search, test.place)
                )
                continue
            culprits = tuple(graph.nodes[place].id for place in members(search.best))
            if not search.certain or len(culprits) > 1:
                return self._set(known, search, culprits)
            end = self._verified(known, search, culprits[0])
            if end is not None:
                return end

    def _ahead(self, graph: Graph, search: Search, place: int) -> list[str]:
        """What is wanted after the boots of `place`, the more likely answer first."""
        found: list[str] = []
        bad = search.posterior.bad(place) >= 0.5
        for seen in (bad, not bad):
            then = replace(
                search,
                posterior=search.posterior.after(place, Tally(int(seen), int(not seen))),
                built=search.built | 1 << place,
            ).next()
            if then is not None:
                found.append(graph.nodes[then.place].id)
        return found

    def _set(self, known: Known, search: Search, culprits: tuple[str, ...]) -> BisectEnd:
        names = "\n".join(
            f"  {self.name(name)}{': ' + known.skips[name] if name in known.skips else ''}" for name in culprits
        )
        share = search.posterior.of(search.best)
        return _end(
            NOT_REPRODUCED,
            f"the first {known.start.new} commit is one of these, which cannot be told apart ({share:.0%}):\n{names}",
            culprits=culprits,
        )

    # What is booted

    def _test(
        self,
        target: str,
        boots: int,
        why: str,
        *,
        graph: Graph | None = None,
        likely: dict[str, float] | None = None,
        ahead: Sequence[str] = (),
    ) -> bool:
        """Build and boot; False if it cannot be tested, which is then in the log."""
        known = self.known()
        self.log.append(
            BisectTest(
                commit=target, boots=boots, why=why, candidates=len(graph.nodes) if graph else 0, likely=likely or {}
            )
        )
        self.tell(f"test {self.name(target)}: {why}" + self._shares(likely or {}))
        try:
            made = self.hands.build(target)
        except (BuildError, UsageError) as error:
            self._skip(target, f"it does not build: {str(error).splitlines()[0]}")
            return False
        if target not in known.built:
            self.log.append(BisectBuilt(commit=target, key=made.key, seconds=round(made.seconds, 1)))
        self.hands.expect([name for name in ahead if name not in known.built and name != target])
        for boot in self.hands.boot(target, known.numbers(target, boots)):
            self.log.append(boot)
            now = self.known()
            said = now.answers(target)[-1]
            self.tell(f"  boot {boot.number + 1} of {self.name(target)}: {_word(said, boot)}")
        now = self.known()
        if target not in (now.start.bad, now.good, REVERTED) and (unfit := now.unfit(target)):
            self._skip(target, unfit)
            return False
        return True

    def _skip(self, target: str, why: str) -> None:
        self.log.append(BisectSkip(commit=target, why=why))
        self.tell(f"  skip {self.name(target)}: {why}")

    def _shares(self, likely: dict[str, float]) -> str:
        return "".join(f"\n    {share:6.1%}  {self.name(name)}" for name, share in likely.items())

    def name(self, target: str) -> str:
        """For people."""
        commit = next((commit for commit in self.history.commits if commit.id == target), None)
        return commit.name if commit else "the tip without the culprit" if target == REVERTED else target[:12]

    def _keep_log(self, known: Known, graph: Graph, search: Search) -> None:
        write_whole(self.run_dir / LOG, render(known, self.history, graph, search, self.hands.kinship()))

    # Verification

    def _verified(self, known: Known, search: Search, culprit: str) -> BisectEnd | None:
        """The end, with what was checked; None if a boot contradicts, so that the search goes on."""
        commit = next(commit for commit in self.history.commits if commit.id == culprit)
        group = next(group for group in search.posterior.groups if group.mask & search.best)
        rate = mean(BAD, group.bad)
        boots = max(2, math.ceil(math.log(MISSED) / math.log(1 - rate)))
        checks = [self._check(culprit, boots, "the culprit itself", seen=True)]
        parent = commit.parents[0] if commit.parents else ""
        if parent:
            checks.append(self._check(parent, boots, "its parent", seen=False))
        _, graph, now = self.look()
        if now.next() is not None or graph.nodes[next(members(now.best))].id != culprit:
            self.tell("a boot contradicts: the search goes on")
            return None
        try:
            if len(commit.parents) > 1:
                raise PatchError("it is a merge")
            self.hands.revert(culprit)
            checks.append(self._check(REVERTED, boots, "the tip without it", seen=False))
        except PatchError as error:
            checks.append(f"the tip without it: not tested, it cannot be taken out: {str(error).splitlines()[0]}")
        tip = self.known().tally(REVERTED)
        share, wanted = now.posterior.of(now.best), known.wanted.text if known.wanted else ""
        reason = f"{self.name(culprit)} is the first {known.start.new} commit ({share:.1%}), by {wanted}"
        if tip.seen:
            return _end(
                NOT_REPRODUCED,
                f"{reason}; but the tip shows it without this commit, too",
                culprits=(culprit,),
                checks=tuple(checks),
            )
        return _end(0, reason, culprits=(culprit,), checks=tuple(checks))

    def _check(self, target: str, boots: int, what: str, *, seen: bool) -> str:
        """Boot until it is seen if it is to be, else until `boots` were clean or one was not. A sentence."""
        while True:
            known = self.known()
            tally, unfit = known.tally(target), known.unfit(target)
            done = tally.seen > 0 or tally.clean >= boots
            if done or unfit or target in known.skips:
                break
            if not self._test(target, 1 if seen else boots - tally.clean, f"to verify {what}"):
                break
        if not done:
            return f"{what}: not judged: {known.skips.get(target) or self.known().skips.get(target) or unfit}"
        verdict = "as expected" if bool(tally.seen) is seen else "not as expected"
        return f"{what}: shown in {tally.seen} of {tally.boots} boots, {verdict}"


def _end(
    status: int, reason: str, *, hint: str = "", culprits: tuple[str, ...] = (), checks: tuple[str, ...] = ()
) -> BisectEnd:
    return BisectEnd(culprits=culprits, checks=checks, reason=reason, exit=status, hint=hint)


def _word(answer: Answer, boot: BisectBoot) -> str:
    match answer:
        case Answer.SEEN:
            return "bad"
        case Answer.CLEAN:
            return "good"
        case Answer.OTHER:
            return f"another fault: {', '.join(boot.blamed)}"
    return f"not judged: {boot.error}"

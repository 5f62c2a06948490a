# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of each commit, from the log of a bisect; pure, so that resuming is nothing special."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from itertools import count as counting
from typing import Final

from panthorlab.bisect.ends import BothEnds
from panthorlab.bisect.graph import Graph, Node
from panthorlab.bisect.policy import Cost, Search
from panthorlab.bisect.posterior import Posterior, Tally
from panthorlab.kernel.source.commits import Kinship
from panthorlab.run.bisect.symptoms import Answer, WantedFault, answer, choose
from panthorlab.run.record import BisectBoot, BisectBuilt, BisectSignature, BisectSkip, BisectStart, Event

VOID: Final = 3
"""Boots of a commit that the lab failed, after which it is skipped."""


@dataclass(frozen=True)
class Known:
    """The log as far as it was written. `start` is its bisect."""

    start: BisectStart
    boots: Mapping[str, Sequence[BisectBoot]]
    skips: Mapping[str, str]
    built: frozenset[str]
    signature: BisectSignature | None
    seconds: tuple[Sequence[float], Sequence[float]] = field(default=((), ()))

    @classmethod
    def of(cls, events: Iterable[Event]) -> Known:
        start: BisectStart | None = None
        signature: BisectSignature | None = None
        boots: dict[str, list[BisectBoot]] = {}
        skips: dict[str, str] = {}
        built: set[str] = set()
        builds: list[float] = []
        for event in events:
            match event:
                case BisectStart():
                    start = event
                case BisectSignature():
                    signature = event
                case BisectBoot():
                    boots.setdefault(event.commit, []).append(event)
                case BisectSkip():
                    skips[event.commit] = event.why
                case BisectBuilt():
                    built.add(event.commit)
                    builds += [event.seconds] if event.seconds else []
        assert start is not None  # noqa: S101 - the log of a bisect has one
        took = [boot.seconds for rows in boots.values() for boot in rows if boot.seconds]
        return cls(start, boots, skips, frozenset(built), signature, (builds, took))

    @property
    def good(self) -> str:
        """The good end that is booted; others were good in somebody else's eyes, and are believed."""
        return self.start.good[0]

    @cached_property
    def wanted(self) -> WantedFault | None:
        """What is searched for, once that is known."""
        text = self.start.signature or (self.signature.signature if self.signature else "")
        return WantedFault(text) if text else None

    @cached_property
    def choices(self) -> list[str]:
        """What could be searched for, by the boots of both ends."""
        return choose(self.boots.get(self.start.bad, ()), self.boots.get(self.good, ()))

    @cached_property
    def background(self) -> frozenset[str]:
        """What the good end shows: no fault of a commit between."""
        return frozenset(symptom for boot in self.boots.get(self.good, ()) for symptom in boot.symptoms)

    def answers(self, commit: str) -> list[Answer]:
        """Of all boots of a commit. Before a signature is chosen, whatever is blamed may be it."""
        wanted = self.wanted or WantedFault(".+")
        rows = self.boots.get(commit, ())
        if self.wanted is None:
            return [Answer.SEEN if boot.blamed else Answer.LAB if boot.error else Answer.CLEAN for boot in rows]
        return [answer(boot, wanted, self.background) for boot in rows]

    def numbers(self, commit: str, count: int) -> list[int]:
        """Which boots of a commit come next: those first whose like have shown the fault on other commits, most often
        first. A boot's number is its seed, and in exact time the same seed is the same boot, as far as the commits
        between change nothing of its course; where they do, or the host decides, it is as good as any. So is one that
        has shown it at the good end, too: there it says nothing."""
        seen = (number for other in self.boots for number in self._shown(other))
        shown = Counter(number for number in seen if number in self.proven)
        done = {boot.number for boot in self.boots.get(commit, ())}
        known = sorted(shown, key=lambda number: (-shown[number], number))
        order = chain(known, (number for number in counting() if number not in shown))
        return list(islice((number for number in order if number not in done), count))

    def _shown(self, commit: str) -> list[int]:
        rows = zip(self.boots.get(commit, ()), self.answers(commit), strict=True)
        return [boot.number for boot, said in rows if said is Answer.SEEN]

    @cached_property
    def proven(self) -> frozenset[int]:
        """The boots that have shown the fault somewhere, and not at the good end: to be had again elsewhere."""
        return frozenset(number for commit in self.boots for number in self._shown(commit)) - set(
            self._shown(self.good)
        )

    def tally(self, commit: str) -> Tally:
        answers = self.answers(commit)
        return Tally(answers.count(Answer.SEEN), answers.count(Answer.CLEAN))

    @cached_property
    def repeated(self) -> Mapping[str, Tally]:
        """By commit, those of its boots whose like had shown the fault on another one before."""
        found: dict[str, Tally] = {}
        before: dict[int, set[str]] = {}
        for boot, said in self._in_order:
            again = boot.number in self.proven and before.get(boot.number, set()) - {boot.commit}
            if again and said in (Answer.SEEN, Answer.CLEAN):
                one = Tally(int(said is Answer.SEEN), int(said is Answer.CLEAN))
                found[boot.commit] = found.get(boot.commit, Tally()) + one
            if said is Answer.SEEN:
                before.setdefault(boot.number, set()).add(boot.commit)
        return found

    @cached_property
    def _in_order(self) -> list[tuple[BisectBoot, Answer]]:
        rows = [row for commit, boots in self.boots.items() for row in zip(boots, self.answers(commit), strict=True)]
        return sorted(rows, key=lambda row: row[0].time)

    @property
    def repeats(self) -> bool:
        """Whether it matters which boot it is. Not if on one commit some that had shown the fault elsewhere were clean,
        and another was not: there the boots take another course, or chance decides."""
        return not any(
            repeated.clean and self.tally(commit).seen > repeated.seen for commit, repeated in self.repeated.items()
        )

    @property
    def ends(self) -> BothEnds:
        return BothEnds(self.tally(self.start.bad), self.tally(self.good), self.start.limit)

    def unfit(self, commit: str) -> str:
        """Why a commit that was booted cannot be tested; empty if it can."""
        answers = self.answers(commit)
        if Answer.OTHER in answers and Answer.SEEN not in answers:
            boot = self.boots[commit][answers.index(Answer.OTHER)]
            return f"it shows another fault: {', '.join(sorted(set(boot.blamed) - self.background))}"
        if answers.count(Answer.LAB) >= VOID:
            last = [boot for boot, one in zip(self.boots[commit], answers, strict=True) if one is Answer.LAB][-1]
            return f"the lab failed {VOID} boots of it, the last time: {last.error}"
        return ""

    @property
    def cost(self) -> Cost:
        """As measured in this bisect, once it was."""
        default = Cost()
        build, boot = (sum(took) / len(took) if took else 0.0 for took in self.seconds)
        return Cost(build or default.build, boot or default.boot)


def search_of(known: Known, kin: Kinship, weights: Mapping[str, float]) -> tuple[Graph, Search]:
    """The search among the commits that can change the build, with all that boots have said; kernels that are the same
    share their boots."""
    graph = Graph.of(Node(name, parents, weights.get(name, 1.0)) for name, parents in kin.parents.items())
    fresh: dict[int, Tally] = {graph.place[kin.head[known.start.bad]]: Tally()}
    again: dict[int, Tally] = {}
    tried: dict[int, int] = {}
    good = Tally()
    proven, repeated = (known.proven, known.repeated) if known.repeats else (frozenset[int](), {})
    for commit, boots in known.boots.items():
        if commit not in kin.head:
            continue  # the tip without the culprit
        head = kin.head[commit]
        if head in graph.place:
            place, own = graph.place[head], repeated.get(commit, Tally())
            fresh[place] = fresh.get(place, Tally()) + known.tally(commit) - own
            again[place] = again.get(place, Tally()) + own
            tried[place] = tried.get(place, 0) + len(proven & {boot.number for boot in boots})
        elif not head:
            good += known.tally(commit)
    built = skipped = 0
    for commit in known.built:
        if (head := kin.head.get(commit, "")) in graph.place:
            built |= 1 << graph.place[head]
    for commit in known.skips:
        if (head := kin.head.get(commit, "")) in graph.place:
            skipped |= 1 << graph.place[head]
    posterior = Posterior(graph, fresh, good, again)
    return graph, Search(posterior, built, skipped, known.cost, proven=len(proven), tried=tried)

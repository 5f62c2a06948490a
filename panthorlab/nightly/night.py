# SPDX-License-Identifier: GPL-2.0-or-later
"""One night from its beginning to its end: fetch, then every kernel, then what is new in them. Each step is on record
before the next one, and what is on record is not done again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from panthorlab.errors import PanthorlabError
from panthorlab.kernel.increment import has_tree
from panthorlab.nightly import culprit, mirror
from panthorlab.nightly.model import Culprit, KernelNight, Night, NightOutcome, TreeCommit
from panthorlab.nightly.plan import KernelPlan, NightlyPlan
from panthorlab.nightly.record import KernelJudged, KernelPlaced, NightEnd, NightLog, TreeFetched, read_nights
from panthorlab.nightly.state import Nights, NightSoFar, whole
from panthorlab.nightly.work import RUN, TIME_UP, Earlier, KernelWork, told
from panthorlab.run.limits import TimeLimitReached, time_limit
from panthorlab.run.progress import ProgressDisplay

TREES: Final = "trees"
NIGHTS: Final = "nights"
SEARCHED: Final = frozenset({NightOutcome.REGRESSED, NightOutcome.INCONCLUSIVE})


@dataclass(frozen=True)
class OneNight:
    """`name`: of the night, which is on record. `force`: test also what has not changed. `tell`: is given the night as
    it is so far, after each step."""

    plan: NightlyPlan
    log: NightLog
    name: str
    progress: ProgressDisplay
    tell: Callable[[Night], None]
    overlay: Path | None = None
    force: bool = False
    no_jail: bool = False
    quiet: bool = False

    def run(self) -> Night:
        """To its end, which is then on record."""
        kernels = {kernel.name: kernel for kernel in self.plan.kernels}
        turn = [kernels[name] for name in self._now().start.kernels]
        self._fetch()
        for kernel in turn:
            if kernel.name not in self._now().kernels:
                self._record(kernel, self._judge(kernel))
        if self.plan.file.bisect.enabled:
            for kernel in turn:
                self._search(kernel)
        begun = self._now().start.time
        self.log.append(NightEnd(night=self.name, seconds=round(max(0.0, time.time() - begun), 1)))
        return self.so_far()

    def so_far(self) -> Night:
        return whole(self._now(), str(self.folder), time.time())

    @property
    def folder(self) -> Path:
        return self.plan.state / NIGHTS / self.name

    def _nights(self) -> Nights:
        return Nights.of(read_nights(self.plan.state))

    def _now(self) -> NightSoFar:
        return next(night for night in self._nights().nights if night.name == self.name)

    def _left(self) -> float | None:
        """Seconds until the night's time is up; None: as long as it takes."""
        deadline = self._now().start.deadline
        return None if deadline is None else deadline - time.time()

    def _record(self, kernel: KernelPlan, said: KernelNight) -> None:
        self.log.append(KernelJudged(night=self.name, asked=kernel.asked, kernel=said))
        self.progress.line(f"{kernel.name}: {said.standing or said.outcome}, {said.judged} judged, {said.lost} lost")
        self.tell(self.so_far())

    def _mirror(self, tree: str) -> Path:
        return self.plan.state / TREES / f"{tree}.git"

    # The trees

    def _fetch(self) -> None:
        """All branches of this night; those that could not be had are tried again when it goes on."""
        known = {place for place, tip in self._now().tips.items() if tip.commit}
        for tree in self.plan.file.trees:
            branches = [branch for branch in tree.branches if (tree.name, branch) not in known]
            if not branches:
                continue
            url = next(kernel.url for kernel in self.plan.kernels if kernel.tree == tree.name)
            self.progress.step(f"fetch {tree.name}")
            left = self._left()
            tips: dict[str, TreeCommit] = {}
            why = f"{url} has no such branch"
            try:
                if left is not None and left <= 0:
                    why = f"{TIME_UP} before it was fetched"
                else:
                    tips = mirror.fetch(self._mirror(tree.name), url, branches, left)
            except PanthorlabError as error:
                why = told(error)
            for branch in branches:
                tip = tips.get(branch)
                self.log.append(
                    TreeFetched(night=self.name, tree=tree.name, branch=branch, commit=tip, why="" if tip else why)
                )

    # Each kernel

    def _judge(self, kernel: KernelPlan) -> KernelNight:
        tip = self._now().tips[kernel.tree, kernel.branch]
        bare = KernelNight(
            kernel.name, kernel.tree, kernel.branch, kernel.config, kernel.url, NightOutcome.ERROR, tip.commit
        )
        if tip.commit is None:
            return replace(bare, reasons=(tip.why,))
        nights = self._nights()
        same = nights.same(kernel, tip.commit.id, self.name)
        if same is not None and not self.force:
            return _unchanged(bare, same)
        begin = time.monotonic()
        mirror.keep(self._mirror(kernel.tree), tip.commit.id)
        said = self._work(kernel, tip.commit).judge(self._earlier(nights, kernel, tip.commit), self._left())
        return replace(said, seconds=round(time.monotonic() - begin, 1))

    def _work(self, kernel: KernelPlan, commit: TreeCommit) -> KernelWork:
        return KernelWork(
            self.plan,
            kernel,
            self._mirror(kernel.tree),
            commit,
            self.folder / kernel.folder,
            self.progress,
            self.overlay,
            self.no_jail,
            self.quiet,
            lambda tree: self._placed(kernel, commit, tree),
        )

    def _placed(self, kernel: KernelPlan, commit: TreeCommit, tree: str) -> None:
        """The tree stays known to the mirror as long as kernels are built in it."""
        mirror.keep(self._mirror(kernel.tree), tree)
        self.log.append(KernelPlaced(night=self.name, kernel=kernel.name, commit=commit.id, tree=tree))

    def _earlier(self, nights: Nights, kernel: KernelPlan, commit: TreeCommit) -> Earlier:
        rates = [own.kernel.known for own in nights.judged(kernel.name, self.name)]
        place = nights.placed(kernel.name)
        tree = place.tree if place else ""
        own = Earlier(measured=rates, tree=tree, built=nights.built(kernel.name, tree) if tree else "")
        good = nights.good(kernel.name, self.name, lambda then: then.commit != commit and self._is_there(then))
        if good is None:
            return own
        run = Path(good.kernel.directory) / RUN
        return replace(own, night=good.night, commit=good.kernel.commit, run=run, otherwise=good.asked != kernel.asked)

    def _is_there(self, kernel: KernelNight) -> bool:
        """A night whose run was deleted can be compared with nothing."""
        return (Path(kernel.directory) / RUN / "events.jsonl").is_file()

    # What is new

    def _search(self, kernel: KernelPlan) -> None:
        """Bisect what is new, as far as the time goes; each result is on record before the next search."""
        own = self._now().kernels[kernel.name].kernel
        if (own.standing or own.outcome) not in SEARCHED or own.commit is None or own.good is None:
            return
        if inherited := self._inherited(kernel, own, own.commit):
            own = _with(own, [*inherited, *own.culprits])
            self._record(kernel, own)
        begun = {one.signature: one for one in own.culprits if not one.ended}
        done = [one for one in own.culprits if one.ended]
        while symptoms := culprit.wanted(own.new, done):
            done.append(self._culprit(kernel, own, symptoms[0], begun.pop(symptoms[0], None)))
            own = _with(own, [*done, *begun.values()])
            self._record(kernel, own)

    def _inherited(self, kernel: KernelPlan, own: KernelNight, tip: TreeCommit) -> list[Culprit]:
        """What earlier nights found for what is still new, if this branch has those commits still."""
        earlier = [event.kernel for event in self._nights().told(kernel.name, self.name)]
        tree = self._mirror(kernel.tree)
        return [
            one
            for one in culprit.inherited(own, earlier)
            if one not in own.culprits and mirror.has(tree, tip.id, one.commits[0].id)
        ]

    def _culprit(self, kernel: KernelPlan, own: KernelNight, symptom: str, begun: Culprit | None) -> Culprit:
        """`begun`: a search for the same that has not ended."""
        assert own.commit is not None  # noqa: S101 - `_search` has seen to both
        assert own.good is not None  # noqa: S101
        tree, left = self._mirror(kernel.tree), self._left()
        good = mirror.good_end(tree, own.good.id, own.commit.id)
        if good is None:
            why = f"not searched: {own.good.short}, the last good commit, leads to no commit of this branch"
            return Culprit(symptom, (), False, why, night=self.name)
        there = begun.directory if begun else ""
        directory = Path(there) if there else self._free(kernel)
        if left is not None and left <= 0:
            return Culprit(symptom, (), False, culprit.OUT_OF_TIME, directory=there, night=self.name, ended=False)
        self.progress.line(f"{kernel.name}: bisect {symptom}")
        try:
            with time_limit(left):
                return culprit.search(
                    self.plan,
                    kernel,
                    tree=tree,
                    near=self._near(kernel),
                    ends=(good, own.commit.id),
                    signature=symptom,
                    night=self.name,
                    directory=directory,
                    overlay=self.overlay,
                    no_jail=self.no_jail,
                    quiet=self.quiet,
                )
        except TimeLimitReached:
            return Culprit(
                symptom, (), False, culprit.OUT_OF_TIME, directory=str(directory), night=self.name, ended=False
            )

    def _near(self, kernel: KernelPlan) -> str:
        """The commit in whose private tree a bisect finds the most built; empty if there is no such tree."""
        place = self._nights().placed(kernel.name)
        return place.tree if place and has_tree(self._mirror(kernel.tree), place.tree) else ""

    def _free(self, kernel: KernelPlan) -> Path:
        """The directory of the next bisect; that of one which was killed before it had a result is taken again."""
        used = {one.directory for one in self._now().kernels[kernel.name].kernel.culprits}
        number = 1
        while str(path := self.folder / kernel.folder / f"bisect-{number}") in used:
            number += 1
        return path


def _unchanged(bare: KernelNight, same: KernelJudged) -> KernelNight:
    """As an earlier night left it: that which tested this commit, or one that had not to, either."""
    then = same.kernel
    standing = then.standing or then.outcome
    since = f"nothing has changed since the night {same.night}, which found it {standing}"
    return replace(
        then,
        outcome=NightOutcome.UNCHANGED,
        standing=standing,
        reasons=then.reasons if then.standing else (since,),
        url=bare.url,
        attempted=0,
        judged=0,
        lost=0,
        passes=(),
        seconds=0.0,
    )


def _with(own: KernelNight, culprits: list[Culprit]) -> KernelNight:
    """What was too seldom to blame the kernel is blamed on it when a bisect has found where it came from."""
    doubt, blamed = NightOutcome.INCONCLUSIVE, NightOutcome.REGRESSED
    own = replace(own, culprits=tuple(culprits))
    if not any(one.verified for one in culprits):
        return own
    return replace(
        own,
        outcome=blamed if own.outcome is doubt else own.outcome,
        standing=blamed if own.standing is doubt else own.standing,
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""Which revision of a git tree a series is tried on, where the user has named the tree and no revision of it.

Its `base-commit` if the tree has that commit and the series applies there; else the tree as it is; else the newest
revision to which the series applies: of the checked-out history, then of the other branches and tags. The files that a
patch names change rarely, so only the commits that touch them make a difference, and only the newest are tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from panthorlab.errors import LabError, PatchError
from panthorlab.kernel.driver import ReadFile
from panthorlab.kernel.patch.apply import apply_all
from panthorlab.kernel.patch.mails import PatchText
from panthorlab.kernel.patch.report import UnfitError
from panthorlab.kernel.patch.series import Intake
from panthorlab.kernel.source.git import View, git, is_bare, reading
from panthorlab.kernel.source.localsource import reader

MAX_REVISIONS = 100
"""Of the history, and as many tips of other branches and tags."""
HISTORY_SECONDS = 120.0


@dataclass(frozen=True)
class BaseChoice:
    """`spec`: the base to take. `notes`: why, in a sentence; none if the user has left no choice."""

    spec: str | None
    notes: tuple[str, ...] = ()


def choose_base(spec: str | None, intake: Intake) -> BaseChoice:
    """Where `intake` is to be applied, if `spec` is a git tree without a revision; else `spec`. Only reads."""
    path = Path(spec).expanduser() if spec else None
    if path is None or not path.is_dir() or not ((path / ".git").exists() or is_bare(path)) or not intake.patches:
        return BaseChoice(spec)
    path = path.resolve()
    commits = {series.facts.base_commit for series in intake.series if series.facts.base_commit}
    with reading(path) as view:
        chooser = _Chooser(view, path, intake.patches)
        named = chooser.commit(commits.pop()) if len(commits) == 1 else None
        return chooser.choose(spec or "", named)


@dataclass(frozen=True)
class _Chooser:
    view: View
    path: Path
    patches: Sequence[PatchText]

    def choose(self, spec: str, named: str | None) -> BaseChoice:
        bare, head = is_bare(self.path), self.commit("HEAD")
        note: tuple[str, ...] = ()
        if named is not None and self._unfit(partial(self.view.show, named)) is None:
            if named == head and not bare:
                return BaseChoice(spec)  # with what is not committed, as the user has it
            away = "" if bare or not self._dirty() else "; what is not committed in it is left out"
            return BaseChoice(f"{self.path}@{named}", (f"the base is the series' own base-commit {named[:12]}{away}",))
        if named is not None:
            note = (f"the series does not apply to its own base-commit {named[:12]}: does it need others first?",)
        why = self._unfit(partial(self.view.show, head or "") if bare else reader(self.path))
        if why is None:
            return BaseChoice(f"{self.path}@{head}" if bare else spec, note)
        files = sorted({file for report in why.reports for file in report.files}) if isinstance(why, UnfitError) else []
        tried = 0
        for commit, where in self._candidates(head, files):
            tried += 1
            if self._unfit(partial(self.view.show, commit)) is None:
                found = f"the base is commit {commit[:12]}, the newest {where} to which the series applies"
                return BaseChoice(f"{self.path}@{commit}", (*note, f"{found} ({tried} tried)"))
        lacking = f"of the tree's history, branches and tags no other revision fits either ({tried} tried)"
        return BaseChoice(f"{self.path}@{head}" if bare else spec, (*note, *([lacking] if tried else [])))

    def commit(self, name: str) -> str | None:
        """The id of a commit that the repository has."""
        try:
            words = self.view.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").split()
        except LabError:
            return None
        return words[-1].decode() if words else None

    def _unfit(self, read: ReadFile) -> PatchError | None:
        try:
            apply_all(self.patches, read, "")
        except PatchError as error:
            return error
        return None

    def _dirty(self) -> bool:
        return bool(self.view.git("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all").strip())

    def _candidates(self, head: str | None, files: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Commits, newest first, and what they are. The files are the same from one commit that changes them to the
        next, so of the history only the commits in front of these are worth trying."""
        if head and files:
            log = ("rev-list", f"--max-count={MAX_REVISIONS}", head, "--", *files)
            for changed in self.view.git(*log, timeout=HISTORY_SECONDS).decode().split():
                if commit := self.commit(f"{changed}^"):
                    yield commit, "of its history"
        refs = ("for-each-ref", "--sort=-creatordate", f"--count={MAX_REVISIONS}", "--format=%(objectname)")
        names = git(self.path, *refs, "refs/heads", "refs/remotes", "refs/tags").decode().split()
        for commit in dict.fromkeys(filter(None, map(self.commit, names))):
            if files and commit != head:
                yield commit, "tip of its branches and tags"

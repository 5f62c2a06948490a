# SPDX-License-Identifier: GPL-2.0-or-later
"""The commit that a series says it was made for (`base-commit:`), compared with the base it is tried on."""

from __future__ import annotations

from pathlib import Path

from panthorlab.kernel.patch.series import Intake
from panthorlab.kernel.source.git import git, is_bare


def repository_of(base_spec: str | None) -> Path | None:
    """The git tree on disk that a base is or comes from."""
    for name in (base_spec or "", (base_spec or "").partition("@")[0], (base_spec or "").rpartition("@")[0]):
        path = Path(name).expanduser()
        if name and ((path / ".git").exists() or is_bare(path)):
            return path.resolve()
    return None


def series_notes(intake: Intake, base_spec: str | None, key: str, title: str) -> list[str]:
    """Notes on the selection of patches, and on how the base of key `key` compares with each series' base-commit."""
    notes = [*intake.notes]
    for series in intake.series:
        if (commit := series.facts.base_commit) and (note := _base_note(commit, base_spec, key, title)):
            notes.append(f"“{series.title}”: {note}")
        if needed := series.facts.prerequisites:
            more = f" and {len(needed) - 3} more" if len(needed) > 3 else ""
            notes.append(
                f"“{series.title}” says that it needs others first: {', '.join(needed[:3])}{more}; whether "
                f"they are in {title} is not known"
            )
    return notes


def _base_note(commit: str, base_spec: str | None, key: str, title: str) -> str | None:
    made = f"made for base-commit {commit[:12]}"
    repository = repository_of(base_spec)
    if repository is None:
        return f"{made}; whether {title} is that cannot be told from it"
    found = git(repository, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}", ok=(0, 1, 128)).decode().strip()
    if not found:
        return f"{made}, which {repository} does not have"
    tree = git(repository, "rev-parse", "--verify", "--quiet", f"{found}^{{tree}}", ok=(0, 1, 128)).decode().strip()
    if key == f"git-{tree}":
        return None
    revision = _revision(base_spec or "", repository)
    range_ = f"{found}...{revision}"
    count = git(repository, "rev-list", "--left-right", "--count", "--end-of-options", range_, "--", ok=(0, 128))
    behind, ahead = (count.decode().split() or ["?", "?"])[:2]
    if behind == "0" and ahead == "0":
        return f"{made}; the base is that with uncommitted changes"
    return f"{made}; the base has {ahead} commits more and {behind} fewer"


def _revision(base_spec: str, repository: Path) -> str:
    name = str(repository)
    for place in (index for index, char in enumerate(base_spec) if char == "@"):
        if str(Path(base_spec[:place]).expanduser().resolve()) == name and base_spec[place + 1 :]:
            return base_spec[place + 1 :]
    return "HEAD"

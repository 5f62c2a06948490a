# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab bisect-step`: the script of `git bisect run`, in whose words the exit status is: 0 good, 1 bad, 125 for
all that cannot be judged, a bug of panthorlab's too. 1 is only for a fault that a booted kernel has shown.

Every commit is built as an increment of the one that the bisect began with: only the first build is a whole one.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from panthorlab.errors import LabError, PanthorlabError, UsageError
from panthorlab.kernel.build import steps
from panthorlab.kernel.increment import prepare_changes
from panthorlab.kernel.jail.sandbox import sandbox
from panthorlab.kernel.job import build_side, prepare_kernel
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.source.commits import TreeChanges, changes_to
from panthorlab.kernel.source.git import git, is_repository, resolve_commit, top_level
from panthorlab.kernel.source.localsource import RevisionSource, directory_source
from panthorlab.run import fleet
from panthorlab.run.bisect.gitlog import parse
from panthorlab.run.bisect.symptoms import Answer, WantedFault, answer, observe
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import BisectBoot, BootStart, Event
from panthorlab.run.record.log import RUNS, new_run_dir, read_events, run_name
from panthorlab.run.single import run_suites

GOOD: Final = 0
BAD: Final = 1
SKIP: Final = 125


def main(options: argparse.Namespace) -> int:
    """Raises what cannot be judged; `cli` makes 125 of it."""
    if options.signature:
        WantedFault.checked(options.signature)
    tree = top_level(options.tree.resolve()) if is_repository(options.tree) else None
    if tree is None:
        raise UsageError(f"{options.tree} is no git work tree", hint="`git bisect run` starts it in one")
    progress = ProgressDisplay(quiet=options.quiet)
    # git gives every commit the same options
    run_dir = new_run_dir((options.output or RUNS) / run_name())
    try:
        kernel = _build(tree, options, run_dir, progress)
        own = argparse.Namespace(**{**vars(options), "kernel": kernel.key, "output": run_dir / "boots"})
        events = read_events(run_suites(own, ()))
    except PanthorlabError as error:
        progress.line(f"125, cannot be judged: {error}")
        raise
    finally:
        progress.finish()
    status, why = verdict(events, options.signature)
    progress.line(f"{status}: {why}")
    return status


def verdict(events: list[Event], signature: str) -> tuple[int, str]:
    """Of all boots: bad if one shows the fault, good if all are clean."""
    slots = dict.fromkeys(event.slot for event in events if isinstance(event, BootStart))
    seen = [observe(events, slot) for slot in slots]
    boots = [
        BisectBoot(commit="", number=number, symptoms=tuple(one.symptoms), blamed=tuple(one.blamed), error=one.error)
        for number, one in enumerate(seen)
    ]
    if signature:
        answers = [answer(boot, WantedFault(signature), ()) for boot in boots]
    else:
        answers = [Answer.SEEN if boot.blamed else Answer.LAB if boot.error else Answer.CLEAN for boot in boots]
    if Answer.SEEN in answers:
        return BAD, f"bad: the fault came in {answers.count(Answer.SEEN)} of {len(answers)} boots"
    if Answer.OTHER in answers:
        boot = boots[answers.index(Answer.OTHER)]
        return SKIP, f"another fault: {', '.join(sorted(boot.blamed))}"
    if not boots or Answer.LAB in answers:
        return SKIP, f"cannot be judged: {next((boot.error for boot in boots if boot.error), 'nothing was booted')}"
    return GOOD, f"good: clean in {len(answers)} boots"


def _build(tree: Path, options: argparse.Namespace, run_dir: Path, progress: ProgressDisplay) -> Kernel:
    fragments = fleet.fragments_of(fleet.named(options), options.config)
    sandbox()
    source = directory_source(tree)
    if not isinstance(source, RevisionSource) or not source.commit:
        raise UsageError(f"{tree} has no commit", hint="`git bisect run` checks one out")
    base = _base(tree, source.commit)
    changes = changes_to(tree, base, source.commit)
    if changes is None:
        plan = prepare_kernel(str(tree), (), fragments=fragments, progress=progress.step)
    else:
        laid_over: Mapping[str, bytes | None] = {
            path: (tree / path).read_bytes() if digest is not None else None for path, digest in source.dirty
        }
        plan = prepare_changes(
            f"{tree}@{base}",
            TreeChanges({**changes.content, **laid_over}, changes.executable),
            title=source.title,
            fragments=fragments,
            progress=progress.step,
        )
    if steps.objects_of(plan).is_dir():
        progress.line(f"an increment of {base[:12]}")
    return build_side(plan, log=run_dir / "build.log", progress=progress.step, note=progress.line)


def _base(tree: Path, commit: str) -> str:
    """The first good commit of the bisect, which stays the same in all its steps; outside of one, this commit."""
    path = Path(git(tree, "rev-parse", "--path-format=absolute", "--git-path", "BISECT_LOG").decode().strip())
    if not path.is_file():
        return commit
    try:
        log = parse(path.read_text(errors="replace"), str(path))
        first = [*log.good, log.bad]
        return next((resolve_commit(tree, name, "commit") for name in first if name), commit)
    except UsageError as error:
        raise LabError(f"the log of `git bisect` cannot be read: {error}", hint="git bisect log") from error

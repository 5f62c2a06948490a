# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab build --each-commit`: every commit of a series built, and what a reviewer finds in it without a boot."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from panthorlab.errors import BuildError, LabError, UsageError
from panthorlab.kernel.build import attempts
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.build.steps import objects_of
from panthorlab.kernel.build.warnings import WarningMeter
from panthorlab.kernel.jail import inside
from panthorlab.kernel.job import Commits, build_side, prepare_commits
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.patch.basecommit import repository_of
from panthorlab.kernel.review.checkpatch import check_style
from panthorlab.kernel.review.fixes import check_fixes
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.suggest import suggested
from panthorlab.text import readable


class CommitJson(TypedDict):
    """A commit as `--json` has it. `built`: the store key, or null. `warnings`: that it adds at W=1."""

    title: str
    built: str | None
    error: str | None
    seconds: float
    files: list[str]
    suites: list[str]
    warnings: list[str]
    warnings_unknown: list[str]
    checkpatch: list[str]
    fixes: list[str]
    notes: list[str]


@dataclass
class _Timed:
    """`build`: seconds of all builds; `rest`: of what is looked at beside."""

    build: float = 0.0
    rest: float = 0.0


def main(options: argparse.Namespace, fragments: Sequence[str], log: Path, progress: ProgressDisplay) -> int:
    """Build every commit, and show what each brings. 1: one does not build; warnings and style change no status."""
    if options.revert or options.swap or not options.patch:
        raise UsageError("--each-commit is for the patches of a series", hint="name one; leave out --revert and --swap")
    commits = prepare_commits(
        options.base, options.patch, fragments=fragments, version=options.patch_version, progress=progress.step
    )
    timed = _Timed()
    found = list(_each(commits, log, progress, timed))
    progress.finish()
    if options.json:
        seconds = {"builds": round(timed.build, 1), "checks": round(timed.rest, 1)}
        print(
            json.dumps(
                {"base": commits.base.title, "commits": found, "notes": commits.notes, "seconds": seconds}, indent=1
            )
        )
    else:
        print(readable("\n".join(_lines(commits, found, timed))))
    return 1 if any(commit["error"] for commit in found) else 0


def _each(commits: Commits, log: Path, progress: ProgressDisplay, timed: _Timed) -> Iterator[CommitJson]:
    began = time.monotonic()
    styles = check_style(commits.patches, commits.read)
    timed.rest += time.monotonic() - began
    began = time.monotonic()
    try:
        _build(commits.base, None, log, progress)
    except BuildError as error:
        raise LabError(f"the base itself does not build: {error}", hint=error.hint or f"see {log}") from error
    timed.build += time.monotonic() - began
    meter, good = WarningMeter(commits.base, progress.step), commits.base
    for patch, plan, style in zip(commits.patches, commits.plans, styles, strict=True):
        files = list(plan.reports[-1].files)
        commit: CommitJson = {
            "title": patch.title,
            "built": None,
            "error": None,
            "seconds": 0.0,
            "files": files,
            "suites": list(suggested(files)),
            "warnings": [],
            "warnings_unknown": [],
            "checkpatch": list(map(str, style)),
            "fixes": [],
            "notes": [],
        }
        commit["fixes"], commit["notes"] = _fixes(patch.message, commits)
        began = time.monotonic()
        meter.before(plan)
        timed.rest += time.monotonic() - began
        began = time.monotonic()
        try:
            commit["built"] = _build(plan, good, log, progress).key
        except BuildError as error:
            commit["error"] = str(error)
        commit["seconds"] = round(time.monotonic() - began, 1)
        timed.build += commit["seconds"]
        if commit["error"] is None:
            began = time.monotonic()
            commit["warnings"] = list(map(str, meter.after(plan)))
            commit["warnings_unknown"] = list(meter.uncompiled)
            good = plan
            timed.rest += time.monotonic() - began
        yield commit


def _build(plan: SidePlan, before: SidePlan | None, log: Path, progress: ProgressDisplay) -> Kernel:
    """The kernel of a commit; built again if the store has it, but the objects that warnings are told from are gone."""
    if inside.read(objects_of(plan), "include/config/auto.conf", 1) is None:
        return attempts.build(plan, log=log, progress=progress.step, note=progress.line, before=before, again=True)
    return build_side(plan, log=log, progress=progress.step, note=progress.line, before=before)


def _fixes(message: str, commits: Commits) -> tuple[list[str], list[str]]:
    """What is wrong with the commit's `Fixes:` tags; and notes on what cannot be told."""
    repository, base = repository_of(commits.base_spec), commits.base.base.commit
    tags = check_fixes(message, repository if base else None, base)
    return [f"Fixes: {tag.value}: {tag.problem}" for tag in tags if tag.problem], [
        f"Fixes: {tag.value}: not checked: {tag.unknown}" for tag in tags if tag.unknown
    ]


def _lines(commits: Commits, found: Sequence[CommitJson], timed: _Timed) -> Iterator[str]:
    yield f"base  {commits.base.title} ({commits.base.base.title})"
    for number, commit in enumerate(found, 1):
        state = f"builds ({commit['built'][:12]})" if commit["built"] else "does not build"
        yield f"{number}/{len(found)}  {commit['title']}: {state}"
        yield from (f"  {line}" for line in (commit["error"] or "").splitlines())
        yield f"  files       {', '.join(commit['files'])}"
        yield f"  suites      {', '.join(commit['suites']) or 'none notices these files'}"
        if commit["built"]:
            yield from _part("warnings", commit["warnings"], "none added at W=1")
        if commit["warnings_unknown"]:
            yield f"  warnings    unknown, as not compiled here: {', '.join(commit['warnings_unknown'])}"
        yield from _part("checkpatch", commit["checkpatch"], "nothing found")
        yield from _part("tags", commit["fixes"], "")
        yield from (f"  note        {note}" for note in commit["notes"])
    yield from (f"note  {note}" for note in commits.notes)
    yield f"time  {timed.build:.0f} s of builds, {timed.rest:.0f} s of checks beside"


def _part(name: str, lines: Sequence[str], nothing: str) -> Iterator[str]:
    if lines or nothing:
        yield f"  {name:11} {lines[0] if lines else nothing}"
    yield from (f"              {line}" for line in lines[1:])

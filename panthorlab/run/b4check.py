# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab b4-check`: the check that b4 calls for every patch of a series, or for its cover letter.

b4 gives one mail on standard input, in the top directory of the maintainer's tree, and wants a JSON array
(`b4.review-perpatch-check-cmd`, `b4.review-series-check-cmd`) or lines (`b4.prep-perpatch-check-cmd`,
`b4.am-perpatch-check-cmd`). Nothing is built or booted unless `--validate` is given: what can be told at once is told,
and the verdict of a run of the same patches, if there is one.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypedDict

from panthorlab.errors import LabError, PanthorlabError, PatchError, UsageError
from panthorlab.files import MACHINE
from panthorlab.kernel.driver import ReadFile
from panthorlab.kernel.patch.apply import apply_all
from panthorlab.kernel.patch.basechoice import choose_base
from panthorlab.kernel.patch.basecommit import repository_of
from panthorlab.kernel.patch.files import bounded
from panthorlab.kernel.patch.gitrange import read_range
from panthorlab.kernel.patch.mails import Mail, PatchText, read_mails
from panthorlab.kernel.patch.report import Fit, UnfitError
from panthorlab.kernel.patch.series import Intake, Series
from panthorlab.kernel.review.checkpatch import check_style
from panthorlab.kernel.review.fixes import check_fixes
from panthorlab.kernel.source import trees
from panthorlab.kernel.source.git import git
from panthorlab.kernel.source.spec import resolve
from panthorlab.run.onrecord import runs_of
from panthorlab.run.suggest import suggested
from panthorlab.text import readable

Status = Literal["pass", "warn", "fail"]
TRACKING: Final = "B4_TRACKING_FILE"
_VERDICTS: Final[dict[int, Status]] = {0: "pass", 1: "fail"}


class ResultJson(TypedDict):
    """A result as b4 wants it."""

    tool: str
    status: Status
    summary: str
    url: str
    details: str


@dataclass(frozen=True)
class Checked:
    """What is to be checked. `base`: where it is to be applied; `named`: how `validate` is told the patches. `alone`:
    parts of its series that come before it are not known."""

    patches: tuple[PatchText, ...]
    base: str | None
    named: str
    facts_of: Mail
    alone: bool = False


def main(options: argparse.Namespace) -> int:
    """Check the mail on standard input. Always prints results. 1: one of them is a `fail`; 2, 4: not checked."""
    status = 0
    try:
        if options.arguments and not options.validate:
            raise UsageError("options behind -- are for --validate", hint="give --validate, or leave them out")
        results = _check(options, _mail())
    except PanthorlabError as error:
        status = error.exit_status
        results = [_result("panthorlab", "fail", f"could not be checked: {error}", details=error.hint or "")]
    except OSError as error:
        if error.errno not in MACHINE:
            raise
        status = LabError.exit_status
        results = [_result("panthorlab", "fail", f"could not be checked: {error}", details="see to this machine")]
    if options.lines:
        for one in results:
            if one["status"] != "pass":
                word = "ERROR" if one["status"] == "fail" else "WARNING"
                lines = [one["summary"], *one["details"].splitlines()]
                print("\n".join(f"{word}: {one['tool']}: {line}" for line in lines if line.strip()))
    else:
        print(json.dumps(results, indent=1))
    return status or int(any(one["status"] == "fail" for one in results))


def _mail() -> bytes:
    """What is on standard input. Raises UsageError if nothing can be."""
    try:
        if sys.stdin is None:
            raise OSError(errno.EBADF, "it is closed")
        return bounded(sys.stdin.buffer, "standard input")
    except OSError as error:
        raise UsageError(f"standard input: {error.strerror}", hint="b4 gives the mail there") from error


def _result(tool: str, status: Status, summary: str, *, url: str = "", details: str = "") -> ResultJson:
    line = " ".join(readable(summary).split())
    return {"tool": tool, "status": status, "summary": line, "url": url, "details": readable(details)}


def _check(options: argparse.Namespace, data: bytes) -> list[ResultJson]:
    mails = [mail for mail in read_mails(data, "the mail") if mail.patch or mail.subject.number == 0]
    if not mails:
        return []  # nothing to report of a mail that has no patch
    subject = _subject(options, mails[0])
    if subject is None:
        text = "only the cover letter is known: `b4 review` makes a branch of the series first"
        return [_result("panthorlab", "warn", text)]
    intake = Intake((Series(subject.patches, facts=subject.facts_of.facts),))
    choice = choose_base(subject.base, intake)
    base, read = trees.look(resolve(choice.spec, look=True))
    fit = _fit(subject, base.title, read, choice.notes)
    repository = repository_of(choice.spec)
    results = [fit, _style(check_style(subject.patches, read))]
    results += _tags(subject.patches, repository, base.commit)
    return [*results, _run(options, subject, choice.spec, data, runnable=fit["status"] != "fail" and not subject.alone)]


def _subject(options: argparse.Namespace, mail: Mail) -> Checked | None:
    here = options.base or ("." if repository_of(".") else None)
    branch = _review_branch()
    number = mail.subject.number or 0
    if mail.patch is None:
        if branch is None:
            return None
        first, tip = branch
        series = read_range(f"{first}^..{tip}", Path.cwd())
        return Checked(series.patches, f".@{first}^", f"{first}^..{tip}", mail)
    before = _before(mail, branch) if number > 1 and branch and not options.base else None
    base = f".@{before}" if before else here
    return Checked((mail.patch,), base, "-", mail, alone=number > 1 and before is None)


def _review_branch() -> tuple[str, str] | None:
    """The first and the last commit of the series, if b4 tells which review it is and has a branch for it here."""
    try:
        series = json.loads(Path(os.environ[TRACKING]).read_bytes())["series"]
        first, name = str(series["first-patch-commit"]), f"refs/heads/b4/review/{series['change-id']}"
    except (KeyError, TypeError, ValueError, OSError):
        return None
    argv = ("rev-parse", "--verify", "--quiet", "--end-of-options")
    ids = [
        git(Path.cwd(), *argv, f"{each}^{{commit}}", ok=(0, 1, 128)).decode().split()[-1:]
        for each in (first, f"{name}~1")
    ]
    return (ids[0][0], ids[1][0]) if all(ids) else None  # the tip itself is b4's own record


def _before(mail: Mail, branch: tuple[str, str]) -> str | None:
    """The commit in front of the one that b4 has made of `mail`."""
    log = git(Path.cwd(), "rev-list", "--reverse", f"{branch[0]}^..{branch[1]}").decode().split()
    patches = read_range(f"{branch[0]}^..{branch[1]}", Path.cwd()).patches
    if len(log) != len(patches):
        return None
    return next((f"{commit}^" for commit, patch in zip(log, patches, strict=True) if patch.title == mail.title), None)


def _fit(subject: Checked, title: str, read: ReadFile, notes: Sequence[str]) -> ResultJson:
    say = partial(_result, "panthorlab-fit")
    told = "\n".join(notes)
    try:
        reports, _ = apply_all(subject.patches, read, title)
    except UnfitError as error:
        if subject.alone:
            return say("warn", f"does not apply to {title} without the patches before it", details=f"{error}\n{told}")
        return say("fail", f"does not apply to {title}", details=f"{error}\n{told}")
    inexact = [report.summary for report in reports if report.fit is not Fit.APPLIES]
    if inexact:
        return say("warn", f"applies to {title}, but not exactly", details="\n".join([*inexact, *notes]))
    return say("pass", f"applies to {title}", details=told)


def _style(found: Sequence[Sequence[object]]) -> ResultJson:
    lines = [str(finding) for findings in found for finding in findings]
    errors = sum(": ERROR:" in line for line in lines)
    status: Status = "fail" if errors else "warn" if lines else "pass"
    summary = f"{errors} errors, {len(lines) - errors} warnings and checks" if lines else "checkpatch.pl finds nothing"
    return _result("panthorlab-style", status, summary, details="\n".join(lines))


def _tags(patches: Sequence[PatchText], repository: Path | None, base: str) -> list[ResultJson]:
    tags = [tag for patch in patches for tag in check_fixes(patch.message, repository if base else None, base)]
    if not tags:
        return []
    wrong = [f"Fixes: {tag.value}: {tag.problem}" for tag in tags if tag.problem]
    unknown = [f"Fixes: {tag.value}: not checked: {tag.unknown}" for tag in tags if tag.unknown]
    status: Status = "fail" if wrong else "warn" if unknown else "pass"
    summary = (wrong or unknown or ["the commits that it fixes are in the history"])[0]
    return [_result("panthorlab-fixes", status, summary, details="\n".join([*wrong, *unknown]))]


def _run(options: argparse.Namespace, subject: Checked, base: str | None, data: bytes, *, runnable: bool) -> ResultJson:
    """The verdict of a run of these patches: of a new one with `--validate`, else the newest on record."""
    say = partial(_result, "panthorlab-run")
    if options.validate and runnable:
        return _validate(options, subject, base, data)
    runs = runs_of(subject.patches, options.runs)
    if not runs:
        files = {line[6:] for patch in subject.patches for line in patch.text.split("\n") if line.startswith("+++ b/")}
        suites = ", ".join(suggested(sorted(files))) or "none: no GPU's driver notices these files"
        return say("warn", "not validated yet", details=f"suites that exercise these files: {suites}")
    newest = runs[0]
    status = _VERDICTS.get(newest.exit, "warn")
    part = "" if newest.whole else " (as part of a series)"
    older = [f"earlier: {run.verdict}, {run.run}" for run in runs[1:5]]
    return say(
        status,
        f"{newest.verdict}{part}",
        url=(newest.run / "report.html").as_uri(),
        details="\n".join([*newest.reasons, str(newest.run), *older]),
    )


def _validate(options: argparse.Namespace, subject: Checked, base: str | None, data: bytes) -> ResultJson:
    with tempfile.TemporaryDirectory(prefix="panthorlab-b4-check-") as folder:
        name = subject.named
        if name == "-":
            Path(folder, "patch.eml").write_bytes(_without_place(subject, data))
            name = str(Path(folder, "patch.eml"))
        argv = [sys.executable, "-m", "panthorlab", "validate", name, "--json", "--quiet"]
        argv += [*(["--base", base] if base else []), *options.arguments]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    try:
        told = json.loads(done.stdout)
        verdict, run = told["verdict"], told.get("run")
    except (ValueError, KeyError, TypeError):
        raise LabError(f"validate gave no result: {done.stderr.decode(errors='replace')[-500:]}") from None
    if verdict is None or run is None:
        raise PatchError(f"validate refused: {told.get('error')}", hint=told.get("hint"))
    details = "\n".join([*map(str, told.get("reasons", [])), str(run)])
    url = Path(run, "report.html").as_uri()
    return _result("panthorlab-run", _VERDICTS.get(done.returncode, "warn"), str(verdict), url=url, details=details)


def _without_place(subject: Checked, data: bytes) -> bytes:
    """One part of a series, so that it is not taken for a series with parts missing: its diff without the headers."""
    if subject.facts_of.subject.number is None:
        return data
    return "".join(patch.text for patch in subject.patches).encode("latin-1")

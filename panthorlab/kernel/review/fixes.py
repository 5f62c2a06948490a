# SPDX-License-Identifier: GPL-2.0-or-later
"""`Fixes:` tags: whether the commit exists, is called so, and is an ancestor of the base
(Documentation/process/submitting-patches.rst)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from panthorlab.errors import LabError
from panthorlab.kernel.patch.subject import printable
from panthorlab.kernel.source.git import git, reading

_TAG = re.compile(r"^Fixes:[ \t]*(?P<value>.*)$", re.MULTILINE | re.IGNORECASE)
_VALUE = re.compile(r"^(?:commit )?(?P<id>[0-9a-f]{7,64})\b\s*(?:\(\"(?P<title>.*)\"\))?", re.IGNORECASE)
_ADVISED = 12


@dataclass(frozen=True)
class FixesTag:
    """`problem`: what is wrong with it; empty if it is right. `unknown`: the repository cannot tell."""

    value: str
    problem: str = ""
    unknown: str = ""


def check_fixes(message: str, repository: Path | None, base: str) -> list[FixesTag]:
    """The tags of a commit message. `repository`: a git tree with the history; `base`: the commit it is applied to."""
    return list(_check(message, repository, base))


def _check(message: str, repository: Path | None, base: str) -> Iterator[FixesTag]:
    for match in _TAG.finditer(message):
        value = printable(match["value"].strip())
        form = _VALUE.match(value)
        if form is None:
            if not value.startswith(("http://", "https://")):
                yield FixesTag(value, problem='it is not of the form `Fixes: 0123456789ab ("title")`')
            continue
        if len(form["id"]) < _ADVISED or form["title"] is None:
            yield FixesTag(value, problem=f'it needs {_ADVISED} digits of the commit and its title in ("…")')
            continue
        if repository is None:
            yield FixesTag(value, unknown="the base is no git tree, so its history is not known")
            continue
        yield _in_history(value, form["id"], form["title"], repository, base)


def _in_history(value: str, commit: str, title: str, repository: Path, base: str) -> FixesTag:
    argv = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    words = git(repository, *argv, ok=(0, 1, 128)).decode().split()
    if not words or len(words[-1]) not in (40, 64):
        if git(repository, "rev-parse", "--is-shallow-repository").strip() == b"true":
            return FixesTag(value, unknown="the tree is a shallow clone, which lacks older commits")
        return FixesTag(value, problem=f"there is no commit {commit} in {repository}")
    with reading(repository) as view:
        subject = view.git("log", "-1", "--format=%s", "--no-show-signature", words[-1]).decode(errors="replace")
        real = printable(" ".join(subject.split()))
        if real != " ".join(title.split()):
            return FixesTag(value, problem=f"commit {commit[:12]} is called “{real}”")
        try:
            view.git("merge-base", "--is-ancestor", words[-1], base)
        except LabError:
            return FixesTag(value, problem=f"commit {commit[:12]} is not in the history of the base")
    return FixesTag(value)

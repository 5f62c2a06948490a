# SPDX-License-Identifier: GPL-2.0-or-later
"""`git bisect log`, written for `git bisect replay`, and read to go on with what git has begun; pure."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Final

from panthorlab.bisect.graph import Graph, members
from panthorlab.bisect.policy import Search
from panthorlab.errors import UsageError
from panthorlab.kernel.source.commits import History, Kinship
from panthorlab.run.bisect.state import Known

LOG: Final = "git-bisect.log"
SURE: Final = 0.95
_TERM: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


@dataclass(frozen=True)
class GitLog:
    """What a log of git's says. `bad`: empty if none was given yet."""

    bad: str
    good: tuple[str, ...]
    skip: tuple[str, ...]
    old: str = "good"
    new: str = "bad"


def parse(text: str, name: str = "the log") -> GitLog:
    """Raises UsageError at a line that is no part of such a log."""
    old, new, bad = "good", "bad", ""
    good: list[str] = []
    skip: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            words = shlex.split(line)
        except ValueError:
            words = []
        if words[:2] == ["git", "bisect"]:
            words = ["git-bisect", *words[2:]]
        if len(words) < 2 or words[0] != "git-bisect":
            raise UsageError(
                f"{name}:{number}: no line of `git bisect log`: {line[:60]!r}", hint="git bisect log > FILE"
            )
        verb, rest = words[1], words[2:]
        if verb == "start":
            old, new, ends = _start(rest, old, new)
            bad, good = (ends[0] if ends else bad), [*good, *ends[1:]]
        elif verb in (new, "bad", "new"):
            bad = rest[0] if rest else bad
        elif verb in (old, "good", "old"):
            good += rest
        elif verb == "skip":
            skip += rest
        elif verb not in ("terms", "next"):
            raise UsageError(
                f"{name}:{number}: `git bisect {verb}` is not understood", hint=f"terms are {old} and {new}"
            )
    return GitLog(bad, tuple(dict.fromkeys(good)), tuple(dict.fromkeys(skip)), old, new)


def _start(words: list[str], old: str, new: str) -> tuple[str, str, list[str]]:
    """Terms and ends of `git bisect start`; the first end is the bad one."""
    ends: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            break
        option, equals, value = word.partition("=")
        if option in ("--term-old", "--term-good"):
            old = value if equals else next(rest, old)
        elif option in ("--term-new", "--term-bad"):
            new = value if equals else next(rest, new)
        elif not word.startswith("-"):
            ends.append(word)
    return old, new, ends


def check_term(term: str) -> str:
    """A word for good or bad. Raises UsageError."""
    if not _TERM.fullmatch(term) or term in ("start", "skip", "next", "reset", "log", "run", "replay", "terms", "help"):
        raise UsageError(f"`{term}` cannot be a term", hint="a word that is no command of git bisect, e.g. broken")
    return term


def render(known: Known, history: History, graph: Graph, search: Search, kin: Kinship) -> str:
    """What is sure enough by now, in the words of git."""
    start = known.start
    subjects = {commit.id: commit.subject for commit in history.commits}

    def entry(verb: str, commit: str) -> list[str]:
        return [f"# {verb}: [{commit}] {subjects.get(commit, '')}".rstrip(), f"git bisect {verb} {commit}"]

    plain = (start.old, start.new) == ("good", "bad")
    terms = "" if plain else f" '--term-old={start.old}' '--term-new={start.new}'"
    lines = [f"git bisect start{terms}", *entry(start.new, start.bad)]
    for good in start.good:
        lines += entry(start.old, good)
    for commit in known.boots:
        head = kin.head.get(commit, "")
        if head not in graph.place or commit == start.bad or commit in known.skips:
            continue
        share = search.posterior.bad(graph.place[head])
        if share >= SURE or share <= 1 - SURE:
            lines += entry(start.new if share >= SURE else start.old, commit)
    for commit in known.skips:
        if commit in subjects:
            lines += entry("skip", commit)
    if search.certain and search.best.bit_count() == 1:
        culprit = graph.nodes[next(members(search.best))].id
        lines.append(f"# first {start.new} commit: [{culprit}] {subjects.get(culprit, '')}")
    return "\n".join(lines) + "\n"

# SPDX-License-Identifier: GPL-2.0-or-later
"""Selecting and ordering the mails to apply: one version of one series, complete.

Pure functions over parsed mails. Omissions are reported, and ambiguous input is rejected: a mix of two versions, or
half a series, is not what anybody wrote, and must not be tested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TypedDict

from panthorlab.errors import PatchError
from panthorlab.kernel.patch.letter import Letter
from panthorlab.kernel.patch.mails import Mail, PatchText
from panthorlab.kernel.patch.mailtext import Facts
from panthorlab.kernel.patch.subject import without_version

_SHOWN = 3  # of many, so many are named
_LISTED = 10  # of what is short
_FILES = "to apply patches of several series, give each as a file of its own, in order"


class SeriesJson(TypedDict):
    """A series as JSON tells it."""

    title: str
    version: int
    versions: list[int]
    message_id: str | None
    change_id: str | None
    base_commit: str | None
    prerequisites: list[str]
    patches: list[str]


@dataclass(frozen=True)
class Series:
    """Patches in the order in which they are to be applied. `versions`: all there were; `version`: the one taken.

    `title`: the cover letter's, or the first patch's. `notes`: what was chosen, left out or mended, a sentence each.
    """

    patches: tuple[PatchText, ...]
    title: str = ""
    version: int = 1
    versions: tuple[int, ...] = (1,)
    message_id: str | None = None
    facts: Facts = field(default_factory=Facts)
    notes: tuple[str, ...] = ()
    letter: Letter | None = None
    """Of the mail that an answer goes to: the cover letter, or the first patch."""

    def described(self) -> SeriesJson:
        """For the record of a run, and for `check --json`."""
        return {
            "title": self.title,
            "version": self.version,
            "versions": list(self.versions),
            "message_id": self.message_id,
            "change_id": self.facts.change_id,
            "base_commit": self.facts.base_commit,
            "prerequisites": list(self.facts.prerequisites),
            "patches": [patch.title for patch in self.patches],
        }


@dataclass(frozen=True)
class Intake:
    """All that the user named, as series that are applied one after the other. `fetched`: notes on how they came."""

    series: tuple[Series, ...] = ()
    fetched: tuple[str, ...] = ()

    @property
    def patches(self) -> tuple[PatchText, ...]:
        return tuple(patch for each in self.series for patch in each.patches)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen, left out or mended, a sentence each."""
        several = [f"“{each.title}”" for each in self.series]
        applied = f"{len(several)} series, applied one after the other: {', '.join(several[:5])}"
        versions = {each.version for each in self.series}
        return (
            *self.fetched,
            *(note for each in self.series for note in each.notes),
            *([applied] if len(versions) > 1 else []),
        )


def choose(mails: Sequence[Mail], origin: str, version: int | None = None) -> Series:
    """The series in `mails`: its newest version, or `version`, whole and in order.

    Raises PatchError, saying what is missing or what the choice would be, if there is no such series or more than one.
    """
    candidates, notes = _without_replies(_unique(mails))
    _check_odd_versions(candidates, origin)
    heads = [mail for mail in mails if mail.subject.number == 0 and not mail.reply]
    # A version of which there is the cover letter alone is the newest, too: its patches are what is missing.
    versions = sorted({mail.subject.version for mail in [*candidates, *heads]})
    chosen = _version(versions, origin, version)
    taken = [mail for mail in candidates if mail.subject.version == chosen]
    others = [mail for mail in candidates if mail.subject.version != chosen]
    if others:
        untagged = [mail for mail in candidates if not mail.subject.tagged]
        if untagged:
            raise PatchError(
                f"{origin} has versions of a series, and patches that say no version: {_names(untagged)}", hint=_FILES
            )
        names = ", ".join(f"v{mail.subject.version} {_name(mail)}" for mail in others[:_SHOWN])
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        newer = f"; v{versions[-1]} is newer" if chosen < versions[-1] else ""
        notes.append(f"{origin} has {_versions(versions)}: v{chosen} is taken{newer}; left out: {names}{more}")
    covers = [mail for mail in heads if mail.subject.version == chosen]
    notes += _given(mails, [*covers, *taken])
    try:
        ordered = _ordered(taken, covers, origin)
    except PatchError as error:
        whole = [each for each in versions if each != chosen and _is_whole(candidates, mails, each, origin)]
        if not whole:
            raise
        raise PatchError(
            f"{error} (of v{chosen}, of {_versions(versions)})",
            hint=f"v{whole[-1]} is whole: --patch-version {whole[-1]} takes it",
        ) from error
    for mail in [*covers, *ordered]:
        notes += [f"{_name(mail)}: {note}" for note in mail.notes]
    head = covers[0] if covers else ordered[0]
    return Series(
        tuple(mail.patch for mail in ordered if mail.patch is not None),
        head.title,
        chosen,
        tuple(versions),
        head.message_id,
        reduce(Facts.or_else, (mail.facts for mail in [*covers, *ordered])),
        tuple(notes),
        head.letter,
    )


def groups(collections: Sequence[Sequence[Mail] | Series]) -> list[list[Mail] | Series]:
    """Merge the inputs from the command line that are parts or versions of one series.

    What is a Series already (a git range) keeps its place.
    """
    found: list[list[Mail] | Series] = []
    for mails in collections:
        if isinstance(mails, Series):
            found.append(mails)
            continue
        home = next((group for group in found if isinstance(group, list) and _belong(group, mails)), None)
        if home is None:
            found.append(list(mails))
        else:
            home += mails
    return found


def _belong(group: Sequence[Mail], mails: Sequence[Mail]) -> bool:
    """Whether two files have parts of one series, or versions of one patch, in them."""
    if not any(mail.subject.tagged for mail in mails):
        return False
    parts = {(mail.subject.version, mail.subject.total) for mail in group if mail.subject.number is not None}
    if not (_complete(group) and _complete(mails)) and any(
        (mail.subject.version, mail.subject.total) in parts for mail in mails if mail.subject.number is not None
    ):
        return True
    known: dict[tuple[str, str], set[int]] = {}
    for one in group:
        for mark in _marks(one, own=True):
            known.setdefault(mark, set()).add(one.subject.version)
    return any(known.get(mark, set()) - {one.subject.version} for one in mails for mark in _marks(one, own=False))


def _marks(mail: Mail, *, own: bool) -> list[tuple[str, str]]:
    """What a patch of another version would have in common with `mail`: its title, its change-id, or a mail that one of
    them is or answers. `own`: as it is looked up by; else as it looks for others."""
    if not mail.subject.tagged:
        return []
    this, other = ("id", "parent") if own else ("parent", "id")
    marks = [(this, mail.message_id or ""), *((other, parent) for parent in mail.parents)]
    return [mark for mark in (*marks, ("title", mail.title), ("change", mail.facts.change_id or "")) if mark[1]]


def _complete(mails: Sequence[Mail]) -> bool:
    numbers = {mail.subject.number for mail in mails if mail.patch and mail.subject.number is not None}
    totals = {mail.subject.total for mail in mails if mail.subject.number is not None}
    return len(totals) == 1 and numbers == set(range(1, (totals.pop() or 0) + 1))


def _unique(mails: Sequence[Mail]) -> list[Mail]:
    """Mails with a patch; one that came by two lists counts once."""
    found: dict[object, Mail] = {}
    for mail in mails:
        if mail.patch is not None:
            subject = mail.subject
            found.setdefault((mail.content, subject.version, subject.number, subject.total, mail.title), mail)
    return list(found.values())


def _without_replies(mails: Sequence[Mail]) -> tuple[list[Mail], list[str]]:
    genuine = [mail for mail in mails if not mail.reply]
    replies = [mail for mail in mails if mail.reply]
    if not genuine:
        return replies, [f"{_name(mail)} is a reply or forwarded; nothing else has a diff" for mail in replies[:_SHOWN]]
    if not replies:
        return genuine, []
    return genuine, [
        f"left out: the diff in {'a reply' if len(replies) == 1 else f'{len(replies)} replies'} to it: "
        f"{_names(replies)}"
    ]


def _version(versions: Sequence[int], origin: str, wanted: int | None) -> int:
    if wanted is None:
        return versions[-1]
    if wanted not in versions:
        raise PatchError(f"{origin} has no version {wanted}", hint=f"it has {_versions(versions)}")
    return wanted


def _check_odd_versions(mails: Sequence[Mail], origin: str) -> None:
    """Raise PatchError if beside [PATCH v2.1] or [PATCH v2b] there are patches of another version."""
    odd = [mail for mail in mails if mail.subject.odd_version]
    if len({mail.subject.odd_version for mail in mails}) > 1:
        raise PatchError(
            f"{origin} has v{odd[0].subject.odd_version} {_name(odd[0])} beside others: does it amend "
            "them, or is it for another kernel?",
            hint="keep the patches that are meant alone",
        )


def _is_whole(candidates: Sequence[Mail], mails: Sequence[Mail], version: int, origin: str) -> bool:
    covers = [mail for mail in mails if mail.subject.number == 0 and mail.subject.version == version]
    try:
        _ordered([mail for mail in candidates if mail.subject.version == version], covers, origin)
    except PatchError:
        return False
    return True


def _ordered(mails: Sequence[Mail], covers: Sequence[Mail], origin: str) -> list[Mail]:
    """The patches of one version, in order. Raises PatchError if they are not just one series, and all of it."""
    numbered = [mail for mail in mails if mail.subject.number is not None]
    if not mails:
        total = covers[0].subject.total
        raise PatchError(
            f"{origin} has only the cover letter {_name(covers[0])}: its {total} patches are missing",
            hint="give all of its patches",
        )
    if not numbered:
        _check_unnumbered(mails, covers, origin)
        return list(mails)
    if len(numbered) < len(mails):
        rest = [mail for mail in mails if mail.subject.number is None]
        raise PatchError(f"{origin} has a numbered series, and beside it {_names(rest)}", hint=_FILES)
    totals = sorted({mail.subject.total or 0 for mail in [*numbered, *covers]})
    if len(totals) > 1:
        lengths = " and of ".join(map(str, totals))
        raise PatchError(f"{origin} has patches of several series, of {lengths} patches: {_names(mails)}", hint=_FILES)
    counts = Counter(mail.subject.number or 0 for mail in numbered)
    twice = [number for number, count in counts.items() if count > 1]
    if twice:
        same = [mail for mail in numbered if mail.subject.number == twice[0]]
        raise PatchError(
            f"{origin} has {len(same)} different patches {twice[0]}/{totals[0]}: {_names(same)}",
            hint=f"keep the one that is meant; {_FILES}",
        )
    _check_threads([*covers, *numbered], origin)
    missing = [number for number in range(1, min(totals[0], 9999) + 1) if number not in counts]
    if missing:
        lacks = ", ".join(f"{number}/{totals[0]}" for number in missing[:10]) + (", …" if len(missing) > 10 else "")
        raise PatchError(
            f"{origin} is not a whole series: {lacks} {'is' if len(missing) == 1 else 'are'} missing; there is "
            f"{_names(numbered)}",
            hint="give all of its patches; of one that stands alone give the diff without the headers of the mail",
        )
    if max(counts) > totals[0]:
        raise PatchError(f"{origin} has a patch {max(counts)}/{totals[0]}", hint="is its subject damaged?")
    return sorted(numbered, key=lambda mail: mail.subject.number or 0)


def _check_threads(mails: Sequence[Mail], origin: str) -> None:
    """Raise PatchError if mails that look like parts of one series come from different people and threads."""
    threads: list[set[str]] = []
    names: list[Mail] = []
    for mail in mails:
        if mail.message_id is None:
            continue  # git format-patch, not sent: nothing is known
        marks = {mail.message_id, *mail.parents, *([mail.sender] if mail.sender else [])}
        near = [index for index, thread in enumerate(threads) if thread & marks]
        if not near:
            names.append(mail)
        for index in reversed(near):
            marks |= threads.pop(index)
        threads.append(marks)
    if len(threads) > 1:
        raise PatchError(
            f"{origin} has patches of {len(threads)} threads, by different people, which are no one "
            f"series: {_names(names)}",
            hint=_FILES,
        )


def _check_unnumbered(mails: Sequence[Mail], covers: Sequence[Mail], origin: str) -> None:
    tagged = [mail for mail in mails if mail.subject.tagged]
    if covers and (covers[0].subject.total or 0) != len(mails):
        raise PatchError(
            f"{origin} has the cover letter of {covers[0].subject.total} patches, and {len(mails)} without a number: "
            f"{_names(mails)}",
            hint=_FILES,
        )
    titles = Counter(
        bare
        for mail in mails
        if mail.title and ((bare := without_version(mail.title)) != mail.title.casefold() or mail.subject.tagged)
    )
    twice = [title for title, count in titles.items() if count > 1]
    if twice:
        raise PatchError(
            f"{origin} has {titles[twice[0]]} different patches called “{twice[0]}”",
            hint=f"keep the one that is meant; {_FILES}",
        )
    ids = {mail.message_id: mail for mail in tagged if mail.message_id}
    for mail in tagged:
        if answered := next((ids[parent] for parent in mail.parents if parent in ids), None):
            raise PatchError(
                f"{origin} has {_name(mail)} in answer to {_name(answered)}: does it follow, or take its place?",
                hint=_FILES,
            )


def _given(mails: Sequence[Mail], taken: Sequence[Mail]) -> list[str]:
    """A sentence with the trailers that replies to `taken` give."""
    thread = {mail.message_id for mail in taken}
    known = {line for mail in taken for line in mail.trailers}
    found: dict[str, None] = {}
    for mail in mails:
        if mail.reply and mail.parents & thread:
            found |= dict.fromkeys(line for line in mail.trailers if line not in known)
    return [f"trailers from replies: {enumerated(list(found))}"] if found else []


def enumerated(items: Sequence[str]) -> str:
    """The first of many, and how many more there are."""
    return ", ".join(items[:_LISTED]) + (f" and {len(items) - _LISTED} more" if len(items) > _LISTED else "")


def _versions(versions: Sequence[int]) -> str:
    some = versions if len(versions) <= _LISTED else [*versions[:_SHOWN], *versions[-_SHOWN:]]
    text = " and ".join(f"v{version}" for version in some)
    return text if len(some) == len(versions) else f"{len(versions)} versions ({text})"


def _name(mail: Mail) -> str:
    place = f"{mail.subject.number}/{mail.subject.total} " if mail.subject.number is not None else ""
    return f"{place}“{mail.title}”"


def _names(mails: Sequence[Mail]) -> str:
    names = ", ".join(_name(mail) for mail in mails[:_SHOWN])
    return f"{names} and {len(mails) - _SHOWN} more" if len(mails) > _SHOWN else names

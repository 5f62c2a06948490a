# SPDX-License-Identifier: GPL-2.0-or-later
"""Selecting and ordering the mails to apply: one version of one series, complete.

Pure functions over parsed mails. Omissions are reported, and ambiguous input is rejected: a mix of two versions, or
half a series, is not what anybody wrote, and must not be tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TypedDict

from panthorlab.errors import PatchError
from panthorlab.kernel.patch.letter import Letter
from panthorlab.kernel.patch.mails import Mail, PatchText
from panthorlab.kernel.patch.mailtext import Facts
from panthorlab.kernel.patch.whole import FILES, LISTED, SHOWN, enumerated, is_whole, name_of, names_of, ordered


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
                f"{origin} has versions of a series, and patches that say no version: {names_of(untagged)}", hint=FILES
            )
        names = ", ".join(f"v{mail.subject.version} {name_of(mail)}" for mail in others[:SHOWN])
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        newer = f"; v{versions[-1]} is newer" if chosen < versions[-1] else ""
        notes.append(f"{origin} has {_versions(versions)}: v{chosen} is taken{newer}; left out: {names}{more}")
    covers = [mail for mail in heads if mail.subject.version == chosen]
    notes += _given(mails, [*covers, *taken])
    try:
        in_order = ordered(taken, covers, origin)
    except PatchError as error:
        whole = [each for each in versions if each != chosen and is_whole(candidates, mails, each, origin)]
        if not whole:
            raise
        raise PatchError(
            f"{error} (of v{chosen}, of {_versions(versions)})",
            hint=f"v{whole[-1]} is whole: --patch-version {whole[-1]} takes it",
        ) from error
    for mail in [*covers, *in_order]:
        notes += [f"{name_of(mail)}: {note}" for note in mail.notes]
    head = covers[0] if covers else in_order[0]
    return Series(
        tuple(mail.patch for mail in in_order if mail.patch is not None),
        head.title,
        chosen,
        tuple(versions),
        head.message_id,
        reduce(Facts.or_else, (mail.facts for mail in [*covers, *in_order])),
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
        return replies, [
            f"{name_of(each)} is a reply or forwarded; nothing else has a diff" for each in replies[:SHOWN]
        ]
    if not replies:
        return genuine, []
    return genuine, [
        f"left out: the diff in {'a reply' if len(replies) == 1 else f'{len(replies)} replies'} to it: "
        f"{names_of(replies)}"
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
            f"{origin} has v{odd[0].subject.odd_version} {name_of(odd[0])} beside others: does it amend "
            "them, or is it for another kernel?",
            hint="keep the patches that are meant alone",
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


def _versions(versions: Sequence[int]) -> str:
    some = versions if len(versions) <= LISTED else [*versions[:SHOWN], *versions[-SHOWN:]]
    text = " and ".join(f"v{version}" for version in some)
    return text if len(some) == len(versions) else f"{len(versions)} versions ({text})"

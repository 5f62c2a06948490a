# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether mails are one whole series, and its patches in order. Pure functions over parsed mails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from panthorlab.errors import PatchError
from panthorlab.kernel.patch.mails import Mail
from panthorlab.kernel.patch.subject import without_version

SHOWN = 3
"""Of many, so many are named."""
LISTED = 10
"""Of what is short."""
FILES = "to apply patches of several series, give each as a file of its own, in order"
"""The hint for several series in one input."""


def is_whole(candidates: Sequence[Mail], mails: Sequence[Mail], version: int, origin: str) -> bool:
    covers = [mail for mail in mails if mail.subject.number == 0 and mail.subject.version == version]
    try:
        ordered([mail for mail in candidates if mail.subject.version == version], covers, origin)
    except PatchError:
        return False
    return True


def ordered(mails: Sequence[Mail], covers: Sequence[Mail], origin: str) -> list[Mail]:
    """The patches of one version, in order. Raises PatchError if they are not just one series, and all of it."""
    numbered = [mail for mail in mails if mail.subject.number is not None]
    if not mails:
        total = covers[0].subject.total
        raise PatchError(
            f"{origin} has only the cover letter {name_of(covers[0])}: its {total} patches are missing",
            hint="give all of its patches",
        )
    if not numbered:
        _check_unnumbered(mails, covers, origin)
        return list(mails)
    if len(numbered) < len(mails):
        rest = [mail for mail in mails if mail.subject.number is None]
        raise PatchError(f"{origin} has a numbered series, and beside it {names_of(rest)}", hint=FILES)
    totals = sorted({mail.subject.total or 0 for mail in [*numbered, *covers]})
    if len(totals) > 1:
        lengths = " and of ".join(map(str, totals))
        raise PatchError(f"{origin} has patches of several series, of {lengths} patches: {names_of(mails)}", hint=FILES)
    counts = Counter(mail.subject.number or 0 for mail in numbered)
    twice = [number for number, count in counts.items() if count > 1]
    if twice:
        same = [mail for mail in numbered if mail.subject.number == twice[0]]
        raise PatchError(
            f"{origin} has {len(same)} different patches {twice[0]}/{totals[0]}: {names_of(same)}",
            hint=f"keep the one that is meant; {FILES}",
        )
    _check_threads([*covers, *numbered], origin)
    missing = [number for number in range(1, min(totals[0], 9999) + 1) if number not in counts]
    if missing:
        lacks = ", ".join(f"{number}/{totals[0]}" for number in missing[:10]) + (", …" if len(missing) > 10 else "")
        raise PatchError(
            f"{origin} is not a whole series: {lacks} {'is' if len(missing) == 1 else 'are'} missing; there is "
            f"{names_of(numbered)}",
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
            f"series: {names_of(names)}",
            hint=FILES,
        )


def _check_unnumbered(mails: Sequence[Mail], covers: Sequence[Mail], origin: str) -> None:
    tagged = [mail for mail in mails if mail.subject.tagged]
    if covers and (covers[0].subject.total or 0) != len(mails):
        raise PatchError(
            f"{origin} has the cover letter of {covers[0].subject.total} patches, and {len(mails)} without a number: "
            f"{names_of(mails)}",
            hint=FILES,
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
            hint=f"keep the one that is meant; {FILES}",
        )
    ids = {mail.message_id: mail for mail in tagged if mail.message_id}
    for mail in tagged:
        if answered := next((ids[parent] for parent in mail.parents if parent in ids), None):
            raise PatchError(
                f"{origin} has {name_of(mail)} in answer to {name_of(answered)}: does it follow, or take its place?",
                hint=FILES,
            )


def name_of(mail: Mail) -> str:
    place = f"{mail.subject.number}/{mail.subject.total} " if mail.subject.number is not None else ""
    return f"{place}“{mail.title}”"


def names_of(mails: Sequence[Mail]) -> str:
    names = ", ".join(name_of(mail) for mail in mails[:SHOWN])
    return f"{names} and {len(mails) - SHOWN} more" if len(mails) > SHOWN else names


def enumerated(items: Sequence[str]) -> str:
    """The first of many, and how many more there are."""
    return ", ".join(items[:LISTED]) + (f" and {len(items) - LISTED} more" if len(items) > LISTED else "")

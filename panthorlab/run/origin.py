# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the patches of a run came from, for those who answer them or try them again. Pure functions of the record."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from panthorlab.report.model import MailInfo
from panthorlab.run.record import MailRecord, RecipientRecord, Settings, SourceEvent
from panthorlab.verdict.model import Expect

_PUBLIC_BASE: Final = re.compile(r"(?:debian:|kernel\.org:|linux-source-)[\w.+~-]+", re.ASCII)
_NAME: Final = re.compile(r"[\w.,=+-]+", re.ASCII)


def mails_of(source: SourceEvent) -> tuple[MailInfo, ...]:
    """The mails that answers go to. Logs of before they were kept have the message-id of each patch."""
    if source.mails:
        return tuple(map(_mail, source.mails))
    first = next((patch for patch in source.patches if patch.message_id), None)
    return (MailInfo(str(first.message_id), f"[PATCH] {first.title}"),) if first else ()


def _mail(mail: MailRecord) -> MailInfo:
    def person(one: RecipientRecord) -> tuple[str, str]:
        return one.name, one.address

    return MailInfo(
        mail.message_id,
        mail.subject,
        mail.date,
        person(mail.sender) if mail.sender else None,
        tuple(map(person, mail.to)),
        tuple(map(person, mail.cc)),
        mail.references,
    )


def repeat_of(settings: Settings, source: SourceEvent) -> tuple[str, ...]:
    """The command that does the same elsewhere; empty of a run whose patches or kernels only this machine has.

    What names files of this machine is left out: it would tell more of it than of the run.
    """
    mails = mails_of(source)
    if len(mails) != 1 or settings.before or settings.after:
        return ()
    return ("panthorlab", "validate", mails[0].message_id, *_options(settings))


def _options(settings: Settings) -> Iterator[str]:
    if settings.base and _PUBLIC_BASE.fullmatch(settings.base):
        yield from ("--base", settings.base)
    for name in ("revert", "swap", "deep"):
        if getattr(settings, name):
            yield f"--{name}"
    if settings.expect is Expect.NO_CHANGE:
        yield from ("--expect", settings.expect.value)
    many = {"--config": settings.config, "--suite": settings.suite, "--param": settings.param}
    for option, values in many.items():
        for value in values:
            if _NAME.fullmatch(value):
                yield from (option, value)
    if settings.iterations is not None:
        yield from ("--iterations", str(settings.iterations))
    yield from ("--boots", str(settings.boots))
    if settings.time is not None:
        yield from ("--time", settings.time.value)
    yield from ("--seed", str(settings.seed))
    for board in settings.board_names:
        if _NAME.fullmatch(board):
            yield from ("--board", board)

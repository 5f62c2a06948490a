# SPDX-License-Identifier: GPL-2.0-or-later
"""Whom and what an answer to a patch goes to: facts of the mail that the patch, or its series, came in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import getaddresses

from panthorlab.kernel.patch.subject import printable

_MESSAGE_ID = re.compile(r"<([^<>\s]+)>")
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_MOST = 100  # recipients; a list's mail has a dozen


@dataclass(frozen=True)
class Recipient:
    """`name`: as it is shown; empty if the mail has the address alone."""

    name: str
    address: str


@dataclass(frozen=True)
class Letter:
    """`date`: as the mail has it. `references`: the message-ids of the thread above it, the oldest first."""

    message_id: str
    subject: str
    date: str
    sender: Recipient | None
    to: tuple[Recipient, ...] = ()
    cc: tuple[Recipient, ...] = ()
    references: tuple[str, ...] = ()


def letter_of(message: EmailMessage) -> Letter | None:
    """None of a mail without a message-id: nobody can answer it. Addresses that are none are left out."""
    own_id = _MESSAGE_ID.search(str(message.get("Message-ID", "")))
    if own_id is None:
        return None
    above = _MESSAGE_ID.findall(f"{message.get('References', '')} {message.get('In-Reply-To', '')}")
    return Letter(
        own_id[1],
        printable(" ".join(str(message.get("Subject", "")).split())),
        printable(" ".join(str(message.get("Date", "")).split())),
        next(_recipients(message, "From"), None),
        tuple(_recipients(message, "To")),
        tuple(_recipients(message, "Cc")),
        tuple(dict.fromkeys(above)),
    )


def _recipients(message: EmailMessage, header: str) -> Iterator[Recipient]:
    values = [str(value) for value in message.get_all(header, [])]
    for name, address in getaddresses(values)[:_MOST]:
        if _ADDRESS.fullmatch(address):
            yield Recipient(printable(" ".join(name.split())), address)

# SPDX-License-Identifier: GPL-2.0-or-later
"""A notice to all that are to have it, at once, in bounded time whatever their servers do. Nothing is raised: what did
not arrive is told to whoever asked for it to be sent."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from panthorlab.board.power.secrets import redact
from panthorlab.errors import PanthorlabError
from panthorlab.notify import mail, webhook
from panthorlab.notify.config import MailRoute, NotifySection, SecretSource, Webhook
from panthorlab.notify.notice import Notice, payload
from panthorlab.notify.secret import certificates, reveal
from panthorlab.report.text import json_text, plain

_GRACE: Final = 1.0
"""Seconds beyond its own limit, for a channel to say itself what was wrong."""


@dataclass(frozen=True)
class Delivery:
    """What came of one channel. `message`: why it failed; empty if it did not."""

    channel: str
    message: str
    seconds: float

    @property
    def ok(self) -> bool:
        return not self.message


@dataclass(frozen=True)
class Channel:
    """One way to tell. `name` shows no secret. `send` is given a deadline (monotonic), and raises LabError."""

    name: str
    timeout: float
    send: Callable[[float], None]


def channels(notice: Notice, section: NotifySection) -> list[Channel]:
    """Those that want this notice."""
    notice_id = f"panthorlab-{uuid.uuid4()}"
    link = section.link.replace("{name}", quote(Path(notice.directory).name, safe="")) if section.link else ""
    return [*_webhooks(notice, section, notice_id, link), *_mails(notice, section, notice_id, link)]


def _webhooks(notice: Notice, section: NotifySection, notice_id: str, link: str) -> Iterator[Channel]:
    data = payload(notice, link)
    bodies = {"full": json_text(data).encode(), "text": json_text({"text": data["text"]}).encode()}
    for number, hook in enumerate(section.webhooks, 1):
        if _wanted(hook, notice, section):

            def send(deadline: float, hook: Webhook = hook) -> None:
                webhook.post(hook, bodies[hook.payload], notice_id, deadline)

            yield Channel(_name(number, hook), hook.timeout, send)


def _mails(notice: Notice, section: NotifySection, notice_id: str, link: str) -> Iterator[Channel]:
    own = section.mail
    if own is not None and _wanted(own, notice, section):

        def send(deadline: float) -> None:
            mail.send(own, mail.message(own, notice, notice_id, link), deadline)

        yield Channel(_mail_name(own), own.timeout, send)


def _wanted(channel: Webhook | MailRoute, notice: Notice, section: NotifySection) -> bool:
    return notice.bad or (channel.when or section.when) == "always"


def _name(number: int, hook: Webhook) -> str:
    """Path and query stay out: in chat servers' URLs they are secrets."""
    return f"webhook {number} ({urlsplit(hook.url).netloc if hook.url else 'secret URL'})"


def _mail_name(own: MailRoute) -> str:
    return f"mail by {own.host} to {', '.join(own.to)}"


def audience(section: NotifySection) -> list[str]:
    """Who is told at all, and when, for people."""
    rows: list[tuple[str, Webhook | MailRoute]] = []
    rows += ((_name(number, hook), hook) for number, hook in enumerate(section.webhooks, 1))
    rows += [(_mail_name(section.mail), section.mail)] if section.mail else []
    return [f"{name} {'always' if (one.when or section.when) == 'always' else 'if it is bad'}" for name, one in rows]


def deliver(notice: Notice, section: NotifySection) -> list[Delivery]:
    """Send to all that want it; returns after the longest of their time-outs at the latest."""
    going = [_Going(channel) for channel in channels(notice, section)]
    return [one.end() for one in going]


class _Going:
    """A delivery in a thread of its own: neither a resolver nor a server that sends a byte a minute keeps time-outs.
    The thread is a daemon, and is left to its fate when its time is over."""

    def __init__(self, channel: Channel) -> None:
        self._channel, self._began = channel, time.monotonic()
        self._deadline = self._began + channel.timeout
        self._result: Delivery | None = None
        self._thread = threading.Thread(target=self._run, name=channel.name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._channel.send(self._deadline)
            why = ""
        except PanthorlabError as error:
            why = f"{error}; {error.hint}" if error.hint else str(error)
        except Exception as error:  # a bug of ours must not end a night either; it is told as what it is
            why = f"bug of panthorlab: {type(error).__name__}: {error}"
        self._result = self._made(why)

    def end(self) -> Delivery:
        self._thread.join(max(0.0, self._deadline + _GRACE - time.monotonic()))
        return self._result or self._made(f"did not end within {self._channel.timeout:g} s; it may have arrived")

    def _made(self, why: str) -> Delivery:
        return Delivery(self._channel.name, plain(redact(why)), time.monotonic() - self._began)


def missing(section: NotifySection) -> list[str]:
    """Secrets and certificates that are not to be had here, in words: better known before a night than after it."""
    found = []
    told: list[Webhook | MailRoute] = [*section.webhooks, *([section.mail] if section.mail else [])]
    for own in told:
        try:
            certificates(own.ca_file)
        except PanthorlabError as error:
            found.append(str(error))
    for what, source in _secrets(section):
        try:
            reveal(source, what)
        except PanthorlabError as error:
            found.append(str(error))
    return found


def _secrets(section: NotifySection) -> Iterator[tuple[str, SecretSource]]:
    for number, hook in enumerate(section.webhooks, 1):
        for name in ("url_from", "token", "sign"):
            source = getattr(hook, name)
            if source is not None:
                yield f"`{name}` of webhook {number}", source
    if section.mail is not None and section.mail.password is not None:
        yield "`password` of `mail`", section.mail.password

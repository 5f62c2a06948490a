# SPDX-License-Identifier: GPL-2.0-or-later
"""MailRoute against a real SMTP server: who gets it, what is in it, and servers that misbehave."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.notify.config import MailRoute
from panthorlab.notify.deliver import Delivery, deliver
from panthorlab.notify.mail import message
from panthorlab.notify.notice import Notice, NoticePart
from tests.notice_servers import Rude

from .conftest import BAD, HOSTILE, section

SECRET = "pass w0rd!"
TO = ["lab@people.example", "kernel@people.example"]


class Box:
    """Keeps what comes. `answers`: to the next MAIL FROM, instead of `250`; `stranger`: whom it does not know."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.logins: list[tuple[str, str]] = []
        self.answers: list[str] = []
        self.stranger = ""

    async def handle_MAIL(  # noqa: N802 - the library's names
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.answers:
            return self.answers.pop(0)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address == self.stranger:
            return "550 who\x1b[2J is that"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.mails.append((str(envelope.mail_from), list(envelope.rcpt_tos), envelope.content))
        return "250 OK"

    def login(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == SECRET.encode(), handled=False)


class OnFreePort(Controller):
    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = int(self.server.sockets[0].getsockname()[1])
        super()._trigger_server()  # type: ignore[no-untyped-call]


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def serve(box: Box) -> Iterator[Callable[..., int]]:
    """Start the server with these options; gives its port."""
    started: list[Controller] = []

    def start(**options: Any) -> int:
        server = OnFreePort(box, hostname="127.0.0.1", port=0, server_hostname="box.example", **options)
        server.start()
        started.append(server)
        return int(server.port)

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def port(serve: Callable[..., int]) -> int:
    return serve()


def settings(port: int, **keys: Any) -> dict[str, Any]:
    plain = {
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "sender": "bot@lab.example",
        "to": TO,
        "timeout": 20,
    }
    return {**plain, **keys}


def mailed(port: int, /, notice: Notice = BAD, **keys: Any) -> Delivery:
    (one,) = deliver(notice, section(mail=settings(port, **keys)))
    return one


def test_configured_people_get_it_in_plain_text(box: Box, port: int) -> None:
    done = mailed(port)
    assert done.ok, done.message
    ((sender, to, raw),) = box.mails
    assert (sender, to) == ("bot@lab.example", TO)
    mail = email.message_from_bytes(raw, policy=email.policy.SMTP)
    assert mail["Subject"] == "[panthorlab] failed: drm/panthor: Evict groups"
    assert mail["To"] == ", ".join(TO)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@lab.example>")
    assert mail.get_content_type() == "text/plain"
    assert "exit status 1" in mail.get_content()


def test_hostile_text_stays_text(box: Box, port: int) -> None:
    done = mailed(port, HOSTILE)
    assert done.ok, done.message
    ((_, to, raw),) = box.mails
    assert to == TO
    check(raw)


def check(raw: bytes) -> None:
    """Headers are those that we wrote, and no line is longer than the standard allows."""
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    mail = email.message_from_bytes(raw, policy=email.policy.SMTP)
    assert sorted(mail.keys()) == sorted([
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
        "Content-Transfer-Encoding",
    ])  # fmt: skip
    assert mail["To"] == ", ".join(TO)
    subject = str(mail["Subject"])
    assert "\n" not in subject
    assert "\x1b" not in subject
    assert len(subject) < 200
    assert not mail.is_multipart()
    assert not mail.defects


@given(
    st.builds(
        Notice,
        kind=st.text(max_size=20),
        title=st.text(max_size=200),
        verdict=st.text(max_size=50),
        exit=st.none() | st.integers(0, 4),
        directory=st.text(max_size=50),
        parts=st.builds(NoticePart, st.text(max_size=20), st.tuples(st.text(max_size=200))).map(lambda part: (part,)),
    )
)
def test_any_text_stays_text(notice: Notice) -> None:
    mail = MailRoute.model_validate(settings(25))
    check(message(mail, notice, "id", "https://x.example/").as_bytes())


def test_starttls_comes_before_the_password(
    box: Box, serve: Callable[..., int], tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", SECRET)
    port = serve(tls_context=tls, require_starttls=True, authenticator=box.login, auth_required=True)
    login: dict[str, Any] = {"security": "starttls", "user": "bot", "password": {"env": "PASSWORD"}}
    untrusted = mailed(port, **login)
    assert "cannot be trusted" in untrusted.message
    assert box.logins == []
    done = mailed(port, ca_file=str(certificate), **login)
    assert done.ok, done.message
    assert box.logins == [("bot", SECRET)]
    monkeypatch.setenv("PASSWORD", "wrong " + SECRET)
    wrong = mailed(port, ca_file=str(certificate), **login)
    assert "answered 535" in wrong.message
    assert "w0rd" not in str(wrong)
    assert len(box.mails) == 1


def test_a_server_without_starttls_gets_nothing(box: Box, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", SECRET)
    done = mailed(port, security="starttls", user="bot", password={"env": "PASSWORD"})
    assert "STARTTLS" in done.message
    assert (box.mails, box.logins) == ([], [])


def test_tls_from_the_first_byte(box: Box, serve: Callable[..., int], tls: ssl.SSLContext, certificate: Path) -> None:
    port = serve(ssl_context=tls)
    assert mailed(port, security="tls", ca_file=str(certificate)).ok
    assert "certificate verify failed" in mailed(port, security="tls").message
    assert len(box.mails) == 1


def test_a_busy_server_is_asked_again_and_others_are_not(box: Box, port: int) -> None:
    box.answers = ["451 later", "421 later"]
    assert mailed(port).ok
    box.answers = ["451 later"] * 9
    assert "answered 451 later (tried 2 ×)" in mailed(port, tries=2).message
    assert len(box.answers) == 7
    box.answers = ["554 never", "554 never"]
    assert "answered 554 never" in mailed(port).message
    assert box.answers == ["554 never"]
    assert len(box.mails) == 1


def test_a_recipient_that_is_refused_is_told(box: Box, port: int) -> None:
    box.stranger = TO[1]
    done = mailed(port)
    assert done.message == f"refused {TO[1]} (550 who is that)"
    assert [to for _, to, _ in box.mails] == [TO[:1]]
    (only,) = deliver(BAD, section(mail=settings(port, to=TO[1:])))
    assert "refused" in only.message


def test_certificates_that_are_not_there_are_no_server_that_cannot_be_reached(port: int) -> None:
    done = mailed(port, security="starttls", ca_file="/nowhere/ca.pem")
    assert done.message.startswith("`ca_file` /nowhere/ca.pem cannot be read")
    assert done.seconds < 4, "no other try helps"


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        pytest.param(b"", b"", id="says nothing"),
        pytest.param(b"220 ", b"x", id="a greeting a byte a time"),
        pytest.param(b"220-hello\r\n", b"220-hello\r\n", id="a greeting without end"),
        pytest.param(b"220 hello\r\n", b"", id="no answer"),
        pytest.param(b"x" * 100_000, b"x", id="noise"),
    ],
)
def test_a_server_that_does_not_end_keeps_nobody(
    rude: Callable[[bytes, bytes], Rude], first: bytes, drop: bytes
) -> None:
    server = rude(first, drop)
    done = mailed(server.port, timeout=0.4)
    assert not done.ok
    assert server.visited.wait(60)

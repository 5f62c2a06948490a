# SPDX-License-Identifier: GPL-2.0-or-later
"""Webhooks against real servers: what they get, and what they cannot make of us."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from panthorlab.board.power.secrets import HIDDEN
from panthorlab.errors import LabError
from panthorlab.notify.deliver import Delivery, deliver, missing
from panthorlab.notify.notice import LINE
from panthorlab.notify.webhook import signature
from tests.notice_servers import Receiver, Rude

from .conftest import BAD, HOSTILE, section

SECRET = "s3cr&t/w+rd with blanks"
SLOW = b"HTTP/1.1 200 OK\r\n"


def only(done: list[Delivery]) -> Delivery:
    (one,) = done
    return one


def test_a_server_gets_the_notice_as_json(receiver: Receiver) -> None:
    done = only(deliver(BAD, section(webhooks=[{"url": receiver.url}], link="https://lab.example/{name}/report.html")))
    assert done.ok, done.message
    sent = receiver.sent()
    assert (sent["version"], sent["verdict"], sent["exit"], sent["judged"], sent["lost"]) == (1, "failed", 1, 20, 1)
    assert sent["link"] == "https://lab.example/7/report.html"
    assert sent["text"].startswith("failed: drm/panthor: Evict groups\n")
    assert "report: https://lab.example/7/report.html\n" in sent["text"]
    assert "Authorization" not in receiver.headers[0]


def test_chat_servers_get_text_alone(receiver: Receiver) -> None:
    assert only(deliver(BAD, section(webhooks=[{"url": receiver.url, "payload": "text"}]))).ok
    assert receiver.sent().keys() == {"text"}


@pytest.mark.parametrize(
    ("when", "exit_status", "told"), [("bad", 0, 0), ("bad", None, 1), ("bad", 4, 1), ("always", 0, 1)]
)
def test_who_is_told_of_what(receiver: Receiver, when: str, exit_status: int | None, told: int) -> None:
    notice = replace(BAD, exit=exit_status)
    assert len(deliver(notice, section(webhooks=[{"url": receiver.url}], when=when))) == told
    assert len(deliver(notice, section(webhooks=[{"url": receiver.url, "when": when}]))) == told
    assert len(receiver.bodies) == 2 * told
    assert deliver(notice, section()) == []


def test_secrets_go_into_headers_and_nowhere_else(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    key = tmp_path / "key"
    key.write_text("whsec_" + base64.b64encode(b"0123456789").decode() + "\n")
    key.chmod(0o600)
    hook = {"url": receiver.url, "token": {"env": "TOKEN"}, "sign": {"file": str(key)}}
    receiver.failures, receiver.answer = [500, 500, 400], f"I know {SECRET} {quote(SECRET)}".encode()
    with caplog.at_level(logging.DEBUG):
        done = only(deliver(BAD, section(webhooks=[hook])))
    assert not done.ok
    assert HIDDEN in done.message
    assert "s3cr" not in done.message + caplog.text + json.dumps([body.decode() for body in receiver.bodies])
    assert len(receiver.headers) == 3
    for headers, body in zip(receiver.headers, receiver.bodies, strict=True):
        assert headers["Authorization"] == f"Bearer {SECRET}"
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        right = base64.b64encode(hmac.new(b"0123456789", signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{right}"
    assert len({headers["webhook-id"] for headers in receiver.headers}) == 1, "tries of one notice have one id"


def test_the_signature_is_that_of_the_specification() -> None:
    # the example of https://github.com/standard-webhooks/standard-webhooks, libraries/python/tests
    made = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}'
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    with pytest.raises(LabError, match="no base64"):
        signature("whsec_***", "1", "1", b"")


def test_another_header_has_the_token_as_it_is(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    hook = {"url": receiver.url, "token": {"env": "TOKEN"}, "token_header": "X-Gitlab-Token"}
    assert only(deliver(BAD, section(webhooks=[hook]))).ok
    assert receiver.headers[0]["X-Gitlab-Token"] == SECRET


def test_a_url_that_is_a_secret_is_told_nowhere(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URL", f"http://127.0.0.1:{receiver.port}/services/T0/B1/xyzzy?key=plugh")
    hooks = section(webhooks=[{"url_from": {"env": "URL"}, "tries": 2}])
    receiver.failures = [503, 404]
    receiver.answer = b"there is no /services/T0/B1/xyzzy"
    refused = only(deliver(BAD, hooks))
    assert not refused.ok
    receiver.close()
    gone = only(deliver(BAD, hooks))
    assert "cannot be reached: Connection refused" in gone.message
    for done in (refused, gone):
        assert "xyzzy" not in str(done)
        assert "plugh" not in str(done)
    monkeypatch.setenv("URL", "ftp://x.example/xyzzy")
    wrong = only(deliver(BAD, hooks))
    assert not wrong.ok
    assert "xyzzy" not in str(wrong)


def test_a_busy_server_is_asked_again_and_others_are_not(receiver: Receiver) -> None:
    receiver.failures = [500, 503]
    assert only(deliver(BAD, section(webhooks=[{"url": receiver.url}]))).ok
    receiver.failures = [500] * 9
    done = only(deliver(BAD, section(webhooks=[{"url": receiver.url, "tries": 2}])))
    assert "answered 500" in done.message
    assert "(tried 2 ×)" in done.message
    assert len(receiver.bodies) == 3 + 2
    receiver.failures = [401]
    assert "answered 401" in only(deliver(BAD, section(webhooks=[{"url": receiver.url}]))).message
    assert len(receiver.bodies) == 6


def test_a_redirect_is_followed_nowhere(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    other = Receiver()
    receiver.redirect = other.url + "?" + quote(SECRET)
    done = only(deliver(BAD, section(webhooks=[{"url": receiver.url, "token": {"env": "TOKEN"}}])))
    assert f"a redirect to 'http://127.0.0.1:{other.port}/hook?{HIDDEN}', which is not followed" in done.message
    assert other.bodies == []
    assert len(receiver.bodies) == 1
    other.close()


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        pytest.param(b"", b"", id="says nothing"),
        pytest.param(SLOW, b"x", id="a header a byte a time"),
        pytest.param(SLOW, b"X-More: header\r\n", id="headers without end"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", id="continue for ever"),
        pytest.param(b"HTTP/1.1 500 Oops\r\nContent-Length: 9999\r\n\r\n", b".", id="an error a byte a time"),
        pytest.param(b"\xff\x00" * 70_000, b"\xff", id="noise"),
    ],
)
def test_a_server_that_does_not_end_keeps_nobody(
    rude: Callable[[bytes, bytes], Rude], first: bytes, drop: bytes
) -> None:
    server = rude(first, drop)
    done = only(deliver(BAD, section(webhooks=[{"url": f"http://127.0.0.1:{server.port}/", "timeout": 0.4}])))
    assert not done.ok
    assert server.visited.wait(60)


def test_what_is_taken_is_taken_whatever_is_said_after_it(rude: Callable[[bytes, bytes], Rude]) -> None:
    server = rude(SLOW + b"\r\n", b"x" * 9999)
    assert only(deliver(BAD, section(webhooks=[{"url": f"http://127.0.0.1:{server.port}/"}]))).ok


def test_one_that_hangs_keeps_none_of_the_others(receiver: Receiver, rude: Callable[[bytes, bytes], Rude]) -> None:
    hanging = rude(b"", b"")
    urls = [f"http://127.0.0.1:{hanging.port}/", receiver.url, "http://127.0.0.1:1/"]
    done = deliver(BAD, section(webhooks=[{"url": url, "timeout": 0.4} for url in urls]))
    assert [one.ok for one in done] == [False, True, False]


def test_hostile_text_stays_text(receiver: Receiver) -> None:
    assert only(deliver(HOSTILE, section(webhooks=[{"url": receiver.url}]))).ok
    sent = receiver.sent()
    text = sent["text"]
    assert all(part["title"].isprintable() and all(map(str.isprintable, part["lines"])) for part in sent["parts"])
    assert max(len(line) for part in sent["parts"] for line in part["lines"]) <= LINE
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert max(map(len, text.split("\n"))) < LINE + 20
    assert len(text.split("\n")) < 1000
    assert "\nBcc:" not in text
    assert "\r" not in text


def test_tls_is_verified(tls: ssl.SSLContext, certificate: Path) -> None:
    server = Receiver(tls)
    url = f"https://127.0.0.1:{server.port}/hook"
    refused = only(deliver(BAD, section(webhooks=[{"url": url, "tries": 1}])))
    assert "certificate verify failed" in refused.message
    assert only(deliver(BAD, section(webhooks=[{"url": url, "ca_file": str(certificate)}]))).ok
    assert len(server.bodies) == 1
    server.close()


def test_certificates_that_are_not_there_are_known_before() -> None:
    own = section(webhooks=[{"url": "https://127.0.0.1:9/", "ca_file": "/nowhere/ca.pem"}])
    assert missing(own) == ["`ca_file` /nowhere/ca.pem cannot be read"]
    assert only(deliver(BAD, own)).message.startswith(missing(own)[0])


def test_what_is_missing_is_known_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "open").write_text("secret")
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "lines").write_text("a\nb\n")
    (tmp_path / "large").write_text("x" * 5000)
    (tmp_path / "empty").write_text("\n")
    for name in ("lines", "large", "empty"):
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("LATIN", "pässword")
    places = [{"env": "NOT_SET"}, {"env": "LATIN"}, {"file": str(tmp_path)}, {"file": "/dev/zero"}]
    places += [{"file": str(tmp_path / name)} for name in ("open", "lines", "large", "empty", "absent")]
    hooks = [{"url": "https://x.example/", "token": place} for place in places]
    found = missing(section(webhooks=hooks))
    words = [
        "not set",
        "ASCII",
        "Is a directory",
        "regular file",
        "everybody",
        "one line",
        "regular file",
        "empty",
        "No such",
    ]
    for line, word in zip(found, words, strict=True):
        assert word in line, line
    assert "pässword" not in "".join(found)
    assert missing(section()) == []

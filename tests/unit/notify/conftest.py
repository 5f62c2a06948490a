# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers on loopback that take notices, and some that misbehave."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from panthorlab.notify import mail, webhook
from panthorlab.notify.config import NotifySection
from panthorlab.notify.notice import Notice, NoticePart
from tests.notice_servers import Receiver, Rude

BAD = Notice("run", "drm/panthor: Evict groups", "failed", 1, "/lab/runs/7", 1_767_268_800.0, 100.0, 20, 1)
HOSTILE = Notice(
    kind="run\r\nBcc: everybody@victim.example",
    title="=?utf-8?q?x=0ABcc=3A_a=40b.example?= \x1b[2J\u202e\ud800\r\nBcc: everybody@victim.example\r\n\r\nbody "
    + "A" * 10_000,
    verdict="failed\nX-Evil: 1",
    exit=1,
    directory="/lab/\x00<script>" + "d" * 10_000,
    parts=(
        NoticePart(
            "new\r\n.\r\nMAIL FROM:<x@y.example>", ("B" * 10_000, ".", "From me", "é" * 10_000, "\u2028\x85\x0b")
        ),
        *(NoticePart(f"part {number}", ("line",) * 500) for number in range(100)),
    ),
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "PAUSES", (0.01,))
    monkeypatch.setattr(mail, "PAUSE", 0.01)


def section(**keys: Any) -> NotifySection:
    return NotifySection.model_validate(keys)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def rude() -> Iterator[Callable[[bytes, bytes], Rude]]:
    made: list[Rude] = []

    def make(first: bytes, drop: bytes) -> Rude:
        made.append(Rude(first, drop))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PEM with key and certificate of 127.0.0.1, which nobody has signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture(scope="session")
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context

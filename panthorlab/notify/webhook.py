# SPDX-License-Identifier: GPL-2.0-or-later
"""A notice by HTTP POST: bounded in time, tries and size of the answer; no redirects, no proxies, signed if wanted.

A try that failed may have been received all the same, so all tries carry one id (`webhook-id`) by which a server knows
what it has. The signature is that of Standard Webhooks (standardwebhooks.com), so receivers need no code of ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import time
from typing import Final
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError as Urllib3Error

from panthorlab.board.power.secrets import redact
from panthorlab.board.power.web import MAX_ANSWER, PASSING, quoted, reason_of
from panthorlab.errors import LabError
from panthorlab.notify.config import Webhook, secret_may_go_to
from panthorlab.notify.secret import certificates, reveal

_CONNECT: Final = 10.0  # seconds
PAUSES: Final = (1.0, 2.0, 4.0)  # seconds between tries; the last one from then on
_PREFIX: Final = "whsec_"


class _BusyError(LabError):
    """Another try may do."""


def post(hook: Webhook, body: bytes, notice_id: str, deadline: float) -> None:
    """Send `body`, which is JSON, until it is taken or `deadline` (monotonic) has come. Raises LabError."""
    url = reveal(hook.url_from, "URL of a webhook") if hook.url_from else str(hook.url)
    if hook.url_from is not None:
        _hide_parts(url)
        if hook.token is not None and not secret_may_go_to(url):
            raise LabError("a token needs an https:// URL: on the way everybody could read it")
    with requests.Session() as session:
        session.trust_env = False  # neither proxies nor ~/.netrc are meant for this
        session.verify = certificates(hook.ca_file) or os.environ.get("REQUESTS_CA_BUNDLE") or True
        for number in range(1, hook.tries + 1):
            try:
                _try(session, url, body, _headers(hook, body, notice_id), deadline)
                return
            except _BusyError as error:
                pause = PAUSES[min(number, len(PAUSES)) - 1]
                if number == hook.tries or time.monotonic() + pause >= deadline:
                    raise LabError(f"{error} (tried {number} ×)") from None
                time.sleep(pause)


def _headers(hook: Webhook, body: bytes, notice_id: str) -> dict[str, str]:
    now = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "panthorlab",
        "webhook-id": notice_id,
        "webhook-timestamp": now,
    }
    if hook.token is not None:
        token = reveal(hook.token, "token of a webhook")
        bearer = "Bearer " if hook.token_header.lower() == "authorization" else ""
        headers[hook.token_header] = bearer + token
    if hook.sign is not None:
        headers["webhook-signature"] = signature(reveal(hook.sign, "key of a webhook"), notice_id, now, body)
    return headers


def signature(key: str, notice_id: str, timestamp: str, body: bytes) -> str:
    """Of Standard Webhooks, version 1. A key that begins with `whsec_` is base64, any other is taken as it is."""
    try:
        raw = base64.b64decode(key.removeprefix(_PREFIX), validate=True) if key.startswith(_PREFIX) else key.encode()
    except binascii.Error:
        raise LabError(f"the key of a webhook begins with {_PREFIX}, and is no base64 after that") from None
    signed = b".".join((notice_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.digest(raw, signed, hashlib.sha256)).decode()


def _try(session: requests.Session, url: str, body: bytes, headers: dict[str, str], deadline: float) -> None:
    left = max(0.1, deadline - time.monotonic())
    try:
        response = session.post(
            url, data=body, headers=headers, timeout=(min(_CONNECT, left), left), allow_redirects=False, stream=True
        )
        with response:
            answer = _answer(response, deadline)
    except (requests.RequestException, Urllib3Error, OSError) as error:
        # `from None`: the library's exception contains the URL, and that may be a secret
        raise _BusyError(f"cannot be reached: {reason_of(error)}") from None
    status = response.status_code
    if 200 <= status < 300:
        return
    said = f"answered {status} {redact(response.reason or '')}".rstrip()
    if 300 <= status < 400:
        target = redact(response.headers.get("Location", "nowhere"))[:200]
        raise LabError(f"{said}: a redirect to {target!r}, which is not followed")
    kind = _BusyError if status in PASSING else LabError
    raise kind(f"{said}: {quoted(answer)}")


def _answer(response: requests.Response, deadline: float) -> str:
    """What the server says, as far as it is there in time; nobody needs the rest."""
    said = b""
    while len(said) < MAX_ANSWER and time.monotonic() < deadline:
        chunk = response.raw.read1(4096, decode_content=True)
        if not chunk:
            break
        said += chunk
    return said.decode(errors="replace")


def _hide_parts(url: str) -> None:
    """Libraries tell path and query of a URL without the rest."""
    parts = urlsplit(url)
    for secret in (parts.path, parts.query, f"{parts.path}?{parts.query}"):
        if len(secret) > 1:
            redact.hide(secret)

# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP to a switch: explicit timeouts, retries with backoff, no redirects, no proxies, errors without secrets.

Every request names the wanted state, never a toggle, so a retry is safe whatever the last request did.
"""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError as Urllib3Error
from urllib3.util.retry import Retry

from panthorlab.board.power.secrets import redact
from panthorlab.board.power.switch import NeedsPersonError, StatusError, SwitchError

MAX_ANSWER = 64 * 1024
BACKOFF = 0.5  # seconds: then doubled, up to MAX_BACKOFF
MAX_BACKOFF = 5.0
PASSING = frozenset({429, 500, 502, 503, 504})  # transient statuses, worth a retry


class Web:
    """Requests to one device. `name`: the device in messages; `timeout`: seconds a single request may take."""

    def __init__(
        self,
        name: str,
        *,
        timeout: float,
        retries: int,
        auth: AuthBase | None = None,
        token: str | None = None,
        passing: frozenset[int] = PASSING,
    ) -> None:
        self.name, self._timeout = name, timeout
        self._session = requests.Session()
        # The proxy of the environment and ~/.netrc are not meant for devices of the lab.
        self._session.trust_env = False
        self._session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        self._session.auth = auth
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"
        retry = Retry(
            total=retries,
            backoff_factor=BACKOFF,
            backoff_max=MAX_BACKOFF,
            status_forcelist=passing,
            allowed_methods=None,
            redirect=False,
            raise_on_status=False,
            respect_retry_after_header=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def ask(self, method: str, url: str, *, data: object | None = None) -> str:
        """The text of a successful response. `data`: sent as JSON. Raises SwitchError."""
        try:
            response = self._session.request(
                method, url, json=data, timeout=(self._timeout, self._timeout), allow_redirects=False, stream=True
            )
            with response:
                text = self._text(response, time.monotonic() + self._timeout)
        except (requests.RequestException, Urllib3Error, OSError) as error:
            # `from None`: the library's exception contains the URL, and that may contain a password.
            raise SwitchError(
                f"{self.name} cannot be reached: {reason_of(error)}",
                hint="is it powered, on the network, and its address in the board file right?",
            ) from None
        self._check(response, text)
        return text

    def ask_json(self, method: str, url: str, *, data: object | None = None) -> Any:
        """The same, parsed."""
        text = self.ask(method, url, data=data)
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise SwitchError(
                f"{self.name} answered with something that is not JSON: {quoted(text)}",
                hint="does this address belong to such a device?",
            ) from None

    def _text(self, response: requests.Response, deadline: float) -> str:
        """The body, limited in size and total time: the timeout of `requests` only limits gaps between bytes."""
        body = b""
        while chunk := response.raw.read1(4096, decode_content=True):
            body += chunk
            if len(body) > MAX_ANSWER:
                raise SwitchError(f"{self.name} answered with more than {MAX_ANSWER // 1024} KiB")
            if time.monotonic() > deadline:
                raise SwitchError(f"{self.name} did not end its answer within {self._timeout:g} s")
        return body.decode(errors="replace")

    def _check(self, response: requests.Response, text: str) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        answer = f"{self.name} answered {status} {redact(response.reason or '')}".rstrip()
        if 300 <= status < 400:
            target = redact(response.headers.get("Location", "nowhere"))[:200]
            raise NeedsPersonError(
                f"{answer}: a redirect to {target}, which is not followed",
                hint="if that is the right address, write it into the board file",
            )
        if status in (401, 403):
            raise NeedsPersonError(
                f"{answer}: it wants another user or password",
                hint="look at `user`, `password_env` and `token_env` in the board file",
            )
        if status in PASSING:
            raise StatusError(f"{answer}: {quoted(text)}", status=status)
        raise NeedsPersonError(f"{answer}: {quoted(text)}")


def base_url(host: str, port: int) -> str:
    """`http://HOST:PORT`, an IPv6 address in brackets."""
    return f"http://[{host}]:{port}" if ":" in host and not host.startswith("[") else f"http://{host}:{port}"


def quoted(text: str) -> str:
    """The beginning of an untrusted response, made safe for one line of a message."""
    shown = redact(text)[:200]
    return repr(shown) if shown.strip() else "an empty answer"


def reason_of(error: Exception) -> str:
    """A short reason, extracted from the libraries' nested exceptions."""
    text = redact(str(error))
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return "it did not answer in time"
    # e.g. `(Caused by NewConnectionError("HTTPConnection(host='plug', port=80): Failed to …: [Errno 111] …"))`
    found = re.findall(r"\[Errno -?\d+\] ([^'\")\]]+)", text)
    if found:
        return str(found[-1])
    cause = re.search(r"\(Caused by (.*)\)\s*$", text)
    return (cause[1] if cause else text)[:300]

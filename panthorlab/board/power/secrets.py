# SPDX-License-Identifier: GPL-2.0-or-later
"""Secrets of board files and notifications: read from the environment, and kept out of messages and logs in all their
encodings."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from panthorlab.board.power.switch import NeedsPersonError

HIDDEN = "***"
LEAKY_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry")
"""Loggers that log request URLs, which contain the password for some devices."""


def from_environment(variable: str, what: str) -> str:
    """The value of an environment variable that a file of the user's names. Raises LabError if it is unset or empty."""
    value = os.environ.get(variable, "")
    if not value:
        raise NeedsPersonError(
            f"the environment variable {variable} ({what}) is not set",
            hint=f"export {variable}=…, or take its name out of the file that has it if none is needed",
        )
    if any(ord(character) < 0x20 for character in value):
        raise NeedsPersonError(
            f"the environment variable {variable} ({what}) holds a line end or control character",
            hint="was it read from a file with its last newline?",
        )
    return value


class Redactor(logging.Filter):
    """Replaces secrets in text and, as a filter on the HTTP library's loggers, in log messages."""

    def __init__(self) -> None:
        super().__init__()
        self._forms: set[str] = set()

    def hide(self, secret: str, user: str = "") -> None:
        """Hide `secret` from now on: verbatim, URL-encoded, or as basic authentication of `user`."""
        basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
        self._forms |= {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), basic, repr(secret)[1:-1]}

    def __call__(self, text: str) -> str:
        for form in _longest_first(self._forms):
            text = text.replace(form, HIDDEN)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self(record.getMessage()), ()
        return True


def _longest_first(forms: Iterable[str]) -> list[str]:
    return sorted(forms, key=len, reverse=True)


redact = Redactor()
"""One for the whole process: a board's secret must not appear in a message about another board either."""
for _name in LEAKY_LOGGERS:
    logging.getLogger(_name).addFilter(redact)

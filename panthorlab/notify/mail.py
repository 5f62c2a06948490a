# SPDX-License-Identifier: GPL-2.0-or-later
"""A notice by mail: plain text, over TLS unless the file says otherwise, to the people of the file and nobody else."""

from __future__ import annotations

import smtplib
import ssl
import time
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, localtime
from typing import Final

from panthorlab.board.power.secrets import redact
from panthorlab.errors import LabError
from panthorlab.notify.config import MailRoute
from panthorlab.notify.notice import Notice, subject, text
from panthorlab.notify.secret import certificates, reveal
from panthorlab.report.text import fit, plain

_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
PAUSE: Final = 5.0  # seconds between tries


class _BusyError(LabError):
    """Another try may do."""


def message(mail: MailRoute, notice: Notice, notice_id: str, link: str) -> EmailMessage:
    """The mail. What is in a notice stands in its headers as one line that cannot be decoded into several."""
    made = EmailMessage(policy=SMTP)
    made["From"] = mail.sender
    made["To"] = ", ".join(mail.to)
    made["Subject"] = f"[panthorlab] {subject(notice)}".replace("=?", "= ?")
    made["Date"] = format_datetime(localtime())
    made["Message-ID"] = f"<{notice_id}@{mail.sender.partition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's vacation shall answer
    made.set_content(text(notice, link), charset="utf-8", cte="quoted-printable")
    return made


def send(mail: MailRoute, made: EmailMessage, deadline: float) -> None:
    """Give the mail to the server, before `deadline` (monotonic). Raises LabError, also if it refuses one recipient."""
    password = reveal(mail.password, "password of the mail server") if mail.password else ""
    for number in range(1, mail.tries + 1):
        try:
            _try(mail, made, password, deadline)
            return
        except _BusyError as error:
            if number == mail.tries or time.monotonic() + PAUSE >= deadline:
                raise LabError(f"{error} (tried {number} ×)") from None
            time.sleep(PAUSE)


def _try(mail: MailRoute, made: EmailMessage, password: str, deadline: float) -> None:
    try:
        with _connected(mail, max(0.1, deadline - time.monotonic())) as server:
            if password:
                server.login(str(mail.user), password)
            refused = server.send_message(made, mail.sender, mail.to)
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except smtplib.SMTPResponseException as error:
        kind = _BusyError if 400 <= error.smtp_code < 500 else LabError
        raise kind(f"answered {error.smtp_code} {_said(error.smtp_error)}") from None
    except ssl.SSLError as error:
        raise LabError(f"cannot be trusted: {_said(str(error))}", hint="see `ca_file`") from None
    except smtplib.SMTPNotSupportedError as error:
        raise LabError(_said(str(error)), hint="see `security` and `user`") from None
    except (smtplib.SMTPException, OSError) as error:
        raise _BusyError(f"cannot be reached: {_said(str(error) or type(error).__name__)}") from None
    if refused:
        who = ", ".join(f"{address} ({code} {_said(why)})" for address, (code, why) in sorted(refused.items()))
        raise LabError(f"refused {who}")


def _connected(mail: MailRoute, timeout: float) -> smtplib.SMTP:
    port = mail.port or _PORTS[mail.security]
    context = ssl.create_default_context(cafile=certificates(mail.ca_file))
    if mail.security == "tls":
        return smtplib.SMTP_SSL(mail.host, port, timeout=timeout, context=context)
    server = smtplib.SMTP(mail.host, port, timeout=timeout)
    if mail.security == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
    return server


def _said(words: str | bytes) -> str:
    """What a server said, for one line of a message."""
    return fit(redact(plain(words.decode("utf-8", "replace") if isinstance(words, bytes) else words)), 200)

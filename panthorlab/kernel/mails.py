# SPDX-License-Identifier: GPL-2.0-or-later
"""The patches in mails: one mail, an mbox of a series or of a whole thread, or no mail but a diff alone.

As `git am` and b4 read them: a reply is no patch if it answers one, a series is in the order of its `[PATCH n/m]`.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage

from panthorlab.errors import PatchError

PATCH_SUFFIXES = (".patch", ".diff")
MAX_TITLE = 200
_MAX_SUBJECT = 1000
_DIFF = re.compile(rb"^(?:diff --git |diff --cc |--- [^\n]*\n\+\+\+ |GIT binary patch|Binary files )", re.MULTILINE)
_FROM_LINE = re.compile(rb"^From \S+ +\w{3} +\w{3} +\d.*\d{4}\r?\n(?=[\w-]+:)", re.MULTILINE)
_HEADER = re.compile(rb"\A(?:[A-Za-z][\w-]*:[^\n]*\n(?:[ \t][^\n]*\n)*)+\r?\n")
_TAGS = re.compile(r"^\s*(?:(?:re|aw|fwd?):\s*|\[[^\]]*\]\s*)+", re.IGNORECASE)
_REPLY = re.compile(r"^\s*(?:re|aw):", re.IGNORECASE)
_PATCH_TAG = re.compile(r"\[(?P<words>[^\]]*\bpatch\b[^\]]*)\]", re.IGNORECASE)
_CR_HEADER = re.compile(rb"^(?:diff --git [^\n]*\r$|--- [^\n]*\r\n\+\+\+ )", re.MULTILINE)


@dataclass(frozen=True)
class PatchText:
    """One patch. `text`: the diff, decoded as latin-1 (bytes are kept). `origin`: where it was read."""

    title: str
    origin: str
    text: str


@dataclass(frozen=True)
class Mail:
    """A mail, or a diff alone. `patch`: None if there is no diff in it.

    `version`, `number`, `total`: 2, 1, 3 of `[PATCH v2 1/3]`; number and total are None if it is no series.
    """

    patch: PatchText | None
    version: int = 1
    number: int | None = None
    total: int | None = None
    reply: bool = False


def read_mails(data: bytes, origin: str) -> list[Mail]:
    """Everything in a file, in its order. Raises PatchError for mails that cannot be read."""
    return [_read_mail(mail, origin, number) for number, mail in enumerate(_split(data), 1)]


def in_order(mails: Sequence[Mail], origin: str) -> list[PatchText]:
    """The patches of `mails` as they are to be applied. Raises PatchError for two versions of the same patch."""
    found = [mail for mail in mails if mail.patch is not None]
    found = [mail for mail in found if not mail.reply] or found
    known: dict[str, Mail] = {}
    unique: list[Mail] = []
    for mail in found:
        assert mail.patch is not None  # noqa: S101 - filtered above
        first = known.setdefault(mail.patch.title, mail)
        if first.version != mail.version:
            raise PatchError(
                f"{origin} has “{mail.patch.title}” as v{first.version} and as v{mail.version}",
                hint="keep the mails of one version only (`b4 am` takes the newest)",
            )
        if first is mail or first.patch is None or first.patch.text != mail.patch.text:  # else: came by two lists
            unique.append(mail)
    numbers = [mail.number for mail in unique]
    if None not in numbers and len({mail.total for mail in unique}) == 1 and len(set(numbers)) == len(numbers):
        unique.sort(key=lambda mail: mail.number or 0)
    return [mail.patch for mail in unique if mail.patch is not None]


def _split(data: bytes) -> Iterator[bytes]:
    starts = [match.start() for match in _FROM_LINE.finditer(data)]
    if not starts or data[:starts[0]].strip():
        yield data
        return
    for begin, end in zip(starts, [*starts[1:], len(data)], strict=True):
        yield data[begin:end].partition(b"\n")[2]


def _read_mail(data: bytes, origin: str, number: int) -> Mail:
    title = origin if number == 1 else f"{origin} #{number}"
    subject, body = "", data
    if _HEADER.match(data) and re.search(rb"^(?:subject|from|message-id):", data, re.IGNORECASE | re.MULTILINE):
        try:
            message = email.message_from_bytes(data, policy=email.policy.default)
            subject = " ".join(str(message.get("Subject", "")).split())[:_MAX_SUBJECT]
            body = b"\n".join(_bodies(message))
        except (LookupError, ValueError, TypeError, AttributeError) as error:  # the parser has bugs of its own
            raise PatchError(
                f"{title}: the headers of this mail are damaged", hint="leave them out: give the diff alone",
            ) from error
        title = printable(_TAGS.sub("", subject)) or title
    body = _unix_lines(body)
    match = _DIFF.search(body)
    patch = PatchText(title, origin, body[match.start():].decode("latin-1")) if match else None
    return Mail(patch, *_place_in_series(subject), reply=bool(_REPLY.match(subject)))


def _place_in_series(subject: str) -> tuple[int, int | None, int | None]:
    tag = _PATCH_TAG.search(subject)
    if tag is None:
        return 1, None, None
    version = re.search(r"\bv(\d{1,4})\b", tag["words"], re.IGNORECASE)
    place = re.search(r"\b(\d{1,4})/(\d{1,4})\b", tag["words"])
    numbers = (int(place[1]), int(place[2])) if place else (None, None)
    return int(version[1]) if version else 1, *numbers


def printable(title: str) -> str:
    """Without what could command a terminal, and no longer than anybody reads."""
    text = "".join(char for char in title if char.isprintable())
    return text if len(text) <= MAX_TITLE else f"{text[:MAX_TITLE]}…"


def _bodies(message: EmailMessage) -> Iterator[bytes]:
    for part in message.walk():
        text = part.get_content_maintype() == "text" and part.get_content_subtype() != "html"
        attached = str(part.get_filename() or "").lower().endswith(PATCH_SUFFIXES)
        if not (text or attached) or part.is_multipart():
            continue
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            payload = _unix_lines(payload)
            flowed = str(part.get_param("format") or "").lower() == "flowed"
            yield _unflow(payload, delete=str(part.get_param("delsp")).lower() == "yes") if flowed else payload


def _unflow(data: bytes, *, delete: bool) -> bytes:
    """Undo format=flowed (RFC 3676): the space in front of lines, and line breaks behind a space."""
    # Some mailers say that they flow, and do not: then the context lines of a diff have their one space.
    if re.search(rb"^ [^ >F\n]", data, re.MULTILINE):
        return data
    lines: list[bytes] = []
    begun = b""
    for raw in data.split(b"\n"):
        line = raw.removeprefix(b" ")
        if raw != b"-- " and line.endswith(b" ") and line.strip():
            begun += line[:-1] if delete else line
            continue
        lines.append(begun + line)
        begun = b""
    return b"\n".join([*lines, begun] if begun else lines)


def _unix_lines(data: bytes) -> bytes:
    """Undo a mail gateway's or an editor's CRLF: then headers of the diff have it, too, not only lines of files."""
    whole = data.count(b"\r\n") == data.count(b"\n")
    return data.replace(b"\r\n", b"\n") if whole or _CR_HEADER.search(data) else data

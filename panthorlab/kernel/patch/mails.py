# SPDX-License-Identifier: GPL-2.0-or-later
"""The patches in mails: one mail, an mbox of a series or of a whole thread, or no mail but a diff alone.

Here every mail is read by itself, as `git am` reads it; `series.py` decides which of them are the series.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from email.utils import parseaddr

from panthorlab.errors import PatchError
from panthorlab.kernel.patch import mailtext
from panthorlab.kernel.patch.difflines import diff_lines
from panthorlab.kernel.patch.letter import Letter, letter_of
from panthorlab.kernel.patch.mailtext import DIFF, Facts
from panthorlab.kernel.patch.subject import Subject, parse_subject, printable

PATCH_SUFFIXES = (".patch", ".diff")
_DEEPEST = 4  # mails in mails
_MAX_HEADERS = 64 << 10  # their parser takes time by the square of it
# As `git mailsplit`: by its time, whatever stands for the sender (pipermail writes `joe at example.org`).
_FROM_LINE = re.compile(
    rb"^From (?:\S+ +\w{3} +\w{3} +\d|[^\n]{0,300}?\d:\d\d:\d\d)[^\n]{0,60}\d{4}[^\n]{0,60}\n"
    rb"(?=(?:>From [^\n]*\n)*[!-9;-~]+:)",
    re.MULTILINE,
)
_ESCAPED_FROM = re.compile(rb"\A(?:>From [^\n]*\n)+")  # of an mbox that was put into another
_HEADER = re.compile(rb"\A(?:[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*)+\r?\n")  # names: RFC 5322, 2.2
_FIRST_LINES = re.compile(rb"\A(?:[^\r\n][^\n]*\n)+")
_NEXT_HEADER = re.compile(
    rb"^(?:From|Date|Message-ID):[^\n]*\n(?:[^\n]+\n){0,200}?Subject:|^Subject:[^\n]*\n(?:[^\n]+\n){0,200}?"
    rb"(?:From|Date|Message-ID):",
    re.MULTILINE | re.IGNORECASE,
)
_MAIL_FIELD = re.compile(rb"^(?:subject|from|message-id):", re.IGNORECASE | re.MULTILINE)
_SUBJECT = re.compile(rb"^subject:", re.IGNORECASE | re.MULTILINE)
_MULTIPART = re.compile(rb"^content-type:\s*multipart/", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID = re.compile(r"<([^<>\s]+)>")


@dataclass(frozen=True)
class PatchText:
    """One patch. `text`: the diff, decoded as latin-1 (bytes are kept). `origin`: where it was read.

    `message`: the commit's, without its title, and what follows it above the diff; `author`: NAME <ADDRESS>. Both are
    empty for a diff alone.
    """

    title: str
    origin: str
    text: str
    message_id: str | None = None
    message: str = ""
    author: str = ""


@dataclass(frozen=True)
class Mail:
    """A mail, or a diff alone. `patch`: None if there is no diff in it, or it is a cover letter.

    `parents`: the message-ids it answers. `sender`: the address of its From. `trailers`: lines like `Acked-by: …` that
    it does not quote. `notes`: what was done to read it, a sentence each. `letter`: what an answer to it needs.
    """

    patch: PatchText | None
    subject: Subject = field(default_factory=Subject)
    message_id: str | None = None
    parents: frozenset[str] = frozenset()
    facts: Facts = field(default_factory=Facts)
    notes: tuple[str, ...] = ()
    sender: str = ""
    trailers: tuple[str, ...] = ()
    letter: Letter | None = None

    @property
    def reply(self) -> bool:
        """Whether it answers or forwards another. A patch 2/2 answers its cover letter, too, but says [PATCH]."""
        return self.subject.reply or (not self.subject.tagged and bool(self.parents))

    @property
    def title(self) -> str:
        return self.patch.title if self.patch else self.subject.title

    @property
    def content(self) -> str:
        """Only the lines of its diff: equal for two copies with different footers."""
        return diff_content(self.patch) if self.patch else ""


def diff_content(patch: PatchText) -> str:
    """Headers and hunks of a patch; all of its text if they are damaged, which is reported later."""
    try:
        return "".join(diff_lines(patch.text, patch.title))
    except PatchError:
        return patch.text


def read_mails(data: bytes, origin: str) -> list[Mail]:
    """Everything in a file, in its order. Raises PatchError for mails that cannot be read."""
    mails: list[Mail] = []
    for number, mail in enumerate(split_mails(data), 1):
        mails += _read_mail(mail, origin, origin if number == 1 else f"{origin} #{number}", 0)
    return mails


def split_mails(data: bytes) -> Iterator[bytes]:
    """The mails of an mbox without the lines between them; what is none comes as it is."""
    starts = [match.start() for match in _FROM_LINE.finditer(data)]
    head = _HEADER.match(data)
    if not starts or (starts[0] > 0 and head is not None and _MULTIPART.search(head[0])):
        yield data  # a mail alone; what looks like the next one is attached to it
        return
    if data[: starts[0]].strip():
        yield data[: starts[0]]
    for begin, end in zip(starts, [*starts[1:], len(data)], strict=True):
        yield _ESCAPED_FROM.sub(b"", data[begin:end].partition(b"\n")[2])


def _is_mail(data: bytes) -> bool:
    head = _HEADER.match(data)
    return head is not None and _MAIL_FIELD.search(head[0]) is not None


def _read_mail(data: bytes, origin: str, name: str, depth: int) -> list[Mail]:
    if not _is_mail(data):
        first = _FIRST_LINES.match(data)
        if first and _SUBJECT.search(first[0]) and re.search(rb"^from:", first[0], re.MULTILINE | re.IGNORECASE):
            raise _damaged(name)  # what they say of version and place would be lost
        return [_one_mail(name, origin, Subject(), [data])]
    try:
        return _read_message(email.message_from_bytes(data, policy=email.policy.default), origin, name, depth)
    except (LookupError, ValueError, TypeError, AttributeError) as error:  # the parser has bugs of its own
        raise _damaged(name) from error


def _damaged(name: str) -> PatchError:
    return PatchError(f"{name}: the headers of this mail are damaged", hint="leave them out: give the diff alone")


def _read_message(message: EmailMessage, origin: str, name: str, depth: int) -> list[Mail]:
    if sum(len(value) for _, value in message.raw_items()) > _MAX_HEADERS:
        raise PatchError(
            f"{name}: the headers of this mail are longer than {_MAX_HEADERS >> 10} KiB",
            hint="leave them out: give the diff alone",
        )
    subject = parse_subject(str(message.get("Subject", "")))
    own_id = _MESSAGE_ID.search(str(message.get("Message-ID", "")))
    parents = frozenset(_MESSAGE_ID.findall(f"{message.get('In-Reply-To', '')} {message.get('References', '')}"))
    bodies: list[bytes] = []
    attached: list[Mail] = []
    for part in _parts(message):
        inside = part is not message
        if inside and part.get_content_type() == "message/rfc822" and depth < _DEEPEST:
            for inner in part.iter_parts():
                if isinstance(inner, EmailMessage):
                    attached += _read_message(inner, origin, f"{name}, attached mail", depth + 1)
        elif (body := _body(part, inside=inside)) is None:
            continue
        elif inside and depth < _DEEPEST and (part.get_filename() or part.is_attachment()) and _is_mail_file(body):
            for mail in split_mails(body):
                attached += _read_mail(mail, origin, f"{name}, attachment {part.get_filename()}", depth + 1)
        else:
            bodies.append(body)
    outer = _one_mail(name, origin, subject, bodies, own_id[1] if own_id else None, parents)
    outer = replace(_from(outer, str(message.get("From", ""))), letter=letter_of(message))
    if outer.reply:
        attached = [replace(mail, subject=replace(mail.subject, reply=True)) for mail in attached]
    if outer.patch and outer.content in {mail.content for mail in attached}:
        outer = replace(outer, patch=None)  # the same inline and attached
    return [outer, *attached]


def _from(mail: Mail, sender: str) -> Mail:
    """`mail` with its sender, who is the author of its patch unless the text names another."""
    patch = mail.patch
    if patch is not None and not patch.author:
        patch = replace(patch, author=printable(sender))
    return replace(mail, patch=patch, sender=parseaddr(sender)[1].lower())


def _one_mail(
    name: str,
    origin: str,
    subject: Subject,
    bodies: list[bytes],
    message_id: str | None = None,
    parents: frozenset[str] = frozenset(),
) -> Mail:
    texts: dict[str, str] = {}
    notes: list[str] = []
    title, facts, message, author = subject.title, Facts(), "", ""
    trailers: list[str] = []
    for number, body in enumerate(bodies):
        text = _clean(body, name, notes)
        own = mailtext.in_body_headers(text) if number == 0 else {}
        title = parse_subject(own.get("subject", "")).title or title
        author = printable(own.get("from", "")) or author
        facts = facts.or_else(mailtext.read_facts(text))
        trailers += mailtext.read_trailers(text)
        if (match := DIFF.search(text)) is not None:
            _check_one(text, match.start(), name)
            message = message or mailtext.below_headers(text[: match.start()])
            diff = PatchText(title or name, origin, text[match.start() :].decode("latin-1"))
            texts.setdefault(diff_content(diff), diff.text)  # inline and attached copies of one diff are one
    mailed = subject.title or author  # else what stands above a diff is nobody's commit message
    patch = (
        PatchText(title or name, origin, "".join(texts.values()), message_id, message if mailed else "", author)
        if texts
        else None
    )
    if patch and subject.number == 0 and not subject.reply:
        notes.append(f"the cover letter “{patch.title}” has a diff in it, which is left out")
        patch = None
    return Mail(
        patch,
        replace(subject, title=title),
        message_id,
        parents,
        facts,
        tuple(dict.fromkeys(notes)),
        trailers=tuple(dict.fromkeys(trailers)),
    )


def _check_one(text: bytes, diff: int, name: str) -> None:
    """Raise PatchError if another mail with a diff begins behind the first diff: `cat *.eml`, a digest of a list."""
    following = _NEXT_HEADER.search(text, diff)
    if following is not None and DIFF.search(text, following.end()) is not None:
        raise PatchError(
            f"{name} has several mails in it, and no line `From …` between them",
            hint="save them as an mbox, or give each as a file of its own",
        )


def _clean(body: bytes, name: str, notes: list[str]) -> bytes:
    """`body` as its author wrote it. Raises PatchError if that cannot be known."""
    text = mailtext.unix_lines(body)
    if (plain := mailtext.without_colours(text)) != text:
        notes.append("the colours of a terminal were taken out of it")
    if (signed := mailtext.signed_text(plain)) != plain:
        notes.append("it is signed by PGP; the signature was not checked")
    text = mailtext.below_scissors(signed)
    if mailtext.has_scissors_behind(text):
        raise PatchError(
            f"{name} has one diff above and one below its line of scissors (-- >8 --)",
            hint="give the one that is meant alone",
        )
    return text


def _parts(message: EmailMessage) -> Iterator[EmailMessage]:
    """The leaves of a mail's MIME tree; a mail in it is one leaf."""
    if message.get_content_maintype() == "message" or not message.is_multipart():
        yield message
        return
    for part in message.get_payload():
        if isinstance(part, EmailMessage):
            yield from _parts(part)


def _is_mail_file(data: bytes) -> bool:
    head = _HEADER.match(data)
    return _FROM_LINE.match(data) is not None or (head is not None and _SUBJECT.search(head[0]) is not None)


def _body(part: EmailMessage, *, inside: bool) -> bytes | None:
    """The text of a leaf, or None if it cannot contain a patch. `inside`: it is one of several."""
    text = part.get_content_maintype() == "text" and part.get_content_subtype() != "html"
    attached = str(part.get_filename() or "").lower().endswith(PATCH_SUFFIXES)
    payload = part.get_payload(decode=True) if (text or attached) and not part.is_multipart() else None
    if not isinstance(payload, bytes):
        return None
    payload = mailtext.unix_lines(payload)
    encoding = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
    if inside and encoding != "base64" and not payload.endswith(b"\n"):
        payload += b"\n"  # it belongs to the boundary behind the part
    if str(part.get_param("format") or "").lower() == "flowed":
        return mailtext.unflow(payload, delete=str(part.get_param("delsp")).lower() == "yes")
    return payload

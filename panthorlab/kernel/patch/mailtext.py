# SPDX-License-Identifier: GPL-2.0-or-later
"""Undoing changes by mailers, terminals and people to a patch's text: each a pure function over bytes.

None of them changes an intact line of a patch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from panthorlab.kernel.patch.subject import printable

DIFF = re.compile(rb"^(?:diff --git |diff --cc |--- [^\n]*\n\+\+\+ |GIT binary patch|Binary files )", re.MULTILINE)
_CR_HEADER = re.compile(rb"^(?:diff --git [^\n]*\r$|--- [^\n]*\r\n\+\+\+ )", re.MULTILINE)
_COLOUR = re.compile(rb"\x1b\[[0-9;]*[mK]")
_COLOURED = re.compile(rb"^(?:\x1b\[[0-9;]*[mK])+(?:diff --git |--- |\+\+\+ |@@ )", re.MULTILINE)
_SIGNED = re.compile(rb"^-----BEGIN PGP SIGNED MESSAGE-----[ \t]*\n(?:[\w-]+:[^\n]*\n)*[ \t]*\n", re.MULTILINE)
_SIGNATURE, _SIGNATURE_END = b"\n-----BEGIN PGP SIGNATURE-----", b"\n-----END PGP SIGNATURE-----"
# As `git mailinfo --scissors`: a line of dashes and scissors, at least two dashes of it.
_SCISSORS = re.compile(
    rb"^-[ -]*(?:>8|8<|>%|%<)(?:[ -]|>8|8<|>%|%<|cut here)*-[ \t]*$\n?", re.MULTILINE | re.IGNORECASE
)
_IN_BODY = re.compile(rb"\A\s*(?:(?:From|Date|Subject):[^\n]*\n(?:[ \t][^\n]*\n)*)+", re.IGNORECASE)
_FACT = re.compile(
    rb"^(base-commit|prerequisite-patch-id|prerequisite-change-id|prerequisite-message-id|change-id):[ \t]*<?([^\s>]+)",
    re.MULTILINE | re.IGNORECASE,
)
_ID = re.compile(r"[0-9a-f]{7,64}")
_TRAILER = re.compile(rb"^(?:[A-Z][A-Za-z]{1,20}-){1,4}by: [^\n]{1,200}@[^\n]{1,200}$", re.MULTILINE)


@dataclass(frozen=True)
class Facts:
    """What git format-patch and b4 write beneath a patch or cover letter. `prerequisites`: `KIND: ID`, in order."""

    base_commit: str | None = None
    change_id: str | None = None
    prerequisites: tuple[str, ...] = ()

    def or_else(self, other: Facts) -> Facts:
        """These facts, completed from `other`."""
        return Facts(
            self.base_commit or other.base_commit,
            self.change_id or other.change_id,
            self.prerequisites or other.prerequisites,
        )


def read_facts(text: bytes) -> Facts:
    """The trailers of `text`; they start their line, as no line of a diff does."""
    base = change = None
    needed: list[str] = []
    for raw_name, raw_value in _FACT.findall(text):
        name, value = raw_name.decode().lower(), printable(raw_value.decode(errors="replace"))
        if name == "change-id":
            change = change or value
        elif name in ("base-commit", "prerequisite-patch-id") and not _ID.fullmatch(value):
            continue
        elif name == "base-commit":
            base = base or value
        else:
            needed.append(f"{name}: {value}")
    return Facts(base, change, tuple(dict.fromkeys(needed)))


def unix_lines(data: bytes) -> bytes:
    """Undo a mail gateway's or an editor's CRLF: then headers of the diff have it, too, not only lines of files."""
    whole = data.count(b"\r\n") == data.count(b"\n")
    return data.replace(b"\r\n", b"\n") if whole or _CR_HEADER.search(data) else data


def unflow(data: bytes, *, delete: bool) -> bytes:
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


def without_colours(data: bytes) -> bytes:
    """Undo `git diff --color`. What only has an escape sequence somewhere in a line stays as it is."""
    return _COLOUR.sub(b"", data) if _COLOURED.search(data) else data


def signed_text(data: bytes) -> bytes:
    """The text of clear-signed messages without their armour and dash escapes (RFC 4880, 7.1)."""
    kept: list[bytes] = []
    at = 0
    while (begin := _SIGNED.search(data, at)) is not None:
        end = data.find(_SIGNATURE, begin.end() - 1)
        if end < 0:
            break
        kept += [data[at : begin.start()], re.sub(rb"^- ", b"", data[begin.end() : end + 1], flags=re.MULTILINE)]
        closed = data.find(_SIGNATURE_END, end)
        at = len(data) if closed < 0 else closed + len(_SIGNATURE_END)
    return b"".join([*kept, data[at:]])


def below_scissors(data: bytes) -> bytes:
    """The text below the last `-- >8 --`, if the patch is there."""
    end = max((match.end() for match in _SCISSORS.finditer(data, 0, _first_diff(data))), default=0)
    return data[end:]


def has_scissors_behind(data: bytes) -> bool:
    """Whether a scissors line shows that the diff above it is not the patch."""
    cut = _SCISSORS.search(data, _first_diff(data))
    return cut is not None and DIFF.search(data, cut.end()) is not None


def in_body_headers(data: bytes) -> dict[str, str]:
    """What the first lines of a body give in the place of the mail's `from`, `date` and `subject`."""
    head = _IN_BODY.match(data)
    found = re.findall(rb"^(From|Date|Subject):((?:[^\n]|\n[ \t])*)", head[0], re.MULTILINE | re.I) if head else []
    return {name.decode().lower(): " ".join(value.decode(errors="replace").split()) for name, value in found}


def below_headers(data: bytes) -> str:
    """The text above a diff without in-body headers: a commit's message, and what follows behind its `---`."""
    head = _IN_BODY.match(data)
    return data[head.end() if head else 0 :].decode(errors="replace").strip("\n")


def read_trailers(text: bytes) -> list[str]:
    """Lines such as `Reviewed-by: NAME <ADDRESS>` above the diff, not quoted, and fit to be shown."""
    return [printable(line.decode(errors="replace")) for line in _TRAILER.findall(text, 0, _first_diff(text))]


def _first_diff(data: bytes) -> int:
    found = DIFF.search(data)
    return found.start() if found else len(data)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading patches from wherever the user has them: file, mbox, directory, stdin, git range, mailing list.

Everything that comes in is untrusted: sizes are bounded, and what is no patch is said to be none.
"""

from __future__ import annotations

import email
import email.policy
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import BinaryIO

from panthorlab.errors import LabError, PatchError
from panthorlab.kernel.git import git, top_level
from panthorlab.kernel.tools import run

MAX_BYTES = 16 << 20
_SUFFIXES = (".patch", ".diff", ".mbox", ".eml", ".mbx")
_DIFF = re.compile(rb"^(?:diff --git |--- [^\n]*\n\+\+\+ |GIT binary patch|Binary files )", re.MULTILINE)
_FROM_LINE = re.compile(rb"^From \S+ +\w{3} +\w{3} +\d.*\d{4}\r?\n(?=[\w-]+:)", re.MULTILINE)
_HEADER = re.compile(rb"\A(?:[A-Za-z][\w-]*:[^\n]*\n(?:[ \t][^\n]*\n)*)+\r?\n")
_TAGS = re.compile(r"^\s*(?:(?:re|fwd?):\s*|\[[^\]]*\]\s*)+", re.IGNORECASE)
_LORE = re.compile(r"^https?://(?:lore\.kernel\.org|patch\.msgid\.link|msgid\.link)/(?:r/|[^/]+/)?(?P<id>[^/]+@[^/]+)")


@dataclass(frozen=True)
class PatchText:
    """One patch. `text`: the diff, decoded as latin-1 (bytes are kept). `origin`: where it was read."""

    title: str
    origin: str
    text: str


def read_patches(spec: str, repository: Path | None = None, stdin: BinaryIO | None = None) -> list[PatchText]:
    """All patches that `spec` names, in order.

    `repository`: where a git range is looked up (else the current directory). Raises PatchError if `spec` names no
    patch, LabError if b4 is needed and missing or the list cannot be reached.
    """
    path = Path(spec).expanduser()
    if spec == "-":
        return parse(_bounded(stdin or sys.stdin.buffer, "standard input"), "standard input")
    if path.is_dir():
        return _read_directory(path)
    if path.exists():  # a file, or a pipe of the shell's
        with path.open("rb") as file:
            return parse(_bounded(file, str(path)), path.name)
    if match := _LORE.match(spec):
        return _read_list(match["id"])
    if re.fullmatch(r"<?[^\s@/]+@[^\s@/]+>?", spec):
        return _read_list(spec.strip("<>"))
    if ".." in spec and "/.." not in f"/{spec}":
        return _read_range(spec, repository or Path.cwd())
    raise PatchError(
        f"no such patch: {spec}",
        hint="a file, a directory of patches, -, a git range like v6.18..fix, or a message-id",
    )


def parse(data: bytes, origin: str) -> list[PatchText]:
    """The patches in a file: one diff, one mail, or an mbox of several. Raises PatchError if there are none."""
    if not data.strip():
        raise PatchError(f"{origin} is empty", hint="give a patch: the output of git format-patch or diff -u")
    if b"\0" in data:
        raise PatchError(f"{origin} is binary, not a patch", hint="is it compressed? unpack it first")
    found = [patch for number, mail in enumerate(_messages(data), 1) if (patch := _message(mail, origin, number))]
    if not found:
        raise PatchError(
            f"{origin} is not a patch: there is no diff in it", hint="expected lines like `--- a/file` and `@@`",
        )
    return found


def _bounded(file: BinaryIO, name: str) -> bytes:
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise PatchError(
            f"{name} is larger than {MAX_BYTES >> 20} MiB, which no patch to test is",
            hint="for a whole tree use --base PATH, or give a git tree at two revisions",
        )
    return data


def _read_directory(path: Path) -> list[PatchText]:
    series = path / "series"
    if series.is_file():
        names = [line.split("#")[0].split() for line in series.read_text(errors="replace").splitlines()]
        files = [path / words[0] for words in names if words]
    else:
        files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file())
    if not files:
        raise PatchError(
            f"there are no patches in {path}", hint=f"looked for {', '.join(_SUFFIXES)} and a file `series`",
        )
    patches = []
    for file in files:
        if not file.resolve().is_relative_to(path.resolve()) or not file.is_file():
            raise PatchError(f"{series} names {file.name}, which is not in {path}")
        with file.open("rb") as opened:
            patches += parse(_bounded(opened, str(file)), file.name)
    return patches


def _read_range(spec: str, repository: Path) -> list[PatchText]:
    if top_level(repository) is None:
        raise PatchError(
            f"no such patch: {spec}", hint=f"{repository} is no git repository, so it is no git range either",
        )
    argv = ("format-patch", "--stdout", "--no-signature", "--no-color", "--no-ext-diff", "--no-textconv")
    try:
        data = git(repository, *argv, "--end-of-options", spec)
    except LabError as error:
        raise PatchError(f"git knows no range {spec} in {repository}", hint=str(error).splitlines()[-1]) from error
    if not data.strip():
        raise PatchError(f"the git range {spec} has no commits", hint="older..newer; the left side is left out")
    if len(data) > MAX_BYTES:
        raise PatchError(
            f"the git range {spec} is larger than {MAX_BYTES >> 20} MiB", hint="build both ends: --base PATH@REV",
        )
    return parse(data, spec)


def _read_list(message_id: str) -> list[PatchText]:
    if shutil.which("b4") is None:
        raise LabError(
            f"b4 is needed to fetch {message_id} from the mailing list, and is not installed",
            hint="install b4 (Debian), or save the mails as an mbox and give that file",
        )
    argv = ["b4", "--no-interactive", "am", "--no-cover", "-o", "-", message_id]
    try:
        done = run(argv, timeout=300)
    except LabError as error:
        raise LabError(str(error), hint="is the message-id right, and lore.kernel.org reachable?") from error
    if len(done.stdout) > MAX_BYTES:
        raise PatchError(f"the thread of {message_id} is larger than {MAX_BYTES >> 20} MiB")
    return parse(done.stdout, message_id)


def _messages(data: bytes) -> Iterator[bytes]:
    starts = [match.start() for match in _FROM_LINE.finditer(data)]
    if not starts or data[:starts[0]].strip():
        yield data
        return
    for begin, end in zip(starts, [*starts[1:], len(data)], strict=True):
        yield data[begin:end].partition(b"\n")[2]


def _message(data: bytes, origin: str, number: int) -> PatchText | None:
    title = origin if number == 1 else f"{origin} #{number}"
    body = data
    if _HEADER.match(data) and re.search(rb"^(?:subject|from|message-id):", data, re.IGNORECASE | re.MULTILINE):
        message = email.message_from_bytes(data, policy=email.policy.default)
        title = _TAGS.sub("", " ".join(str(message.get("Subject", "")).split())) or title
        body = b"\n".join(_bodies(message))
    match = _DIFF.search(body.replace(b"\r\n", b"\n"))
    if match is None:
        return None
    diff = _unix_lines(body)
    match = _DIFF.search(diff)
    text = diff[match.start():] if match else diff
    return PatchText(title, origin, text.decode("latin-1"))


def _bodies(message: EmailMessage) -> Iterator[bytes]:
    for part in message.walk():
        if part.get_content_maintype() == "text" and part.get_content_subtype() != "html":
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                yield payload


def _unix_lines(data: bytes) -> bytes:
    """Undo a mail gateway's or an editor's CRLF; a diff of a file with CRLF has lines without it too."""
    return data.replace(b"\r\n", b"\n") if data.count(b"\r\n") == data.count(b"\n") else data

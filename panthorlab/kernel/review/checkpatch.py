# SPDX-License-Identifier: GPL-2.0-or-later
"""`checkpatch.pl --strict` of the tree under test, which is code of that tree: it runs in the jail."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from email.header import Header
from pathlib import Path

from panthorlab.errors import LabError
from panthorlab.kernel.driver import ReadFile
from panthorlab.kernel.jail.sandbox import Bind, sandbox
from panthorlab.kernel.patch.mails import PatchText
from panthorlab.kernel.patch.subject import printable
from panthorlab.kernel.review.braces import needless_braces

SCRIPT = "scripts/checkpatch.pl"
_BESIDE = ("scripts/spelling.txt", "scripts/const_structs.checkpatch")
_SECONDS = 120.0
_FINDING = re.compile(
    r"^(?P<file>[^:]*):(?P<line>\d*):(?: (?P<level>ERROR|WARNING|CHECK):(?P<type>[A-Z0-9_]+): (?P<text>.*))$"
)
_NO_HISTORY = frozenset({"UNKNOWN_COMMIT_ID", "BAD_FIXES_TAG"})  # it has no git in the jail; see fixes.py
_OF_MESSAGE = frozenset({"COMMIT_MESSAGE", "MISSING_SIGN_OFF", "NO_AUTHOR_SIGN_OFF", "FILE_PATH_CHANGES"})


@dataclass(frozen=True)
class StyleFinding:
    """`level`: ERROR, WARNING or CHECK. `kind`: checkpatch's type. `file` is empty for the commit message; `line`: of
    the file as the patch leaves it."""

    level: str
    kind: str
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.file else "commit message"
        return f"{where}: {self.level}:{self.kind}: {self.text}"


def check_style(patches: Sequence[PatchText], read: ReadFile) -> list[list[StyleFinding]]:
    """The findings of each patch. `read`: reads the tree that has the script. Raises LabError if it cannot be run: what
    could not be checked has not passed."""
    script = read(SCRIPT)
    if script is None:
        raise LabError(f"the tree has no {SCRIPT}", hint="is it a whole kernel tree?")
    if shutil.which("perl") is None:
        raise LabError(f"{SCRIPT} needs perl, which is not installed", hint="install perl (Debian)")
    box = sandbox()
    with tempfile.TemporaryDirectory(prefix="panthorlab-checkpatch-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # read by the jail's user
        (folder / "scripts").mkdir()
        for path in (SCRIPT, *_BESIDE):
            if (content := read(path)) is not None:
                (folder / path).write_bytes(content)
        binds = (Bind("in", folder),)
        found = []
        for number, patch in enumerate(patches, 1):
            mail = folder / f"{number}.patch"
            mail.write_bytes(as_mail(patch))
            where = box.where(binds, "in")
            lines: list[str] = []
            argv = ["perl", f"{where}/{SCRIPT}", "--strict", "--no-tree", "--terse", "--show-types", "--no-summary"]
            argv += ["--showfile", "--color=never", f"{where}/{mail.name}"]
            status = box.run(argv, binds, on_line=lines.append, timeout=_SECONDS)
            findings = parse(lines)
            if status and not findings:
                raise LabError(f"{SCRIPT} failed with status {status} on {patch.title}: {' '.join(lines[-3:])}")
            found.append(_wanted(patch, findings))
    return found


def as_mail(patch: PatchText) -> bytes:
    """The patch as a mail that checkpatch.pl understands; a diff alone stays one."""
    if not patch.message and not patch.author:
        return patch.text.encode("latin-1")
    subject = Header(patch.title, "utf-8", maxlinelen=10_000).encode() if not patch.title.isascii() else patch.title
    head = f"From: {patch.author}\nSubject: [PATCH] {subject}\n\n{patch.message}\n"
    body = head if "\n---\n" in f"\n{patch.message}\n" else f"{head}---\n"
    return body.encode() + b"\n" + patch.text.encode("latin-1")


def parse(lines: Sequence[str]) -> list[StyleFinding]:
    """The findings in the output of `--terse --show-types --showfile`."""
    return [
        StyleFinding(
            match["level"],
            match["type"],
            "" if match["file"].endswith(".patch") else printable(match["file"]),
            int(match["line"] or 0),
            printable(match["text"]),
        )
        for line in lines
        if (match := _FINDING.match(line))
    ]


def _wanted(patch: PatchText, findings: Sequence[StyleFinding]) -> list[StyleFinding]:
    alone = not patch.message and not patch.author  # a diff has no commit message to complain about
    kept = [
        one
        for one in findings
        if one.kind not in _NO_HISTORY and not (alone and (one.kind in _OF_MESSAGE or not one.file))
    ]
    known = {(one.file, one.line) for one in kept if one.kind == "BRACES"}
    text = "braces {} are not necessary for single statement blocks"
    kept += [
        StyleFinding("WARNING", "BRACES", block.file, block.line, text)
        for block in needless_braces(patch.text)
        if (block.file, block.line) not in known
    ]
    return kept

# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines of a patch that belong to its diff, and an error for other lines that look like a damaged diff.

Most diff parsers skip unknown lines between hunks. So a hunk with a wrong count or a damaged header is lost silently,
and the rest of the patch is applied. Here every line is a file's header, a hunk's, or plain text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NoReturn

from panthorlab.errors import PatchError

_HUNK = re.compile(r"^@@ -\d{1,9}(?:,(?P<old>\d{1,9}))? \+\d{1,9}(?:,(?P<new>\d{1,9}))? @@")
_EXTENDED = (
    "old mode ",
    "new mode ",
    "deleted file mode ",
    "new file mode ",
    "copy from ",
    "copy to ",
    "rename from ",
    "rename to ",
    "similarity index ",
    "dissimilarity index ",
    "index ",
)
_EMPTY_BLOB = re.compile(r"^index (?:e69de29[0-9a-f]*\.\.0+|0+\.\.e69de29[0-9a-f]*)\b")
_BINARY = ("Binary files ", "GIT binary patch")
_NEXT_MAIL = re.compile(r"^(?:From |From:|Subject:|commit )")
_CUT = "was it cut off, or wrapped by a mail client?"
_COUNTS = "was it edited by hand? `rediff` (patchutils) mends the counts; or make the patch again"


def diff_lines(text: str, title: str) -> list[str]:
    """Headers and hunks of a patch, without the text around them. Raises PatchError for what is damaged."""
    lines = [line + "\n" for line in text.split("\n")]
    whole = lines[-1] == "\n"
    if whole:
        lines.pop()
    return _Reader(lines, title, whole=whole).read()


class _Reader:
    def __init__(self, lines: Sequence[str], title: str, *, whole: bool) -> None:
        self._lines, self._title, self._at = lines, title, 0
        self._whole = whole  # the last line has its end
        self._kept: list[str] = []
        self._file: str | None = None  # whose hunks may come
        self._hunks = 0
        self._message_ended = False  # a `---` line after a hunk: what came before was in the commit message

    def read(self) -> list[str]:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.startswith("diff --git "):
                self._git_header()
            elif line.startswith("--- ") and self._peek(1).startswith("+++ "):
                self._file_header()
            elif line.startswith(("@@@", "diff --cc ", "diff --combined ")):
                self._fail("it is the combined diff of a merge", "give the difference to one parent: git diff M^1 M")
            elif line.startswith("@@ -") or (line.startswith("@@") and self._file):
                self._hunk()
            else:
                self._text(line)
        return self._kept

    def _peek(self, ahead: int) -> str:
        return self._lines[self._at + ahead] if self._at + ahead < len(self._lines) else ""

    def _keep(self, count: int) -> None:
        last = self._at + count == len(self._lines) and not self._whole
        if last and not self._lines[-1].startswith("\\"):
            self._fail(f"it ends in the middle of a line: {self._lines[-1].rstrip()[-80:]}", _CUT)
        self._kept += self._lines[self._at : self._at + count]
        self._at += count

    def _fail(self, what: str, hint: str) -> NoReturn:
        raise PatchError(f"{self._title}: damaged patch: {what}", hint=hint)

    def _begin_file(self, name: str) -> None:
        if self._message_ended:
            raise PatchError(
                f"{self._title}: there is a diff in its commit message, above the `---` line",
                hint="indent it there, or give the diff of the patch alone",
            )
        self._file = name.rstrip("\n").partition("\t")[0]

    def _git_header(self) -> None:
        count = 1
        while self._peek(count).startswith(_EXTENDED):
            count += 1
        follows = self._peek(count)
        body = follows.startswith(("--- ", *_BINARY))
        if count == 1 and not body:
            if self._at + 1 == len(self._lines):
                self._fail(f"nothing follows `{self._lines[self._at].strip()}`", _CUT)
            self._at += 1  # a sentence that begins so
            return
        name = self._lines[self._at].removeprefix("diff --git ")
        self._begin_file(name)
        index = next((line for line in self._lines[self._at : self._at + count] if line.startswith("index ")), None)
        cut = follows.startswith("--- ") and not self._peek(count + 1).startswith("+++ ")
        if cut or (index is not None and not body and not _EMPTY_BLOB.match(index)):
            removed = any(line.startswith("deleted file") for line in self._lines[self._at : self._at + count])
            hint = "was it cut off, or made with git's -D?" if removed else _CUT
            self._fail(f"the header of {name.strip()} is followed by no change", hint)
        self._keep(count)

    def _file_header(self) -> None:
        self._begin_file(self._peek(1)[4:])
        if not self._peek(2).startswith("@@"):
            self._fail(f"the header of {self._file} is followed by no hunk", _CUT)
        self._keep(2)

    def _hunk(self) -> None:
        header = self._lines[self._at].rstrip()
        match = _HUNK.match(header)
        if match is None:
            self._fail(f"`{header[:80]}` is no header of a hunk", "expected e.g. `@@ -10,6 +10,7 @@`")
        if self._file is None:
            self._fail(f"the hunk `{header[:80]}` belongs to no file", "expected `--- a/file` and `+++ b/file` before")
        where = f"hunk `{header[:80]}` of {self._file}"
        old, new = (int(match[side] or 1) for side in ("old", "new"))
        self._keep(1)
        self._hunks += 1
        while old > 0 or new > 0:
            line = self._peek(0)
            tag = line[:1] if line.strip("\r\n") else " "
            if not line:
                self._fail(f"it ends within the {where}", _CUT)
            if tag not in " +-\\":
                self._fail(
                    f"in the {where} there is a line that begins with none of `+`, `-` and space: {line.strip()[:80]}",
                    _CUT,
                )
            if self._at + 1 == len(self._lines) and not self._whole and old + new > 1 + (tag == " "):
                self._fail(f"it ends within the {where}", _CUT)
            old -= tag in " -"
            new -= tag in " +"
            if old < 0 or new < 0:
                self._fail(
                    f"the {where} has other numbers of lines than its header says, at: {line.strip()[:80]}", _COUNTS
                )
            self._keep(1)
        while self._peek(0).startswith("\\"):
            self._keep(1)
        self._check_behind(where)

    def _check_behind(self, where: str) -> None:
        """Raise an error if the line after a hunk looks like more of the hunk."""
        blank = False
        for at in range(self._at, len(self._lines)):
            line = self._lines[at]
            if line.startswith(("-- ", "--\n", "---")) or not line.startswith((" ", "+", "-", "\n", "\r")):
                return
            code = line[1:2] in "\t{}#/*" if blank else True  # behind a blank line, `- ` and `+1` are prose
            if (line[0] in "+-" and code) or line.startswith(" \t"):
                self._fail(f"the {where} is followed by more lines than its header says: {line.strip()[:80]}", _COUNTS)
            blank = blank or not line.strip()

    def _text(self, line: str) -> None:
        if line.startswith(_BINARY):
            self._keep(1)
            return
        if line.startswith("--- ") and self._at + 1 == len(self._lines):
            self._fail(f"nothing follows `{line.strip()[:80]}`", _CUT)
        if line == "---\n" and self._hunks:
            self._message_ended = True
        elif _NEXT_MAIL.match(line):
            self._message_ended, self._hunks = False, 0
        self._file = None
        self._at += 1

# SPDX-License-Identifier: GPL-2.0-or-later
"""C without what the compiler does not see: comments, blank lines, and how many blanks there are where there are any.

Two texts that are the same then are the same to the compiler but for line numbers. The reverse does not hold: where no
blank was and one is now, they count as different, for a macro may turn its argument into a string.
"""

from __future__ import annotations

import re
from typing import Final

_PARTS: Final = re.compile(
    rb"""/\*.*?(?:\*/|\Z)|//[^\n]*|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|[^/"']+|.""", re.DOTALL
)
_CONTINUED: Final = re.compile(rb"\\[ \t]*\r?\n")


def bare(text: bytes) -> bytes:
    """What is left of C source: directives each on a line of its own, what is between them with single blanks."""
    lines, rest = list[bytes](), list[bytes]()
    for line in _without_comments(_CONTINUED.sub(b"", text)).split(b"\n"):
        words = b" ".join(line.split())
        if words.startswith(b"#"):
            lines += [b" ".join(rest)] if rest else []
            lines.append(words)
            rest = []
        elif words:
            rest.append(words)
    return b"\n".join([*lines, *([b" ".join(rest)] if rest else [])])


def _without_comments(text: bytes) -> bytes:
    """A comment is a blank; what looks like one in a string is none, and blanks in strings are kept apart."""
    made = []
    for part in _PARTS.findall(text):
        if part.startswith((b"/*", b"//")):
            made.append(b" ")
        elif part.startswith((b'"', b"'")):
            made.append(part.replace(b" ", b"\0").replace(b"\t", b"\1"))
        else:
            made.append(part)
    return b"".join(made)

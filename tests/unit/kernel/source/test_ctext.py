# SPDX-License-Identifier: GPL-2.0-or-later
"""C without comments: what is the same then, is the same to a compiler."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.kernel.source.ctext import bare

SAME = [
    (b"int a;", b"int /* x */ a; // y\n\n"),
    (b"int a; int b;", b"int a;\n\n\tint\nb;\n"),
    (b"#define A 1\nint a;", b"#define A \\\n 1 /* one\n two */\nint a;"),
    (b'char *a = "/* no */";', b'char *a = "/* no */"; /* yes */'),
    (b"char a = '\"';", b"char a = '\"'; /* \" */"),
    (b"int a; // x \\\n still\nint b;", b"int a; int b;"),
]
DIFFERENT = [
    (b"int a;", b"int b;"),
    (b"#define F(x) x", b"#define F (x) x"),
    (b"#define A\nint a;", b"#define A int a;"),
    (b'char *a = "x  y";', b'char *a = "x y";'),
    (b'char *a = "/* b */";', b'char *a = "";'),
    (b"a / b", b"a // b"),
    (b"STR(a+b)", b"STR(a + b)"),
    (b"int a; /* open", b"int a; int b; /* open"),
    (b"'\\'' /* x */ a", b"'\\'' /* x */ b"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same(one: bytes, other: bytes) -> None:
    assert bare(one) == bare(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different(one: bytes, other: bytes) -> None:
    assert bare(one) != bare(other)


PIECES = st.sampled_from(
    ["a", "b", " ", "\n", "/*", "*/", "//", '"', "'", "\\", "\\\n", "#define A ", "(", ";", "/", "*", "x"]
)


@given(st.lists(PIECES, max_size=14).map("".join), st.lists(PIECES, max_size=14).map("".join))
def test_what_counts_as_the_same_is_so_for_the_preprocessor(one: str, other: str) -> None:
    if bare(one.encode()) != bare(other.encode()):
        return
    seen = [_preprocessed(text) for text in (one, other)]
    if None not in seen:
        assert seen[0] == seen[1]


def _preprocessed(text: str) -> str | None:
    """What cpp makes of it, in words; None if it refuses."""
    cpp = shutil.which("cpp")
    if cpp is None:
        pytest.skip("no C preprocessor here")
    done = subprocess.run([cpp, "-P", "-w"], input=text, capture_output=True, text=True, check=False)
    return re.sub(r"\s+", " ", done.stdout).strip() if done.returncode == 0 else None

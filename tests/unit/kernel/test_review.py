# SPDX-License-Identifier: GPL-2.0-or-later
"""What is found in a commit without building it: braces, `Fixes:` tags, checkpatch's output."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from panthorlab.kernel.patch.mails import PatchText
from panthorlab.kernel.patch.read import read_all
from panthorlab.kernel.review.braces import NeedlessBraces, needless_braces
from panthorlab.kernel.review.checkpatch import StyleFinding, as_mail, parse
from panthorlab.kernel.review.fixes import check_fixes

THREADS = Path(__file__).parents[2] / "data" / "threads"


def diff(code: str, name: str = "a.c") -> str:
    lines = code.strip("\n").split("\n")
    body = "".join(line if line[:1] in "+ " else f"+{line}" for line in (f"{line}\n" for line in lines))
    new = sum(1 for _ in lines)
    return f"--- a/{name}\n+++ b/{name}\n@@ -1,0 +1,{new} @@\n{body}"


def test_the_nit_of_the_review() -> None:
    files = [str(THREADS / f"evict-groups-{version}.mbox") for version in ("v1", "v2")]
    found = [needless_braces(read_all(files, version=version).patches[0].text) for version in (1, 2)]
    assert found == [[NeedlessBraces("drivers/gpu/drm/panthor/panthor_sched.c", 2944)], []]


@pytest.mark.parametrize(
    "code",
    [
        "\tif (x) {\n\t\tgo();\n\t}\n}",
        "\tfor (i = 0; i < 3; i++) {\n\t\tgo(i);\n\t}\n\treturn;",
        '\twhile (strcmp(p, ")")) {\n\t\tgo("a;b");\n\t}\n',
        "\tlist_for_each_entry(a, &b, c) {\n\t\tgo(a);\n\t}\n",
    ],
)
def test_braces_that_are_not_needed(code: str) -> None:
    assert needless_braces(diff(code)) == [NeedlessBraces("a.c", 1)]
    assert not needless_braces(diff(code, "a.rs"))


@pytest.mark.parametrize(
    "code",
    [
        "\tif (x)\n\t\tgo();\n",
        "\tif (x) {\n\t\tgo();\n\t\tgo();\n\t}\n",
        "\tif (x) {\n\t\tgo();\n\t} else {\n\t\tgo();\n\t\tgo();\n\t}\n",
        "\t} else if (x) {\n\t\tgo();\n\t}\n",
        "\tif (x) {\n\t\tgo();\n\t}\n\telse\n\t\tgo();\n",
        "\tif (x &&\n\t    y) {\n\t\tgo();\n\t}\n",
        "\tif (x) {\n\t\tif (y)\n\t\t\tgo();\n\t}\n",
        "\tif (x) {\n\t\tfor (;;) go();\n\t}\n",
        "\tif (x) {\n\t\t/* why; */\n\t}\n",
        "struct x {\n\tint a;\n};\n",
        "\tdo {\n\t\tgo();\n\t} while (x);\n",
        "#define X(a) do { \\\n\tgo(); \\\n} while (0)\n",
        "static void go(void) {\n\tgo();\n}\n",
        "\tif (x) {\n\t\tgo(1,\n\t\t   2);\n\t}\n",
    ],
)
def test_braces_that_are(code: str) -> None:
    assert not needless_braces(diff(code))


def test_only_what_the_patch_adds() -> None:
    text = "--- a/a.c\n+++ b/a.c\n@@ -1,3 +1,3 @@\n \tif (x) {\n-\t\tgo();\n+\t\tcome();\n \t}\n"
    assert not needless_braces(text)


def test_fixes_tags(git_tree: SimpleNamespace) -> None:
    first = git_tree.git("rev-parse", "v1").strip()
    git_tree.git("commit", "-q", "--allow-empty", "-m", 'drm/panthor: a "name" of\tits own')
    second = git_tree.git("rev-parse", "HEAD").strip()

    def problem(line: str, base: str = second) -> str:
        [tag] = check_fixes(f"text\n\n{line}\nSigned-off-by: x\n", git_tree.path, base)
        assert not tag.unknown
        return tag.problem

    assert problem(f'Fixes: {first[:12]} ("tiny")') == ""
    assert problem(f'Fixes: {second[:14]} ("drm/panthor: a "name" of its own")') == ""
    assert "not in the history" in problem(f'Fixes: {second[:12]} ("drm/panthor: a "name" of its own")', first)
    assert "is called “tiny”" in problem(f'Fixes: {first[:12]} ("other")')
    assert "no commit 123456789012" in problem('Fixes: 123456789012 ("tiny")')
    assert "12 digits" in problem(f"Fixes: {first[:12]}")
    assert "12 digits" in problem(f'Fixes: {first[:8]} ("tiny")')
    assert "not of the form" in problem("Fixes: the bug")
    assert "not of the form" in problem("Fixes: --upload-pack=x")
    assert not check_fixes("Fixes: https://gitlab.freedesktop.org/x\n> Fixes: 123\n", git_tree.path, second)
    assert check_fixes('Fixes: 123456789012 ("x")', None, "")[0].unknown


def test_a_shallow_clone_cannot_tell(git_tree: SimpleNamespace, tmp_path: Path) -> None:
    first = git_tree.git("rev-parse", "v1").strip()
    git_tree.git("commit", "-q", "--allow-empty", "-m", "more")
    git_tree.git("clone", "-q", "--depth=1", f"file://{git_tree.path}", str(tmp_path / "shallow"))
    [tag] = check_fixes(f'Fixes: {first[:12]} ("tiny")', tmp_path / "shallow", "HEAD")
    assert (tag.problem, "shallow" in tag.unknown) == ("", True)


def test_what_checkpatch_prints() -> None:
    lines = [
        "/mnt/in/1.patch:9: WARNING:BAD_SIGN_OFF: Duplicate \x1b[2J signature",
        ":52: WARNING:UNKNOWN_COMMIT_ID: Unknown commit id",
        "drivers/a.c:12: CHECK:LINE_SPACING: Please",
        "Use of uninitialized value in pattern match",
        "drivers/a.c:13: ERROR:OPEN_BRACE: that open brace",
    ]
    assert parse(lines) == [
        StyleFinding("WARNING", "BAD_SIGN_OFF", "", 9, "Duplicate  signature"),
        StyleFinding("WARNING", "UNKNOWN_COMMIT_ID", "", 52, "Unknown commit id"),
        StyleFinding("CHECK", "LINE_SPACING", "drivers/a.c", 12, "Please"),
        StyleFinding("ERROR", "OPEN_BRACE", "drivers/a.c", 13, "that open brace"),
    ]


def test_as_checkpatch_wants_it() -> None:
    patch = PatchText(
        "drm: ö", "x", "--- a/x\n+++ b/x\n", None, "Why.\n\nSigned-off-by: T <t@e>\n---\n x | 1 +", "T <t@e>"
    )
    text = as_mail(patch).decode()
    assert text.startswith("From: T <t@e>\nSubject: [PATCH] =?utf-8?")
    assert text.count("\n---\n") == 1
    assert as_mail(PatchText("x", "x", "--- a/x\n")) == b"--- a/x\n"

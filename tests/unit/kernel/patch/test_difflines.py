# SPDX-License-Identifier: GPL-2.0-or-later
"""No line of a patch that was meant to be diff is passed over in silence."""

from __future__ import annotations

import pytest

from panthorlab.errors import PatchError
from panthorlab.kernel.patch.difflines import diff_lines

HEADER = "diff --git a/x.c b/x.c\nindex 111..222 100644\n--- a/x.c\n+++ b/x.c\n"
HUNK = "@@ -1,3 +1,4 @@ int f(void)\n one\n+\tnew\n two\n three\n"
LATER = "@@ -10,3 +11,4 @@\n ten\n+\tmore\n eleven\n twelve\n"
OTHER = HEADER.replace("x.c", "y.c") + HUNK
WHOLE = HEADER + HUNK + LATER + OTHER


def test_a_whole_patch_stays_as_it_is() -> None:
    assert "".join(diff_lines(WHOLE, "p")) == WHOLE


@pytest.mark.parametrize(
    "behind",
    [
        "-- \n2.43.0\n",
        "--\n2.43.0\n",
        "\n-- \n2.43.0\n",
        "\nRegards\n",
        "\n- a list\n+1 from me\n",
        "\nOnly in a: z\n",
        "-----BEGIN PGP SIGNATURE-----\nabc\n",
        "diff --git a/x b/x is what git says\nand goes on\n",
    ],
)
def test_text_around_it_is_left_out(behind: str) -> None:
    assert "".join(diff_lines(f"{HEADER}{HUNK}{behind}{OTHER}{behind}", "p")) == HEADER + HUNK + OTHER


def test_context_without_its_space() -> None:
    """Editors and mailers take the space of an empty context line away."""
    text = HEADER + HUNK.replace(" two\n", "\n")
    assert "".join(diff_lines(text, "p")) == text


def test_a_missing_newline_and_an_empty_file() -> None:
    text = HEADER + "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n"
    text += "diff --git a/e b/e\nnew file mode 100644\nindex 0000000..e69de29\n"
    assert "".join(diff_lines(text, "p")) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WHOLE.replace("@@ -10,3 +11,4 @@", "@@ -10,3 +11,4@@"), "is no header of a hunk"),
        (WHOLE.replace("@@ -10,3 +11,4 @@", "@@ -99999999999999999999,3 +11,4 @@"), "is no header of a hunk"),
        (OTHER + HEADER + HUNK.partition("\n")[2], "followed by no hunk"),
        (WHOLE.replace("-10,3 +11,4", "-10,1 +11,1"), "followed by more lines"),
        (WHOLE.replace("-10,3 +11,4", "-10,2 +11,2"), "other numbers of lines"),
        (WHOLE.replace("-10,3 +11,4", "-10,4 +11,5"), "begins with none of"),
        (WHOLE.replace("+\tmore", "+\tmo\nre"), "begins with none of"),
        (f"{HEADER}{HUNK}+\tone more\n", "followed by more lines"),
        (f"{HEADER}{HUNK}\n+\tone more\n", "followed by more lines"),
        (f"{HEADER}{HUNK} \tmore context\n", "followed by more lines"),
        (HEADER + HUNK[:-8], "it ends within"),
        (f"{OTHER}diff --git a/x.c b/x.c\n", "nothing follows"),
        (OTHER + HEADER, "followed by no hunk"),
        (OTHER + HEADER.partition("+++")[0], "followed by no change"),
        (OTHER + HEADER.partition("---")[0], "followed by no change"),
        (
            OTHER + HEADER.partition("---")[0].replace("index", "deleted file mode 100644\nindex"),
            "followed by no change",
        ),
        (f"{OTHER}--- a/x.c\n", "nothing follows"),
        (HUNK, "belongs to no file"),
        (f"{OTHER}diff --cc x.c\n--- a/x.c\n+++ b/x.c\n@@@ -1,1 -1,1 +1,2 @@@\n  a\n++b\n", "combined diff"),
        (f"{OTHER}--- a/x.c\n+++ b/x.c\n@@@ -1,1 -1,1 +1,2 @@@\n  a\n++b\n", "combined diff"),
    ],
)
def test_what_is_damaged(text: str, said: str) -> None:
    with pytest.raises(PatchError, match=said) as caught:
        diff_lines(text, "fix.patch")
    assert "fix.patch" in str(caught.value)
    assert caught.value.hint


def test_a_diff_in_a_commit_message_is_not_applied() -> None:
    with pytest.raises(PatchError, match="in its commit message"):
        diff_lines(f"{OTHER}\nSo it was.\nSigned-off-by: A\n---\n x.c | 1 +\n\n{HEADER}{HUNK}", "p")


def test_two_commits_in_one_file() -> None:
    text = f"{OTHER}commit 123\n    text\n---\n x.c | 1 +\n\n{HEADER}{HUNK}"
    assert "".join(diff_lines(text, "p")) == OTHER + HEADER + HUNK

# SPDX-License-Identifier: GPL-2.0-or-later
"""Mailboxes as people save them and as nobody should: cut, mixed, mislabelled, huge, and hostile."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest

from panthorlab.errors import PatchError
from panthorlab.kernel.patch.filepatch import parse_diff
from panthorlab.kernel.patch.read import read, read_all
from panthorlab.kernel.patch.series import Series

THREADS = Path(__file__).parents[3] / "data" / "threads"
DIFF = "--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n-a\n+b{n}\n"
FROM = "From mboxrd@z Thu Jan  1 00:00:00 1970\n"


def mail(n: int, subject: str, body: str = "", headers: str = "") -> str:
    head = f"From: a <a@example.org>\nSubject: {subject}\nMessage-ID: <{n}@example.org>\n{headers}"
    return f"{FROM}{head}\n{body or DIFF.format(n=n)}\n"


def taken(*mails: str) -> Series:
    return read("".join(mails).encode(), "box")


def refused(*mails: str) -> str:
    with pytest.raises(PatchError) as caught:
        taken(*mails)
    assert caught.value.hint
    return str(caught.value)


def test_the_thread_as_a_mailbox() -> None:
    """Quoted diffs and replies are none; the trailers of replies are told."""
    v1 = read_all([str(THREADS / "evict-groups-v1.mbox")]).series[0]
    assert (len(v1.patches), v1.message_id, v1.version) == (1, "v1-0@seed.example.org", 1)
    assert v1.notes == ("trailers from replies: Reviewed-by: Boris Brezillon <boris.brezillon@collabora.com>",)
    assert v1.patches[0].author == "Ketil Johnsen <ketil.johnsen@arm.com>"
    assert v1.patches[0].message.startswith("Ensure all related groups")
    both = read_all([str(THREADS / f"evict-groups-{version}.mbox") for version in ("v1", "v2")])
    assert (both.series[0].version, both.series[0].versions) == (2, (1, 2))
    older = read_all([str(THREADS / f"evict-groups-{version}.mbox") for version in ("v2", "v1")], version=1)
    assert any("v1 is taken; v2 is newer" in note for note in older.notes)


def test_parts_that_are_missing() -> None:
    assert "2/4, 4/4 are missing" in refused(mail(1, "[PATCH 1/4] a"), mail(3, "[PATCH 3/4] c"))
    assert "only the cover letter" in refused(mail(0, "[PATCH v2 0/2] all", "text"), mail(1, "[PATCH 1/2] a"))
    cover = mail(0, "[PATCH 0/2] all", "text\n\nAcked-by: B <b@example.org>\n")
    assert len(taken(mail(2, "[PATCH 2/2] b"), cover, mail(1, "[PATCH 1/2] a")).patches) == 2


def test_series_that_are_mixed() -> None:
    assert "of 2 and of 3 patches" in refused(
        mail(1, "[PATCH 1/2] a"), mail(2, "[PATCH 2/2] b"), mail(3, "[PATCH 1/3] c")
    )
    assert "2 different patches 1/2" in refused(
        mail(1, "[PATCH 1/2] a"), mail(3, "[PATCH 1/2] c"), mail(2, "[PATCH 2/2] b")
    )


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Type: text/plain; charset=x-unknown\n",
        "Content-Type: text/plain; charset=\n",
        "Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: 8bit\n",
        "Content-Type: nonsense\nContent-Transfer-Encoding: 8bit\n",
        "Content-Transfer-Encoding: x-unheard-of\n",
    ],
)
def test_an_encoding_that_is_wrong(headers: str) -> None:
    """The bytes of the diff are what they are, whatever the mail says of them."""
    text = mail(1, "[PATCH] =?x-unknown?q?t=FCr?= x", headers=headers).encode().replace(b"+b1", b"+b\xfc\xff")
    [patch] = read(text, "box").patches
    assert patch.text.encode("latin-1") == DIFF.format(n=1).encode().replace(b"+b1", b"+b\xfc\xff") + b"\n"
    assert patch.title.isprintable()


def test_base64_that_is_damaged() -> None:
    """No patch, or the whole one: never a part of it."""
    whole = base64.encodebytes(DIFF.format(n=1).encode() * 20).decode()
    for spoiled in (whole[: len(whole) // 2], whole.replace("A", "*", 3), whole[:-3]):
        data = mail(1, "[PATCH] x", spoiled, "Content-Transfer-Encoding: base64\n").encode()
        try:
            [patch] = read(data, "box").patches
        except PatchError:
            continue
        with pytest.raises(PatchError):
            parse_diff(patch)


PARTS = 'MIME-Version: 1.0\nContent-Type: multipart/{kind}; boundary="b"\n'


def part(kind: str, text: str, headers: str = "") -> str:
    return f"--b\nContent-Type: {kind}\n{headers}\n{text}\n"


def test_html_beside_text_is_left_out() -> None:
    html = f"<html><pre>{DIFF.format(n=2)}</pre></html>"
    body = part("text/plain", DIFF.format(n=1)) + part("text/html", html) + "--b--\n"
    [patch] = taken(mail(1, "[PATCH] x", body, PARTS.format(kind="alternative"))).patches
    assert "+b1" in patch.text
    assert "+b2" not in patch.text
    only = part("text/html", html) + "--b--\n"
    assert "no diff" in refused(mail(1, "[PATCH] x", only, PARTS.format(kind="alternative")))


def test_attachments() -> None:
    attached = 'Content-Disposition: attachment; filename="{name}"\n'
    zipped = part("application/zip", "UEsDBA==", attached.format(name="a.zip") + "Content-Transfer-Encoding: base64\n")
    patch = part("text/x-patch", DIFF.format(n=1), attached.format(name="../../etc/x.patch"))
    body = part("text/plain", "See below.") + zipped + patch + "--b--\n"
    [found] = taken(mail(1, "[PATCH] x", body, PARTS.format(kind="mixed"))).patches
    assert (found.title, "+b1" in found.text) == ("x", True)
    body = part("text/plain", "See the archive.") + zipped + "--b--\n"
    assert "no diff" in refused(mail(1, "[PATCH] x", body, PARTS.format(kind="mixed")))


def _replies(count: int) -> list[str]:
    return [
        mail(n, "Re: [PATCH] x", f"Acked-by: B{n} <b{n}@example.org>\n> quoted\n", "In-Reply-To: <0@example.org>\n")
        for n in range(1, count)
    ]


def seconds_of(replies: list[str]) -> tuple[float, Series]:
    """Processor time of reading a patch with these, and what was read."""
    began = time.process_time()
    series = taken(mail(0, "[PATCH] x"), *replies)
    return time.process_time() - began, series


def test_ten_thousand_messages() -> None:
    """Work grows with their number, not with its square; what is told of them stays short."""
    few, _ = seconds_of(_replies(1000))
    many, series = seconds_of(_replies(10_000))
    assert many < 40 * few, "a square would be 100 times"
    assert len(series.patches) == 1
    assert "and 9989 more" in series.notes[0]
    assert len(series.notes[0]) < 1000


def test_a_thousand_messages_in_each_of_two_files(tmp_path: Path) -> None:
    for name, first in (("a", 0), ("b", 3000)):
        (tmp_path / name).write_text("".join(mail(n, f"[PATCH v{n + 1}] x {n}") for n in range(first, first + 3000)))
    began = time.process_time()
    assert len(read_all([str(tmp_path / "a"), str(tmp_path / "b")]).series) == 2
    assert time.process_time() - began < 100, "a square takes longer on any machine"


@pytest.mark.parametrize("folded", ["\n {evil}", "{evil}"])
@pytest.mark.parametrize(
    "evil",
    [
        "\x1b]0;owned\x07",
        "\x1b[2J",
        "=?utf-8?q?=1b[2J=0aSubject:_x?=",
        "=?utf-8?b?G1sySgo=?=",
        "\u202e\u2066",
        "\x9b2J",
        "\r\r",
    ],
)
def test_hostile_subjects(evil: str, folded: str) -> None:
    text = folded.format(evil=evil)
    box = (
        mail(0, f"[PATCH v2 0/1] all {text}", f"text\n\nbase-commit: {'1' * 40}\nchange-id: c{evil}\n", f"X: {text}\n"),
        mail(1, f"[PATCH v2 1/1] x {text}", headers="In-Reply-To: <0@example.org>\n"),
        mail(
            2, f"Re: [PATCH v2 1/1] x {text}", f"Acked-by: {evil} <b@example.org>\n", "In-Reply-To: <1@example.org>\n"
        ),
        mail(3, f"[PATCH 1/1] old {text}"),
    )
    series = read("".join(box).encode("utf-8"), "box")
    told = [series.title, *series.notes, *series.facts.prerequisites, series.facts.change_id or ""]
    told += [patch.title for patch in series.patches] + [patch.author for patch in series.patches]
    assert all(text.isprintable() for text in told)
    assert series.version == 2

# SPDX-License-Identifier: GPL-2.0-or-later
"""Mails as people and their mailers send them: which of them are patches, in which order, and with which bytes."""

from __future__ import annotations

import base64
import email.message
import quopri
from collections.abc import Callable

import pytest

from panthorlab.errors import PatchError
from panthorlab.kernel.patch.read import CoverLetterError, read
from panthorlab.kernel.patch.subject import MAX_TITLE

DIFF = "--- a/x.c\n+++ b/x.c\n@@ -1,4 +1,4 @@\n \tone\n-\ttwo\n+\tzwei\n\n > three\n"
OTHER = DIFF.replace("zwei", "deux")
FROM = "From 0123456789abcdef Mon Sep 17 00:00:00 2001\n"


def mail(subject: str, body: str, *headers: str) -> bytes:
    lines = ["From: A <a@example.org>", f"Subject: {subject}", *headers]
    return (FROM + "\n".join(lines) + f"\n\n{body}\n").encode()


def titles(data: bytes) -> list[str]:
    return [patch.title for patch in read(data, "mbox").patches]


def text(data: bytes) -> str:
    [patch] = read(data, "mbox").patches
    return patch.text


def multipart(*parts: str) -> bytes:
    body = "".join(f"--XX\n{part}\n" for part in parts)
    return mail("[PATCH] x", f"{body}--XX--", 'Content-Type: multipart/mixed; boundary="XX"')


def test_a_series_is_put_in_order() -> None:
    assert titles(mail("[PATCH v2 2/2] b", DIFF) + mail("[PATCH v2 1/2] a", OTHER)) == ["a", "b"]


def test_what_has_no_numbers_stays_in_order() -> None:
    assert titles(mail("[PATCH] b", DIFF) + mail("[PATCH] a", OTHER)) == ["b", "a"]


def test_a_reply_with_a_diff_is_no_patch_of_the_series() -> None:
    thread = mail("[PATCH] a", DIFF) + mail("Re: [PATCH] a", f"Rather:\n\n{OTHER}")
    assert text(thread).startswith(DIFF)
    assert titles(mail("Re: [PATCH] a", DIFF)) == ["a"], "alone it is what was meant"


def test_quoted_diffs_are_none() -> None:
    quoted = "".join(f"> {line}\n" for line in DIFF.splitlines())
    assert titles(mail("[PATCH] a", DIFF) + mail("Re: [PATCH] a", f"A wrote:\n{quoted}\nWhy?")) == ["a"]


def test_of_two_versions_the_newer_is_taken() -> None:
    assert text(mail("[PATCH v3 1/1] a", OTHER) + mail("[PATCH 1/1] a", DIFF)).startswith(OTHER)


def test_a_mail_that_came_by_two_lists_counts_once() -> None:
    assert titles(mail("[PATCH] a", DIFF) + mail("[PATCH] a", DIFF)) == ["a"]
    with pytest.raises(PatchError, match="2 different patches called “a”"):
        read(mail("[PATCH] a", DIFF) + mail("[PATCH] a", OTHER), "mbox")


def test_a_cover_letter_alone() -> None:
    with pytest.raises(CoverLetterError, match="no diff in it"):
        read(mail("[PATCH 0/2] both", "text"), "0000-cover-letter.patch")


@pytest.mark.parametrize(
    ("name", "encode"), [("8bit", bytes), ("base64", base64.encodebytes), ("quoted-printable", quopri.encodestring)]
)
def test_crlf_within_an_encoding_and_a_list_footer(name: str, encode: Callable[[bytes], bytes]) -> None:
    body = encode(DIFF.replace("\n", "\r\n").encode()).decode()
    head = f"Content-Type: text/plain\nContent-Transfer-Encoding: {name}\n\n"
    assert text(multipart(head + body, "Content-Type: text/plain\n\n____\nthe list")).startswith(DIFF)


def test_crlf_diff_with_a_line_of_its_own() -> None:
    assert text(DIFF.replace("\n", "\r\n").encode() + b"-- \n2.43\n").startswith(DIFF)


def test_attachment_without_a_proper_type() -> None:
    head = "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n"
    head += 'Content-Disposition: attachment; filename="Fix.Patch"\n\n'
    attached = base64.encodebytes(DIFF.encode()).decode()
    assert text(multipart("Content-Type: text/plain\n\nsee there", head + attached)) == DIFF


@pytest.mark.parametrize("delsp", ["", "; delsp=yes"])
def test_format_flowed(delsp: str) -> None:
    stuffed = "".join(f" {line}\n" if line[:1] in " >" else f"{line}\n" for line in DIFF.splitlines())
    kind = f"Content-Type: text/plain; format=flowed{delsp}"
    folded = stuffed.replace("+\tzwei\n", "+\tzw \nei\n")
    want = DIFF if delsp else DIFF.replace("zwei", "zw ei")
    assert text(mail("[PATCH] x", folded, kind)).startswith(want)
    assert text(mail("[PATCH] x", DIFF, kind)).startswith(DIFF), "some say that they flow, and do not"


@pytest.mark.parametrize(
    ("subject", "title"),
    [
        ("=?utf-8?q?=1b=5b31mred=07?=", "red"),
        ("=?iso-8859-1?q?gr=FC=DFe?=", "grüße"),
        ("=?klingon?q?x?=", "x"),
        ("x" * 5000, "x" * MAX_TITLE + "…"),
        ("[PATCH] Re: [RFC] a", "a"),
    ],
)
def test_titles(subject: str, title: str) -> None:
    assert titles(mail(subject, DIFF)) == [title]


def test_raw_bytes_in_a_header() -> None:
    [title] = titles(mail("[PATCH] gr", DIFF).replace(b"gr\n", b"gr\xfc\xdfe\n"))
    assert title.startswith("gr")
    title.encode()


def test_headers_that_the_parser_cannot_bear(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise IndexError("string index out of range")

    monkeypatch.setattr(email.message.EmailMessage, "get_content_maintype", fail)
    with pytest.raises(PatchError, match="headers of this mail are damaged") as caught:
        read(mail("[PATCH] x", DIFF), "m")
    assert caught.value.hint


@pytest.mark.parametrize(
    "line",
    [
        "From joe at example.org  Mon Jan  1 00:00:00 2024",
        "From  Mon Jan  1 00:00:00 2024",
        'From "a b"@example.org Mon Jan  1 00:00:00 2024',
        "From - Mon Jan 01 00:00:00 2024 +0100",
    ],
)
def test_lines_between_mails_as_git_knows_them(line: str) -> None:
    mbox = mail("[PATCH] a", DIFF) + mail("[PATCH v2] b", OTHER)
    assert titles(mbox.replace(FROM.strip().encode(), line.encode())) == ["b"]


@pytest.mark.parametrize("header", ["X-Odd.Name_: x", "X/Y: z"])
def test_any_name_of_a_header(header: str) -> None:
    assert titles(mail("[PATCH] a", DIFF, header) + mail("[PATCH v2] b", OTHER, header)) == ["b"]


def test_an_mbox_in_an_mbox() -> None:
    mbox = mail("[PATCH] a", DIFF) + mail("[PATCH v2] b", OTHER)
    assert titles(mbox.replace(FROM.encode(), FROM.encode() + b">" + FROM.encode())) == ["b"]


def test_damaged_headers_are_not_read_as_a_diff_alone() -> None:
    with pytest.raises(PatchError, match="headers of this mail are damaged"):
        read(mail("[PATCH] a", DIFF) + mail("[PATCH v2] b", OTHER, "no header at all"), "mbox")


def test_mails_without_a_line_between_them_are_refused() -> None:
    first, second = (
        mail(subject, diff).removeprefix(FROM.encode())
        for subject, diff in (("[PATCH] a", DIFF), ("[PATCH v2] b", OTHER))
    )
    with pytest.raises(PatchError, match="several mails in it, and no line"):
        read(first + second, "mbox")
    digest = mail("Digest, Vol 1", "").rstrip() + b"\n\nMessage: 1\n" + first + b"------\n\nMessage: 2\n" + second
    with pytest.raises(PatchError, match="several mails in it, and no line"):
        read(digest, "mbox")
    tail = DIFF + "-- \n2.1\n\nFrom: B\nSubject: Re: x\n\nlooks good\n"
    assert titles(mail("[PATCH] a", tail)) == ["a"], "a mail quoted below has no diff"

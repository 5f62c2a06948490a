# SPDX-License-Identifier: GPL-2.0-or-later
"""One version of one series, whole and in order, or a refusal that names what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.errors import PatchError
from panthorlab.kernel.patch.mails import read_mails
from panthorlab.kernel.patch.read import read, read_all
from panthorlab.kernel.patch.series import Series, choose
from panthorlab.kernel.patch.subject import parse_subject

DIFF = "--- a/x.c\n+++ b/x.c\n@@ -1,2 +1,2 @@\n one\n-two\n+{}\n"


def mail(subject: str, new: str, *headers: str, behind: str = "") -> bytes:
    head = "".join(f"{line}\n" for line in ("From: A <a@example.org>", f"Subject: {subject}", *headers))
    body = DIFF.format(new) if new else "no diff\n"
    return f"From 0123456789abcdef Mon Sep 17 00:00:00 2001\n{head}\n{body}{behind}\n".encode()


def chosen(*mails: bytes, version: int | None = None) -> Series:
    return choose(read_mails(b"".join(mails), "mbox"), "mbox", version)


def titles(*mails: bytes) -> list[str]:
    return [patch.title for patch in chosen(*mails).patches]


@pytest.mark.parametrize(
    ("subject", "version", "number", "total"),
    [
        ("[PATCH] a", 1, None, None),
        ("[PATCHv2 2/2] a", 2, 2, 2),
        ("[RFC v3 1/4] a", 3, 1, 4),
        ("[v2,1/3] a", 2, 1, 3),
        ("[PATCH RFC net-next v3 02/10] a", 3, 2, 10),
        ("[PATCH 6.1 003/120] a", 1, 3, 120),
        ("[PATCH v6.12 1/2] a", 1, 1, 2),
        ("[PATCH V2 1/3] a", 2, 1, 3),
        ("[PATCH-v4] a", 4, None, None),
        ("[PATCH 1/2 v2] a", 2, 1, 2),
        ("[RESEND][PATCH v2 1/1] a", 2, 1, 1),
        ("[PATCH] [v2 1/2] a", 2, 1, 2),
        ("[list] [PATCH v2 0/3] a", 2, 0, 3),
        ("[RFCv2] a", 2, None, None),
        ("[PATCH 1 of 3] a", 1, 1, 3),
        ("[PATCH 1.5/4] a", 1, None, None),
    ],
)
def test_tags(subject: str, version: int, number: int | None, total: int | None) -> None:
    parsed = parse_subject(subject)
    assert (parsed.version, parsed.number, parsed.total) == (version, number, total)
    assert (parsed.title, parsed.tagged, parsed.reply) == ("a", True, False)


@pytest.mark.parametrize(
    "prefix",
    [
        "Re: ",
        "RE: ",
        "SV: ",
        "AW: ",
        "Antw: ",
        "Odp: ",
        "答复: ",
        "回复：",
        "Re[2]: ",
        "Vá: ",
        "[list] Re: ",
        "RE: [EXT] Re: ",
        "Kopie: ",
        "Fwd: ",
        "[list] SV: [list] ",
    ],
)
def test_replies_in_any_language(prefix: str) -> None:
    parsed = parse_subject(f"{prefix}[PATCH v2 1/2] a")
    assert (parsed.reply, parsed.version, parsed.number, parsed.title) == (True, 2, 1, "a")
    series = chosen(mail("[PATCH] a", "genuine"), mail(f"{prefix}[PATCH] a", "reply"))
    assert "+genuine" in series.patches[0].text
    assert len(series.patches) == 1
    assert "left out: the diff in a reply" in series.notes[0]


def test_titles_that_look_like_prefixes() -> None:
    assert parse_subject("[PATCH] rv: add a monitor").title == "rv: add a monitor"
    assert not parse_subject("drm/panthor: fix it").reply


def test_what_tells_a_reply_from_the_next_patch() -> None:
    cover = mail("[PATCH 0/2] both", "", "Message-ID: <0@a>")
    one = mail("[PATCH 1/2] a", "x", "In-Reply-To: <0@a>", "Message-ID: <1@a>")
    two = mail("[PATCH 2/2] b", "y", "In-Reply-To: <0@a>", "References: <0@a>")
    other = mail("better so", "z", "In-Reply-To: <1@a>")
    assert titles(other, two, cover, one) == ["a", "b"]
    assert chosen(cover, one, two).title == "both"


@pytest.mark.parametrize(
    ("subjects", "missing"),
    [
        (["[PATCH 1/3] a", "[PATCH 3/3] c"], "2/3 is missing"),
        (["[PATCH 3/4] c"], "1/4, 2/4, 4/4 are missing"),
        (["[PATCH 2/2] b"], "1/2 is missing"),
        (["[PATCH v2 2/3] b", "[PATCH v2 3/3] c"], "1/3 is missing"),
        (["[PATCH 1/2] a", "[PATCH 2/3] b"], "several series"),
        (["[PATCH 1/2] a", "[PATCH 1/2] b"], "2 different patches 1/2"),
        (["[PATCH 1/1] a", "[PATCH] b"], "beside it “b”"),
        (["[PATCH 1/9999] a"], "2/9999, .*, … are missing"),
        (["[PATCH 5/2] a", "[PATCH 1/2] b", "[PATCH 2/2] c"], "a patch 5/2"),
    ],
)
def test_what_is_no_whole_series(subjects: list[str], missing: str) -> None:
    with pytest.raises(PatchError, match=missing) as caught:
        chosen(*(mail(subject, str(number)) for number, subject in enumerate(subjects)))
    assert caught.value.hint
    assert caught.value.exit_status == 2


def test_a_newest_version_that_is_not_whole() -> None:
    mails = [mail("[PATCH 1/2] a", "a"), mail("[PATCH 2/2] b", "b"), mail("[PATCH v2 2/2] b", "c")]
    with pytest.raises(PatchError, match="1/2 is missing") as caught:
        chosen(*mails)
    assert "--patch-version 1" in (caught.value.hint or "")
    assert len(chosen(*mails, version=1).patches) == 2


def test_an_answer_that_is_a_patch_is_not_guessed_about() -> None:
    with pytest.raises(PatchError, match="does it follow, or take its place"):
        chosen(mail("[PATCH] a", "a", "Message-ID: <0@a>"), mail("[PATCH] b", "b", "In-Reply-To: <0@a>"))


def write(folder: Path, *mails: bytes) -> list[str]:
    paths = [folder / f"{number}.patch" for number in range(len(mails))]
    for path, data in zip(paths, mails, strict=True):
        path.write_bytes(data)
    return [str(path) for path in paths]


def test_several_files(tmp_path: Path) -> None:
    parts = write(tmp_path, mail("[PATCH 2/2] b", "b"), mail("[PATCH 1/2] a", "a"))
    assert [patch.title for patch in read_all(parts).patches] == ["a", "b"]
    with pytest.raises(PatchError, match="1/2 is missing"):
        read_all(parts[:1])
    versions = write(tmp_path, mail("[PATCH] a", "a"), mail("[PATCHv2] a", "b"))
    assert "+b" in read_all(versions).patches[0].text
    assert len(read_all(versions).patches) == 1
    apart = write(tmp_path, mail("[PATCH 1/1] a", "a"), mail("[PATCH v2 1/1] b", "b"))
    assert [patch.title for patch in read_all(apart).patches] == ["a", "b"]
    assert "2 series, applied one after the other" in read_all(apart).notes[-1]
    old, new = mail("[PATCH] a", "a", "Message-ID: <1@a>"), mail("[PATCH v2] b", "b", "References: <1@a>")
    linked = write(tmp_path, old, new)
    assert [patch.title for patch in read_all(linked).patches] == ["b"]


def test_what_a_series_says_of_itself() -> None:
    commit = "219b45d023ed0902b05c5902a4f31c2c38bcf68c"
    behind = f"-- \n2.45\n\nbase-commit: {commit}\nprerequisite-patch-id: {commit}\nchange-id: 2026-x-12ab\n"
    series = chosen(mail("[PATCH] a", "a", "Message-ID: <1@a>", behind=behind))
    assert (series.facts.base_commit, series.facts.change_id) == (commit, "2026-x-12ab")
    assert series.facts.prerequisites == (f"prerequisite-patch-id: {commit}",)
    assert series.message_id == series.patches[0].message_id == "1@a"


@given(st.integers(1, 5), st.integers(1, 4), st.data())
def test_any_order_gives_the_same_and_any_gap_is_named(length: int, newest: int, data: st.DataObject) -> None:
    parts = [(version, number) for version in range(1, newest + 1) for number in range(1, length + 1)]
    mails = {
        (version, number): mail(f"[PATCH v{version} {number}/{length}] p{number} of v{version}", f"{version}.{number}")
        for version, number in parts
    }
    replies = [mail(f"Re: [PATCH v{version} {number}/{length}] p", "reply") for version, number in parts[:2]]
    order = data.draw(st.permutations([*mails.values(), *replies]))
    assert titles(*order) == [f"p{number} of v{newest}" for number in range(1, length + 1)]
    gap = data.draw(st.integers(1, length))
    rest = [each for each in order if each != mails[newest, gap]]
    if length > 1:
        with pytest.raises(PatchError, match=rf"{gap}/{length} is missing"):
            chosen(*rest)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"From: A <a@b>\nSubject: [GIT PULL] x\n\nThe following changes since commit 123:\n\n  x\n", "a pull request"),
        (b"From: A <a@b>\nSubject: x\n\n-----BEGIN PGP MESSAGE-----\n\nabc\n", "encrypted"),
        (b"From: A <a@b>\nSubject: Re: x\n\n> diff --git a/x b/x\n", "quotes a patch"),
        (b"Subject: " + b"re: " * 50_000 + b"\n\n" + DIFF.format("x").encode(), "longer than 64 KiB"),
        (mail("a", "x", behind="-- >8 --\n" + DIFF.format("y")), "scissors"),
    ],
)
def test_the_right_sentence(data: bytes, said: str) -> None:
    with pytest.raises(PatchError, match=said) as caught:
        read(data, "thing")
    assert caught.value.hint


def test_scissors() -> None:
    body = f"How about this?\n\n-- >8 --\nSubject: [PATCH] b: title\n\nText.\n---\n{DIFF.format('x')}"
    [patch] = read(f"From: A <a@b>\nSubject: [PATCH] old\n\n{body}".encode(), "m").patches
    assert patch.title == "b: title"


def test_attached_mails_are_mails() -> None:
    attached = mail("[PATCH 1/1] inner", "x").decode()
    head = 'From: A <a@b>\nSubject: here\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="XX"\n\n'
    part = "Content-Type: text/x-patch\nContent-Disposition: attachment; filename=0001-x.patch\n\n"
    mixed = f"{head}--XX\nContent-Type: text/plain\n\nsee\n--XX\n{part}{attached}\n--XX--\n"
    [patch] = read(mixed.encode(), "m").patches
    assert patch.title == "inner"
    forwarded = f"Content-Type: message/rfc822\n\n{attached.partition(chr(10))[2]}"
    [patch] = read(f"{head}--XX\n{forwarded}\n--XX--\n".encode(), "m").patches
    assert patch.title == "inner"


def test_colours_of_a_whole_diff() -> None:
    coloured = "".join(f"\x1b[32m{line}\x1b[m\n" for line in DIFF.format("x").splitlines())
    assert read(coloured.encode(), "d").patches[0].text == DIFF.format("x")


@pytest.mark.parametrize(
    "word",
    [
        "ver2",
        "version 2",
        "rev. 2",
        "take 2",
        "try2",
        "round 2",
        "attempt 2",
        "#2",
        "v.2",
        "r2",
        "\N{FULLWIDTH LATIN SMALL LETTER V}2",
    ],
)
def test_a_version_in_other_words(word: str) -> None:
    assert titles(mail("[PATCH] a", "x"), mail(f"[PATCH {word}] b", "y")) == ["b"]


@pytest.mark.parametrize("word", ["v2.1", "v2b", "v1.1"])
def test_half_a_version_beside_others_is_refused(word: str) -> None:
    with pytest.raises(PatchError, match=f"has {word} “b” beside others"):
        chosen(mail("[PATCH v2] a", "x"), mail(f"[PATCH {word}] b", "y"))
    assert titles(mail(f"[PATCH {word}] b", "y")) == ["b"], "alone it is what was meant"


@pytest.mark.parametrize("title", ["a fix v2", "a fix (v2)", "v2: a fix", "A fix, take 2"])
def test_a_version_in_the_title(title: str) -> None:
    with pytest.raises(PatchError, match="2 different patches called “a fix”"):
        chosen(mail("[PATCH] a fix", "x"), mail(f"[PATCH] {title}", "y"))


def test_a_tag_without_brackets() -> None:
    with pytest.raises(PatchError, match="2 different patches called “a fix”"):
        chosen(mail("PATCH: a fix", "x"), mail("PATCH v2: a fix", "y"))


def test_the_newest_version_is_there_by_its_cover_letter_alone() -> None:
    older = (mail("[PATCH v2 1/2] a", "x"), mail("[PATCH v2 2/2] b", "y"))
    with pytest.raises(PatchError, match="only the cover letter 0/2 “c”: its 2 patches are missing") as caught:
        chosen(*older, mail("[PATCH v3 0/2] c", ""))
    assert caught.value.hint == "v2 is whole: --patch-version 2 takes it"
    assert chosen(*older, mail("[PATCH v3 0/2] c", ""), version=2).version == 2
    assert chosen(*older, mail("Re: [PATCH v3 0/2] c", "")).version == 2, "a reply is no cover letter"


def test_parts_of_different_series_are_no_series() -> None:
    one = mail("[PATCH 1/2] a", "x", "Message-ID: <1@a.org>")
    two = mail("[PATCH 2/2] b", "y", "Message-ID: <2@b.org>").replace(b"A <a@example.org>", b"B <b@example.org>")
    with pytest.raises(PatchError, match="patches of 2 threads, by different people"):
        chosen(one, two)
    answer = two.replace(b"Subject:", b"In-Reply-To: <1@a.org>\nSubject:")
    assert [patch.title for patch in chosen(one, answer).patches] == ["a", "b"], "sent for somebody else, in one thread"
    assert [patch.title for patch in chosen(one, two.replace(b"B <b@", b"A <a@")).patches] == ["a", "b"]

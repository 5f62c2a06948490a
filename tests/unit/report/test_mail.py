# SPDX-License-Identifier: GPL-2.0-or-later
"""The draft of an answer: what it says, whom it goes to, and that nothing hostile becomes a header or a trailer."""

from __future__ import annotations

import email
import email.policy
import os
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from panthorlab.outcome import Role, Side
from panthorlab.report import mail
from panthorlab.report.coverage import Coverage, PatchCoverage
from panthorlab.report.mail import Identity
from panthorlab.report.model import MailInfo, RunReport
from panthorlab.verdict import Expect

MakeReport = Callable[..., RunReport]
ME = Identity("Jörg Dœ", "me@example.org")
LETTER = MailInfo(
    "20251103.1-cover@example.com",
    "[PATCH v2 0/2] drm/panthor: Evict groups before VM termination",
    "Mon, 03 Nov 2025 10:20:30 +0000",
    ("Jane Müller", "jane@example.com"),
    (("", "dri-devel@lists.example.org"), ("Me", "me@example.org")),
    (("Boris", "boris@example.com"), ("Jane", "jane@example.com")),
    ("20251001.1-v1@example.com",),
)
CLEAN = (("exit", Role.CLAIM, (0, 240), (0, 240)),)
BAD = (("exit", Role.CLAIM, (100, 100), (100, 100)),)
HEADERS = {
    "From", "To", "Cc", "Subject", "In-Reply-To", "References", "MIME-Version", "Content-Type",
    "Content-Transfer-Encoding",
}  # fmt: skip


def parsed(draft: bytes) -> EmailMessage:
    return email.message_from_bytes(draft, policy=email.policy.default)


def body(draft: bytes) -> str:
    return draft.decode().partition("\n\n")[2]


def trailers(draft: bytes) -> list[str]:
    """What `git send-email` would take for somebody to write to."""
    return [line for line in body(draft).splitlines() if re.match(r"(?i)([a-z][a-z-]*-by|cc|to|bcc):", line)]


def test_the_answer_goes_where_the_patch_came_from(make_report: MakeReport) -> None:
    draft = mail.render(replace(make_report(), mails=(LETTER,)), ME)
    message = parsed(draft)
    assert message["In-Reply-To"] == "<20251103.1-cover@example.com>"
    assert message["References"].split() == ["<20251001.1-v1@example.com>", "<20251103.1-cover@example.com>"]
    assert message["Subject"] == f"Re: {LETTER.subject}"
    assert message["From"].addresses[0].display_name == "Jörg Dœ"
    assert [one.addr_spec for one in message["To"].addresses] == ["jane@example.com"]
    assert [one.addr_spec for one in message["Cc"].addresses] == ["dri-devel@lists.example.org", "boris@example.com"]
    assert "On Mon, 03 Nov 2025 10:20:30 +0000, Jane Müller wrote:\n> [PATCH v2 0/2] drm/panthor: Evict" in body(draft)
    assert max(map(len, body(draft).splitlines())) <= 80


def test_it_says_what_was_tested_on_what_and_that_it_was_emulated(make_report: MakeReport) -> None:
    report = replace(make_report(), mails=(LETTER,), repeat=("panthorlab", "validate", LETTER.message_id))
    text = body(mail.render(report, ME))
    assert "fixed. The fault is gone" in text
    assert "emulated GPU, not on hardware" in text
    assert re.search(r"^ {2}exit +100/100 96–100% +0/240 0–1.6% +↓", text, re.MULTILINE)
    assert re.search(r"^ {2}vm-destroy +20/20", text, re.MULTILINE), "what remains is not hidden"
    for shown in (
        "linux-source-6.12 6.12.117-1",
        "6.12.117, build-id a0a0",
        "qemu-g610 (emulated)",
        "2 before, 2 after",
    ):
        assert shown in text
    assert f"panthorlab validate {LETTER.message_id}" in text
    assert text.endswith("\nTested-by: Jörg Dœ <me@example.org> # panthorlab on qemu-g610, emulated\n")
    real = replace(report, board=replace(report.board, emulated=False))
    assert "emulated" not in body(mail.render(real, ME)).replace(report.board.description, "")
    assert "(real hardware)" in body(mail.render(real, ME))


def test_only_a_good_verdict_of_a_whole_run_is_signed(make_report: MakeReport) -> None:
    def signed(report: RunReport, whose: Identity | None = ME) -> bool:
        draft = mail.render(replace(report, mails=(LETTER,)), whose)
        assert trailers(draft) == [line for line in body(draft).splitlines() if line.startswith("Tested-by:")]
        return bool(trailers(draft))

    assert signed(make_report())
    assert signed(make_report(CLEAN, expect=Expect.NO_CHANGE))
    assert not signed(make_report(), None), "nobody is made up"
    assert not signed(make_report(CLEAN)), "inconclusive"
    assert not signed(make_report(BAD))
    assert not signed(make_report(interrupted="the time limit"))
    assert not signed(replace(make_report(), swapped=True)), "then fixed means that the patch breaks it"
    never = Coverage(1, 2, 3, 4, patch=PatchCoverage(3, 0, ("a.c:1", "a.c:2", "a.c:3")))
    assert not signed(replace(make_report(), coverage={Side.AFTER: never}))


def test_a_patch_that_was_no_mail_has_a_draft_without_a_thread(make_report: MakeReport) -> None:
    message = parsed(mail.render(make_report(), None))
    assert message["Subject"] == "Re: [PATCH] drm/panthor: Wait for terminated groups before the heaps go"
    assert not {"In-Reply-To", "References", "From", "To", "Cc"} & set(message.keys())
    with pytest.raises(ValueError, match="no patch"):
        mail.render(replace(make_report(), patches=()), ME)
    with pytest.raises(ValueError, match="no patch"):
        mail.render(replace(make_report(), claim="the default job"), ME)


HOSTILE = (
    "Cc: evil@example.net",
    "x\nBcc: evil@example.net\n\nCc: evil@example.net",
    "x\r\nBcc: evil@example.net",
    "=?utf-8?q?x=0ABcc=3A_evil=40example=2Enet?=",
    "=?utf-8?b?eApCY2M6IGV2aWxAZXhhbXBsZS5uZXQ=?= =?us-ascii?q?=0D=0A?=",
    "a\u2028Cc: evil@example.net\u202e\x00\x1b[31m\ud800",
    'Evil" <evil@example.net>, "x',
    " ".join(["Cc:", "evil@example.net", "Signed-off-by:", "e <evil@example.net>"] * 40),
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_no_header_and_no_trailer(make_report: MakeReport, text: str) -> None:
    check_hostile(make_report(text=text), text)


@given(st.text(max_size=200))
@example("\x0b\x0c\x1c\x1d\x1e\x85Cc: a@b")
def test_any_text_is_no_header_and_no_trailer(make_report: MakeReport, text: str) -> None:
    check_hostile(make_report(CLEAN, text=text or "x"), text)


def check_hostile(report: RunReport, text: str) -> None:
    for date in (text, ""):
        letter = MailInfo(
            text, text, date, (text, "jane@example.com"), ((text, "list@example.org"), ("x", text)), (), (text,)
        )
        check_draft(report, letter, text)


def check_draft(report: RunReport, letter: MailInfo, text: str) -> None:
    draft = mail.render(replace(report, mails=(letter,), repeat=("panthorlab", text)), ME)
    message = parsed(draft)
    assert set(message.keys()) <= HEADERS
    assert len(message.keys()) == len(set(message.keys()))
    assert not message.defects
    people = [one.addr_spec for name in ("From", "To", "Cc") for one in message[name].addresses]
    assert people == ["me@example.org", "jane@example.com", "list@example.org"]
    assert all(line.startswith("Tested-by: Jörg Dœ <me@example.org> #") for line in trailers(draft))
    assert not {unicodedata.category(char) for char in draft.decode()} - {"Cc"} & {"Cf", "Cs", "Zl", "Zp"}
    assert not [char for char in draft.decode() if unicodedata.category(char) == "Cc" and char != "\n"]
    assert "\n" not in str(message["Subject"])


def has_send_email() -> bool:
    if shutil.which("git") is None:
        return False
    place = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    return (Path(place) / "git-send-email").exists()


@pytest.mark.skipif(not has_send_email(), reason="git send-email is not installed")
@pytest.mark.parametrize("text", [None, *HOSTILE[:5]])
def test_git_send_email_takes_it_as_it_is(make_report: MakeReport, tmp_path: Path, text: str | None) -> None:
    letter = LETTER if text is None else replace(LETTER, subject=text, date="", sender=(text, "jane@example.com"))
    file = tmp_path / "reply.eml"
    file.write_bytes(mail.render(replace(make_report(text=text), mails=(letter,)), ME))
    (tmp_path / "sendmail").write_text("#!/bin/sh\nexit 1\n")
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8"}
    quiet |= {f"GIT_{who}_{what}": "me@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    argv = ["git", "send-email", "--dry-run", "--confirm=never", "--no-validate", "--from", "Me <me@example.org>"]
    done = subprocess.run(
        [*argv, "--smtp-server", str(tmp_path / "sendmail"), str(file)],
        cwd=tmp_path, env=quiet, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "In-Reply-To: <20251103.1-cover@example.com>" in done.stdout
    assert "jane@example.com" in done.stdout
    assert "dri-devel@lists.example.org" in done.stdout
    (sent,) = [line.split() for line in done.stdout.splitlines() if line.startswith("Sendmail:")]
    assert set(sent[sent.index("-i") + 1 :]) == {
        "jane@example.com", "dri-devel@lists.example.org", "boris@example.com", "me@example.org"
    }  # fmt: skip

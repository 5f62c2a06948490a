# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab report RUN --mail`, from the mbox that was tested to the draft that answers it."""

from __future__ import annotations

import email
import email.policy
import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from panthorlab import cli
from panthorlab.kernel.patch.read import read
from panthorlab.kernel.patch.series import Series
from panthorlab.run.record import MailRecord
from panthorlab.run.record.codec import decode
from panthorlab.run.record.log import read_run
from tests.made_runs import ALONE, FIXED, write_run

DIFF = "--- a/x.c\n+++ b/x.c\n@@ -1,2 +1,2 @@\n one\n-two\n+{}\n"
FROM = "From 0123456789abcdef Mon Sep 17 00:00:00 2001\n"
HEAD = (
    "From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>\nDate: Mon, 3 Nov 2025 10:20:30 +0100\n"
    "To: Liviu <liviu@example.org>\n"
    'Cc: dri-devel@lists.example.org, "no address"\n'
)


def series(*mails: tuple[str, str, str]) -> Series:
    text = "".join(
        f"{FROM}{HEAD}Subject: {subject}\nMessage-ID: <{own}>\nIn-Reply-To: <0@a>\n\n{new and DIFF.format(new)}\n"
        for own, subject, new in mails
    )
    return read(text.encode(), "x.mbox")


def recorded(of: Series) -> tuple[MailRecord, ...]:
    assert of.letter is not None
    return (decode(MailRecord, asdict(of.letter)),)


def draft(run: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, email.message.EmailMessage, str]:
    status = cli.main(["report", str(run), "--mail", *more])
    out, err = capsys.readouterr()
    message = email.message_from_bytes(out.encode(), policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    return status, message, err


def test_a_series_is_answered_at_its_cover_letter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = series(
        ("0@a", "[PATCH v3 0/2] all of it", ""), ("1@a", "[PATCH v3 1/2] one", "a"), ("2@a", "[PATCH v3 2/2] two", "b")
    )
    run = write_run(tmp_path / "r", replace(FIXED, mails=recorded(of)))
    status, message, _ = draft(run, capsys, "--from", "Me <me@example.org>")
    assert status == 0
    assert (message["In-Reply-To"], message["Subject"]) == ("<0@a>", "Re: [PATCH v3 0/2] all of it")
    assert [(one.display_name, one.addr_spec) for one in message["To"].addresses] == [("Jörg", "joerg@example.org")]
    assert [one.addr_spec for one in message["Cc"].addresses] == ["liviu@example.org", "dri-devel@lists.example.org"]
    text = message.get_content()
    assert "On Mon, 03 Nov 2025 10:20:30 +0100, Jörg wrote:" in text
    assert "Tested-by: Me <me@example.org> # panthorlab on qemu-g610, emulated" in text
    assert "panthorlab validate 0@a --boots 2" in text


def test_a_patch_alone_is_answered_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "r", replace(FIXED, mails=recorded(series(("7@a", "[PATCH] one", "a")))))
    _, message, _ = draft(run, capsys, "--from", "Me <me@example.org>")
    assert (message["In-Reply-To"], message["References"]) == ("<7@a>", "<0@a> <7@a>")


def test_whose_it_is_comes_from_git_or_from_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "r", FIXED)
    home = tmp_path / "gitconfig"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.chdir(tmp_path)
    for setup in ((), ("user.name=Me",), ("user.name=Me", "user.email=me@localhost x")):
        home.write_text("")
        for setting in setup:
            name, _, value = setting.partition("=")
            subprocess.run(["git", "config", "--global", name, value], check=True)
        status, message, err = draft(run, capsys)
        assert status == 0
        assert message["From"] is None
        assert "Tested-by" not in message.get_content()
        assert "no Tested-by" in err
    subprocess.run(["git", "config", "--global", "user.email", "me@example.org"], check=True)
    _, message, err = draft(run, capsys)
    assert message["From"] == "Me <me@example.org>"
    assert "Tested-by: Me <me@example.org>" in message.get_content()
    assert not err


@pytest.mark.parametrize(
    "wrong",
    [
        ["--mail", "--json"],
        ["--kcidb", "-", "--json"],
        ["--mail", "--kcidb", "-"],
        ["--from", "Me <me@example.org>"],
        ["--mail", "--from", "me@example.org"],
        ["--mail", "--from", "Me\nBcc: e@x <me@example.org>"],
        ["--mail", "--from", "Me <me>, E <e@example.net>"],
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    assert cli.main(["report", str(write_run(tmp_path / "r", FIXED)), *wrong]) == 2
    assert "Tested-by" not in capsys.readouterr().out


def test_a_run_of_one_kernel_answers_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(write_run(tmp_path / "r", ALONE)), "--mail"]) == 2
    assert "validate" in capsys.readouterr().err


def test_a_log_of_before_there_were_mails_has_the_id_of_the_patch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "new", replace(FIXED, mails=(MailRecord("1@a", "", ""),)))
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    for line in lines:
        del line["c"]
        line.pop("mails", None)
    old = tmp_path / "old"
    old.mkdir()
    (old / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert len(read_run(old)) == len(lines)
    _, message, _ = draft(old, capsys, "--from", "Me <me@example.org>")
    assert message["In-Reply-To"] == "<1@a>"
    assert message["Subject"] == "Re: [PATCH] drm/panthor: Evict groups before VM termination"

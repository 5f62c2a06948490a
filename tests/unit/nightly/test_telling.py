# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is told of a night: once, by real servers on loopback, and whatever those do changes nothing of the night."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from panthorlab.errors import ConfigError
from panthorlab.nightly.model import NightOutcome
from panthorlab.nightly.record import NightEnd, NightLog, NightTelling, NightTold, read_nights
from panthorlab.run.record import Event
from tests.notice_servers import Receiver, Rude

from .conftest import NEW, KilledError, Lab, Repository, named

PATIENCE = 600.0
BAD = (NightOutcome.REGRESSED, (NEW,))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


class Mailbox(Message):
    """Keeps what is delivered to it."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.mails.append(message_from_bytes(message.as_bytes(), policy=default))


class OnFreePort(Controller):
    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = int(self.server.sockets[0].getsockname()[1])
        super()._trigger_server()  # type: ignore[no-untyped-call]


@pytest.fixture
def mail_server() -> Iterator[tuple[int, Mailbox]]:
    mailbox = Mailbox()
    server = OnFreePort(mailbox, hostname="127.0.0.1", port=0, server_hostname="box.example")
    server.start()
    yield int(server.port), mailbox
    server.stop()


def told_by(lab: Lab, url: str, more: str = "") -> Path:
    """Have the lab's nights told there."""
    people = lab.file.parent / "people.yaml"
    people.write_text(f"notify:\n  when: always\n  webhooks:\n    - url: {url}\n      tries: 1\n{more}")
    lab.file.write_text(lab.file.read_text() + "notify: people.yaml\n")
    return people


def nights(lab: Lab) -> list[Path]:
    return sorted((lab.file.parent / "nightly.state/nights").iterdir())


def said(folder: Path) -> Any:
    return json.loads((folder / "night.json").read_text())


def kill_at(monkeypatch: pytest.MonkeyPatch, kind: type[Event], *, after: bool) -> Callable[[], None]:
    """Die when an event of this kind is put on record: before it, or `after`. Call the result to live on."""
    real = NightLog.append

    def append(log: NightLog, event: Any) -> Any:
        if isinstance(event, kind):
            if after:
                real(log, event)
            raise KilledError
        return real(log, event)

    monkeypatch.setattr(NightLog, "append", append)
    return lambda: monkeypatch.setattr(NightLog, "append", real)


def test_nobody_is_told_unless_a_file_says_who(lab: Lab) -> None:
    assert lab.run() == 0
    kinds = [type(event) for event in read_nights(lab.file.parent / "nightly.state")]
    assert NightTelling not in kinds
    assert NightTold not in kinds
    assert lab.run("--force") == 0


def test_each_night_is_told_once_with_its_culprit(
    lab: Lab, repository: Repository, receiver: Receiver, mail_server: tuple[int, Mailbox]
) -> None:
    port, mailbox = mail_server
    mail = f"host: 127.0.0.1, port: {port}, security: none, sender: a@lab.example, to: [team@lab.example]"
    told_by(lab, receiver.url, f"  mail: {{{mail}, when: bad}}\n")
    assert lab.run() == 0
    first = receiver.sent()
    assert (first["kind"], first["verdict"], first["exit"]) == ("night", "good", 0)
    assert mailbox.mails == [], "a good night is no mail"
    planted = repository.commit("Break it")
    lab.says["Break it"] = BAD
    lab.found = named(planted)
    assert lab.run() == 1
    second = json.loads(receiver.bodies[1])
    assert (second["verdict"], second["exit"]) == ("regressed", 1)
    assert second["directory"] == str(nights(lab)[1])
    assert planted[:12] in second["text"]
    assert "has not ended" not in second["text"]
    (mail_told,) = mailbox.mails
    assert (mail_told["To"], planted[:12] in mail_told.get_content()) == ("team@lab.example", True)
    assert said(nights(lab)[1])["notes"] == []
    assert len(receiver.bodies) == 2


def test_the_report_lies_there_when_people_are_told_of_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def deliver(*_: object) -> list[Any]:
        (folder,) = nights(lab)
        assert "<!DOCTYPE html>" in (folder / "night.html").read_text()
        seen.append(said(folder))
        return []

    monkeypatch.setattr("panthorlab.nightly.telling.deliver", deliver)
    told_by(lab, "http://127.0.0.1:9/")
    assert lab.run() == 0
    (night,) = seen
    assert (night["outcome"], night["notes"]) == ("good", [])


def test_a_server_that_refuses_changes_nothing_of_the_night_and_is_told(
    lab: Lab, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.failures = [500]
    told_by(lab, receiver.url)
    assert lab.run() == 0
    out = capsys.readouterr().out
    assert out.startswith("GOOD")
    assert "not told: webhook 1" in out
    (folder,) = nights(lab)
    night = said(folder)
    assert (night["outcome"], night["exit"]) == ("good", 0)
    (note,) = night["notes"]
    assert "answered 500" in note
    assert f"panthorlab notify {folder}" in note
    assert "answered 500" in (folder / "night.html").read_text()
    assert lab.run("--report") == 0
    assert "answered 500" in capsys.readouterr().out
    assert len(receiver.bodies) == 1


@pytest.mark.parametrize("drop", [b"", b"x"])
def test_servers_that_never_answer_do_not_hold_up_the_night(lab: Lab, drop: bytes) -> None:
    hook, mail = Rude(b"", drop), Rude(b"", drop)
    people = f"  mail: {{host: 127.0.0.1, port: {mail.port}, security: none, sender: a@b.example, to: [c@d.example], "
    told_by(lab, f"http://127.0.0.1:{hook.port}/", f"      timeout: 0.5\n{people}timeout: 0.5, tries: 1}}\n")
    begin = time.monotonic()
    assert lab.run() == 0
    assert time.monotonic() - begin < 30
    assert len(said(nights(lab)[0])["notes"]) == 2
    hook.close()
    mail.close()


def test_a_night_that_was_killed_before_it_was_told_is_told_by_the_next_call(
    lab: Lab, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_by(lab, receiver.url)
    live_on = kill_at(monkeypatch, NightEnd, after=True)
    with pytest.raises(KilledError):
        lab.run()
    assert receiver.bodies == []
    live_on()
    assert lab.run() == 0
    assert len(lab.judged) == 1
    names = [json.loads(body)["title"].split()[-1] for body in receiver.bodies]
    assert names == [folder.name for folder in nights(lab)], "the killed one, and the new one"


def test_what_may_have_arrived_is_not_sent_again_after_a_kill(
    lab: Lab, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_by(lab, receiver.url)
    live_on = kill_at(monkeypatch, NightTold, after=False)
    with pytest.raises(KilledError):
        lab.run()
    live_on()
    killed = receiver.sent()["directory"]
    assert lab.run() == 0
    assert [json.loads(body)["directory"] for body in receiver.bodies] == [killed, str(nights(lab)[1])]
    (note,) = said(Path(killed))["notes"]
    assert "was interrupted while people were told of it" in note
    assert said(nights(lab)[1])["notes"] == []


def test_a_night_that_is_closed_because_it_cannot_go_on_is_told(
    lab: Lab, receiver: Receiver, repository: Repository
) -> None:
    told_by(lab, receiver.url)
    lab.dies_at = "The first"
    with pytest.raises(KilledError):
        lab.run()
    assert receiver.bodies == []
    lab.dies_at = ""
    lab.file.write_text(lab.file.read_text() + "iterations: 3\n")
    assert lab.run() == 0
    closed, new = (json.loads(body) for body in receiver.bodies)
    assert (closed["verdict"], closed["exit"]) == ("error", 4)
    assert "another one since" in closed["text"]
    assert new["verdict"] == "good"


def test_who_is_told_is_no_reason_to_test_a_branch_again(lab: Lab, receiver: Receiver) -> None:
    assert lab.run() == 0
    told_by(lab, receiver.url)
    assert lab.run() == 0
    assert len(lab.judged) == 1
    assert receiver.sent()["verdict"] == "unchanged"


def test_a_file_that_is_wrong_is_refused_before_the_night_begins(lab: Lab) -> None:
    people = told_by(lab, "https://x.example/")
    people.write_text("notify:\n  webhook: []\n")
    with pytest.raises(ConfigError, match=r"people.yaml:2:3: unknown key"):
        lab.run()
    assert not (lab.file.parent / "nightly.state").exists()


def test_a_dry_run_says_who_would_be_told_and_which_secrets_are_missing(
    lab: Lab, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab.run("--dry-run") == 0
    assert "told of it: nobody" in capsys.readouterr().out
    told_by(lab, receiver.url, "      token: {env: NOT_SET_HERE}\n      when: bad\n")
    assert lab.run("--dry-run") == 4
    shown = capsys.readouterr()
    assert f"told of it: webhook 1 (127.0.0.1:{receiver.port}) if it is bad" in shown.out
    assert "NOT_SET_HERE" in shown.err
    assert lab.run("--dry-run", "--json") == 4
    would = json.loads(capsys.readouterr().out)
    assert (len(would["told"]), len(would["missing"])) == (1, 1)
    assert receiver.bodies == []


def test_kill_9_while_a_server_is_silent(tmp_path: Path) -> None:
    """The whole command: its only tree cannot be reached, which is a night with something to tell, too."""
    silent, heard = Rude(b"", b""), Receiver()
    people, file = tmp_path / "people.yaml", tmp_path / "nightly.yaml"
    people.write_text(f"notify:\n  webhooks:\n    - url: http://127.0.0.1:{silent.port}/\n      timeout: 600\n")
    file.write_text(f"notify: people.yaml\ntrees:\n  - name: gone\n    url: {tmp_path}/gone\n    branches: [master]\n")
    argv = [sys.executable, "-m", "panthorlab", "nightly", str(file), "--json"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True) as killed:
        deadline = time.monotonic() + PATIENCE
        while not silent.visited.wait(0.02):
            assert killed.poll() is None, killed.stderr and killed.stderr.read()
            assert time.monotonic() < deadline
        os.kill(killed.pid, signal.SIGKILL)
    people.write_text(f"notify:\n  webhooks:\n    - url: {heard.url}\n")
    done = subprocess.run(argv, capture_output=True, check=False, timeout=PATIENCE)
    assert done.returncode == 4, done.stderr
    night = json.loads(done.stdout)
    assert (night["outcome"], night["notes"]) == ("error", [])
    assert heard.sent()["directory"] == night["directory"], "the night that was killed is not told again"
    first = min((tmp_path / "nightly.state/nights").iterdir())
    assert "who knows is not known" in said(first)["notes"][0]
    silent.close()
    heard.close()

# SPDX-License-Identifier: GPL-2.0-or-later
"""Drivers of switches against a real HTTP server, and real programs: what they say, read, retry, refuse and hide."""

from __future__ import annotations

import base64
import logging
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from panthorlab.board.power import manual, terminal, web
from panthorlab.board.power.drivers import make_switch
from panthorlab.board.power.file import PowerSection
from panthorlab.board.power.secrets import HIDDEN, Redactor
from panthorlab.board.power.switch import NeedsPersonError, Switch, SwitchError
from panthorlab.errors import LabError

from .conftest import Relay

SECRET = "s3cr&t pÄss/word"
SHOWN_FORMS = ("s3cr", "bWU6", "YWRtaW46")
Make = Callable[..., Switch]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "BACKOFF", 0.01)


def section(**keys: Any) -> PowerSection:
    made: PowerSection = TypeAdapter(PowerSection).validate_python({"timeout": 2, **keys})
    return made


def tasmota(relay: Relay, /, **keys: Any) -> Switch:
    return make_switch(section(driver="tasmota", host="127.0.0.1", port=relay.port, **keys), "b")


def http(relay: Relay, **keys: Any) -> Switch:
    urls = {
        "on_url": f"{relay.url}/on",
        "off_url": f"{relay.url}/off",
        "state_url": f"{relay.url}/state",
        "state_on": "=ON$",
        "state_off": "=OFF$",
    }
    return make_switch(section(**{"driver": "http", **urls, **keys}), "b")


def shelly(relay: Relay, /, **keys: Any) -> Switch:
    return make_switch(section(driver="shelly", host="127.0.0.1", port=relay.port, **keys), "b")


def home(relay: Relay, **keys: Any) -> Switch:
    keys = {"driver": "home-assistant", "url": f"{relay.url}/", "entity": "switch.rock", "token_env": "TOKEN", **keys}
    return make_switch(section(**keys), "b")


MAKERS: list[Make] = [tasmota, http, shelly, home]


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setenv("TOKEN", "tok")
    made: Make = request.param
    return made


def test_turns_and_tells(make: Make, relay: Relay) -> None:
    switch = make(relay)
    for wanted in (False, True, True, False):
        switch.turn(wanted)
        assert relay.on is wanted
        assert switch.state() is wanted


def test_tries_again_what_may_pass(make: Make, relay: Relay) -> None:
    switch = make(relay, retries=2)
    relay.failures = [503, 500]
    switch.turn(False)
    assert not relay.on
    assert len(relay.requests) == 3


def test_gives_up_after_the_retries(make: Make, relay: Relay) -> None:
    switch = make(relay, retries=1)
    relay.failures = [500, 502, 500]
    with pytest.raises(SwitchError, match=r"answered 502 .*out of order"):
        switch.turn(False)
    assert len(relay.requests) == 2


def test_what_will_not_pass_is_not_tried_again(make: Make, relay: Relay) -> None:
    switch = make(relay)
    relay.failures = [404]
    with pytest.raises(NeedsPersonError, match="answered 404"):
        switch.turn(False)
    assert len(relay.requests) == 1


def test_silence_is_an_error_in_time(make: Make, relay: Relay) -> None:
    switch = make(relay, retries=1, timeout=0.1)
    relay.mute.set()
    with pytest.raises(SwitchError, match="did not answer in time"):
        switch.turn(False)
    relay.until_asked(2)
    assert len(relay.requests) == 2


def test_an_answer_that_never_ends_is_cut_off(make: Make, relay: Relay) -> None:
    switch = make(relay, retries=0, timeout=0.3)
    relay.dribble = True
    with pytest.raises(SwitchError, match=r"did not end its answer within 0\.3 s"):
        switch.state()


def test_an_answer_without_measure_is_cut_off(make: Make, relay: Relay) -> None:
    switch = make(relay)
    relay.answer = "x" * 100_000
    with pytest.raises(SwitchError, match="more than 64 KiB"):
        switch.state()


def test_dead_device(make: Make, relay: Relay) -> None:
    switch = make(relay, retries=1)
    relay.die()
    with pytest.raises(SwitchError, match="cannot be reached: Connection refused"):
        switch.state()


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "<html>login</html>",
        "[]",
        "{}",
        '{"state": "unavailable"}',
        '{"output": 1}',
        '{"POWER": "MAYBE"}',
        "[" * 50_000,
    ],
)
def test_strange_answers_are_no_state(make: Make, relay: Relay, answer: str) -> None:
    switch = make(relay)
    relay.answer = answer
    with pytest.raises(SwitchError) as caught:
        switch.state()
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_redirects_are_not_followed(make: Make, relay: Relay) -> None:
    switch = make(relay)
    relay.redirect = "http://192.0.2.1/elsewhere"
    with pytest.raises(NeedsPersonError, match=r"redirect to http://192\.0\.2\.1/elsewhere"):
        switch.turn(False)
    assert len(relay.requests) == 1


def test_proxies_and_netrc_are_not_for_the_lab(
    make: Make, relay: Relay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:9")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login other password other\n")
    switch = make(relay)
    switch.turn(False)
    assert "Basic" not in relay.headers[-1].get("Authorization", "")


LOGINS: list[tuple[Callable[..., Switch], dict[str, Any]]] = [
    (tasmota, {"password_env": "PASS"}),
    (http, {"user": "me", "password_env": "PASS"}),
    (shelly, {"password_env": "PASS"}),
    (home, {"token_env": "PASS"}),
]


@pytest.mark.parametrize(("maker", "keys"), LOGINS)
def test_login(maker: Make, keys: dict[str, Any], relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = SECRET if maker is not home else "plain-token"
    relay.password = secret
    monkeypatch.setenv("PASS", secret)
    switch = maker(relay, **keys)
    switch.turn(False)
    assert switch.state() is False
    assert not relay.on


@pytest.mark.parametrize(("maker", "keys"), LOGINS)
def test_wrong_login_says_so_once_and_shows_nothing(
    maker: Make, keys: dict[str, Any], relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.password = "another"
    monkeypatch.setenv("PASS", "s3cret")
    switch = maker(relay, **keys)
    with pytest.raises(NeedsPersonError, match="another user or password") as caught:
        switch.turn(False)
    assert relay.on
    assert "s3cret" not in str(caught.value)
    assert "password_env" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("maker", "keys"),
    [*LOGINS[:3], (http, {"password_env": "PASS", "off_url": "http://127.0.0.1:{port}/off?pw={password}"})],
)
@pytest.mark.parametrize("trouble", ["silent", "dead", "failing"])
def test_secrets_stay_out_of_errors_and_logs(
    maker: Make,
    keys: dict[str, Any],
    trouble: str,
    relay: Relay,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("PASS", SECRET)
    keys = {key: value.replace("{port}", str(relay.port)) for key, value in keys.items()}
    switch = maker(relay, timeout=0.1 if trouble == "silent" else 10, retries=1, **keys)
    if trouble == "silent":
        relay.mute.set()
    elif trouble == "dead":
        relay.die()
    else:
        relay.failures = [500, 500]
    with pytest.raises(SwitchError) as caught:
        switch.turn(False)
    error: BaseException | None = caught.value
    while error is not None:
        assert error.__cause__ is None
        for form in SHOWN_FORMS:
            assert form not in str(error)
        error = None
    assert caplog.records  # the HTTP library did log
    for form in SHOWN_FORMS:
        assert form not in caplog.text


def test_a_password_in_a_url_is_quoted(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASS", SECRET)
    http(relay, password_env="PASS", user="u v", off_url=f"{relay.url}/off?u={{user}}&pw={{password}}").turn(False)
    assert relay.requests == ["GET /off?u=u%20v&pw=s3cr%26t%20p%C3%84ss%2Fword"]
    assert "Authorization" not in relay.headers[0]


@given(st.text(min_size=3, max_size=30))
def test_no_form_of_a_secret_survives(secret: str) -> None:
    redact = Redactor()
    redact.hide(secret, "user")
    for form in (
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        repr(secret)[1:-1],
        base64.b64encode(f"user:{secret}".encode()).decode(),
    ):
        assert redact(form) == HIDDEN


@pytest.mark.parametrize("value", [None, "", "with\nnewline"])
def test_a_missing_secret_is_named(relay: Relay, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("PASS", raising=False)
    if value is not None:
        monkeypatch.setenv("PASS", value)
    with pytest.raises(LabError, match="environment variable PASS"):
        tasmota(relay, password_env="PASS")


def test_tasmota_names_the_outlet_that_is_not_there(relay: Relay) -> None:
    with pytest.raises(NeedsPersonError, match="does not know `Power7 Off`") as caught:
        tasmota(relay, relay=7).turn(False)
    assert "relay" in str(caught.value.hint)


def test_tasmota_before_8_2_3_answers_200_to_a_wrong_password(relay: Relay) -> None:
    relay.answer = '{"WARNING":"Need user=<username>&password=<password>"}'
    with pytest.raises(NeedsPersonError, match="another user or password"):
        tasmota(relay).state()


def test_tasmota_second_relay(relay: Relay) -> None:
    switch = tasmota(relay, relay=2)
    switch.turn(False)
    assert switch.state() is False
    assert relay.requests[0] == "GET /cm?cmnd=Power2%20Off"


def test_http_without_state(relay: Relay) -> None:
    assert http(relay, state_url=None, state_on=None, state_off=None).state() is None


def test_http_method(relay: Relay) -> None:
    http(relay, method="POST").turn(False)
    assert relay.requests == ["POST /off"]


def test_ipv6_address() -> None:
    assert web.base_url("fe80::1", 80) == "http://[fe80::1]:80"
    assert web.base_url("[::1]", 81) == "http://[::1]:81"


def test_pdudaemon_500_is_not_repeated_and_explained(relay: Relay) -> None:
    switch = make_switch(section(driver="pdudaemon", host="127.0.0.1", port=relay.port, pdu="shelf", pdu_port=3), "b")
    relay.failures = [500]
    with pytest.raises(SwitchError, match="refused, or tried in vain, to switch off") as caught:
        switch.turn(False)
    assert "`shelf`" in str(caught.value.hint)
    assert relay.requests == ["GET /power/control/off?hostname=shelf&port=3"]
    assert switch.state() is None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"off_url": "http://h/on"}, "a toggle cannot be used"),
        ({"off_url": "http://h/cm?cmnd=Power%20TOGGLE"}, "a toggle cannot be used"),
        ({"state_url": "http://h/s"}, "need each other"),
        ({"state_on": "x"}, "need each other"),
        ({"state_off": "x"}, "`state_off` needs"),
        ({"state_url": "http://h/s", "state_on": "("}, "not a regular expression"),
        ({"off_url": "http://h/{password}"}, "needs `password_env`"),
        ({"password_env": "P"}, "needs `user`"),
        ({"password_env": "P", "user": "u", "token_env": "T"}, "exclude each other"),
        ({"off_url": "http://me:pw@h/off"}, "pattern"),
    ],
)
def test_http_sections_that_cannot_work(keys: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        section(**{"driver": "http", "on_url": "http://h/on", "off_url": "http://h/off", **keys})


def command(tmp_path: Path, code: str, **keys: Any) -> Switch:
    """A program that logs its arguments and does what `code` says with `word` and `state` (a file)."""
    program = tmp_path / "switch"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys, time, pathlib\nword = sys.argv[1]\n"
        f"state = pathlib.Path({str(tmp_path / 'state')!r})\n"
        f"open({str(tmp_path / 'calls')!r}, 'a').write(word + '\\n')\n{code}\n"
    )
    program.chmod(0o755)
    return make_switch(
        section(
            **{
                "driver": "command",
                "timeout": 20,
                "on": [str(program), "on"],
                "off": [str(program), "off"],
                "state": [str(program), "state"],
                **keys,
            }
        ),
        "b",
    )


KEEP = "print(state.read_text()) if word == 'state' else state.write_text(word.upper())"


def test_command(tmp_path: Path) -> None:
    switch = command(tmp_path, KEEP)
    switch.turn(False)
    assert switch.state() is False
    switch.turn(True)
    assert switch.state() is True
    assert command(tmp_path, KEEP, state=None).state() is None


def test_command_that_fails_is_tried_again_and_quoted(tmp_path: Path) -> None:
    switch = command(tmp_path, "sys.exit('relay\\x1b[31m melted')", retries=2)
    with pytest.raises(SwitchError, match=r"failed with status 1: 'relay\\x1b\[31m melted") as caught:
        switch.turn(False)
    assert "\x1b" not in str(caught.value)
    assert (tmp_path / "calls").read_text().split() == ["off"] * 3


def test_command_says_nonsense(tmp_path: Path) -> None:
    with pytest.raises(SwitchError, match="must print `on` or `off`, not 'perhaps"):
        command(tmp_path, "print('perhaps')").state()


def test_command_has_a_deadline_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "fifo").unlink(missing_ok=True)
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    held = f"os.open({str(tmp_path / 'fifo')!r}, os.O_WRONLY); os.fork(); time.sleep(60)"
    switch = command(tmp_path, held, retries=0, timeout=1)
    with pytest.raises(SwitchError, match="did not end within 1 s"):
        switch.turn(False)
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""  # its last writer is gone: the program, and what it forked
    os.close(reader)


def test_command_may_leave_a_process_behind(tmp_path: Path) -> None:
    left = tmp_path / "left"
    switch = command(
        tmp_path,
        f"""
import subprocess
child = subprocess.Popen(["sleep", "60"], start_new_session=True)  # holds our output open
pathlib.Path({str(left)!r}).write_text(str(child.pid))""",
    )
    switch.turn(True)
    os.kill(int(left.read_text()), 9)  # raises if it did not live


@pytest.mark.parametrize("program", ["/nonexistent/pdu-on", "no-such-program-anywhere", "/etc/passwd"])
def test_command_that_is_none(program: str) -> None:
    switch = make_switch(section(driver="command", on=[program], off=[program, "x"]), "b")
    with pytest.raises(NeedsPersonError, match="cannot be run"):
        switch.turn(True)


@pytest.fixture
def lent(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The master of a terminal lent by a controller, while this process has none."""
    master, slave = pty.openpty()
    monkeypatch.setattr(manual, "TERMINAL", "/nonexistent/tty")
    monkeypatch.setenv(terminal.LENT_TERMINAL, os.ttyname(slave))
    yield master
    os.close(master)
    os.close(slave)


def answered(master: int, answer: bytes) -> bytes:
    """Type `answer` when asked; the question."""
    question = b""
    while not question.rstrip().endswith(b"):"):
        question += os.read(master, 1000)
    os.write(master, answer)
    return question


@pytest.mark.parametrize(("answer", "refused"), [(b"\n", False), (b"ok\n", False), (b"no\n", True), (b"what?\n", True)])
def test_manual_asks(lent: int, answer: bytes, refused: bool) -> None:
    questions: list[bytes] = []
    person = threading.Thread(target=lambda: questions.append(answered(lent, answer)))
    person.start()
    switch = make_switch(section(driver="manual", timeout=20), "rock")
    if refused:
        with pytest.raises(LabError, match="when asked to switch it OFF"):
            switch.turn(False)
    else:
        switch.turn(False)
    person.join()
    assert b"rock: please switch its power OFF" in questions[0]
    assert switch.state() is None


def test_a_controller_lends_its_terminal() -> None:
    master, slave = pty.openpty()
    code = "from panthorlab.board.power.terminal import *; print(lent_terminal())"
    done = [
        subprocess.run([sys.executable, "-c", code], stdin=stdin, capture_output=True, text=True, check=True).stdout
        for stdin in (slave, subprocess.DEVNULL)
    ]
    assert done == [f"{ {terminal.LENT_TERMINAL: os.ttyname(slave)} }\n", "{}\n"]
    os.close(master)
    os.close(slave)


def test_manual_has_a_deadline(lent: int) -> None:
    with pytest.raises(LabError, match=r"nobody answered within 0\.1 s when asked to switch it ON"):
        make_switch(section(driver="manual", timeout=0.1), "rock").turn(True)


def test_manual_refuses_where_nobody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manual, "TERMINAL", "/nonexistent/tty")
    monkeypatch.delenv(terminal.LENT_TERMINAL, raising=False)
    with pytest.raises(LabError, match="no terminal to ask") as caught:
        make_switch(section(driver="manual"), "rock").turn(True)
    assert "terminal" in str(caught.value.hint)


def test_unknown_host() -> None:
    with pytest.raises(SwitchError, match="cannot be reached"):
        make_switch(section(driver="tasmota", host="plug.invalid", retries=0), "b").turn(True)


def test_port_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        switch = make_switch(
            section(driver="tasmota", host="127.0.0.1", port=server.getsockname()[1], retries=0, timeout=0.2), "b"
        )
        with pytest.raises(SwitchError, match="did not answer in time"):
            switch.turn(True)

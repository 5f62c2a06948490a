# SPDX-License-Identifier: GPL-2.0-or-later
"""What labgrid-client says of a place, read and translated; no labgrid here, the end-to-end test has a real one."""

from __future__ import annotations

from dataclasses import replace
from pprint import pformat
from textwrap import indent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.power.file import CommandSwitch, HttpSwitch, PdudaemonSwitch, ShellySwitch
from panthorlab.board.real.file import RealFile, TcpConsole, TelnetConsole
from panthorlab.board.real.labgrid.place import Place, PlaceResources, PlaceSsh, Resource, parse_show, translate
from panthorlab.errors import LabError

SHOW = """\
Place 'rock':
  aliases: bench-7, alice:mine
  comment: acquired: nobody
  tags: soc=rk3588
  matches:
    shelf/rock/* -> power
  acquired: ci/alice+1
  acquired resources:
    shelf/rock/NetworkPowerPort/outlet -> power
  allowed: ci/bob
  created: 2026-11-26 10:54:01.296227
  changed: 2026-11-26 10:54:02.072944
  reservation: ABCDEFGHIJ
Acquired resource 'power' (shelf/rock/NetworkPowerPort/outlet):
  {'acquired': 'rock',
   'avail': True,
   'cls': 'NetworkPowerPort',
   'params': {'extra': {'proxy': 'shelf', 'proxy_required': True},
              'host': "it's",
              'index': 3,
              'model': 'gude8031'}}
Orphaned resource 'console' (shelf/rock/NetworkSerialPort/console)
"""
CONTROL = ("labgrid-client", "-p", "rock")


def test_show() -> None:
    place = parse_show(SHOW)
    params = {"host": "it's", "index": 3, "model": "gude8031"}
    assert place == Place(
        "rock",
        frozenset({"bench-7", "alice:mine"}),
        "ci/alice+1",
        "ABCDEFGHIJ",
        (Resource("power", "shelf/rock/NetworkPowerPort/outlet", "NetworkPowerPort", True, params, "shelf"),),
        ("shelf/rock/NetworkSerialPort/console",),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "labgrid-client: Error: no such place",
        SHOW.replace("'avail': True", "'avail': open('x')"),
        SHOW.replace("'cls': 'NetworkPowerPort',", ""),
        SHOW.replace("{'acquired': 'rock',", "["),
    ],
)
def test_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no place|unreadable"):
        parse_show(text)


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.dictionaries(st.text(min_size=1).filter(lambda key: key != "extra"), VALUES, max_size=6), st.booleans())
def test_any_parameters_come_through(params: dict[str, Any], available: bool) -> None:
    entry = {"acquired": None, "avail": available, "cls": "X", "params": {**params, "extra": {"proxy": None}}}
    text = f"Place 'p':\n  acquired: None\nMatching resource 'n' (a/b/X/n):\n{indent(pformat(entry), '  ')}\n"
    assert parse_show(text).resources == (Resource("n", "a/b/X/n", "X", available, params, None),)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_show("Place 'p':\n" + text)
    except ValueError:
        return


def place(*resources: tuple[str, dict[str, Any]], name: str | None = None, **more: Any) -> Place:
    return Place("rock", frozenset(), "ci/alice+1", None, tuple(
        Resource(name or cls, f"shelf/rock/{cls}/{number}", cls, more.get("available", True), params, more.get("proxy"))
        for number, (cls, params) in enumerate(resources)
    ), ())  # fmt: skip


RAW = ("NetworkSerialPort", {"host": "shelf", "port": 4001, "speed": 1500000, "protocol": "raw"})
SERVICE = ("NetworkService", {"address": "rock.lab", "username": "root", "password": "secret"})


def test_console_and_ssh() -> None:
    assert translate(place(RAW, SERVICE), CONTROL) == PlaceResources(
        "rock", TcpConsole(transport="tcp", host="shelf", port=4001), None, PlaceSsh("rock.lab", 22, "root")
    )
    (telnet,) = [translate(place(("NetworkSerialPort", {"host": "shelf", "port": 4002})), CONTROL).console]
    assert telnet == TelnetConsole(transport="telnet", host="shelf", port=4002, rfc2217=True, speed=115200)


@pytest.mark.parametrize(
    ("cls", "params", "switch"),
    [
        ("PDUDaemonPort", {"host": "pdu.lab", "pdu": "apc", "index": 4}, (PdudaemonSwitch, "pdu.lab", 16421)),
        ("PDUDaemonPort", {"host": "http://pdu.lab:99", "pdu": "apc", "index": "4"}, (PdudaemonSwitch, "pdu.lab", 99)),
        ("NetworkPowerPort", {"model": "shelly_gen2", "host": "http://plug", "index": 1}, (ShellySwitch, "plug", 80)),
    ],
)
def test_switches_we_know(cls: str, params: dict[str, Any], switch: tuple[type, str, int]) -> None:
    power = translate(place((cls, params)), CONTROL).power
    assert isinstance(power, switch[0])
    assert (power.host, power.port) == switch[1:]  # type: ignore[union-attr]


def test_simplerest() -> None:
    params = {"model": "simplerest", "host": "http://pi:9999/relay/{index}/{value}", "index": 2}
    power = translate(place(("NetworkPowerPort", params)), CONTROL).power
    assert isinstance(power, HttpSwitch)
    assert (power.on_url, power.off_url) == ("http://pi:9999/relay/2/1", "http://pi:9999/relay/2/0")
    assert (power.state_url, power.state_on) == ("http://pi:9999/relay/2", "^1$")


@pytest.mark.parametrize(
    ("cls", "params", "proxy"),
    [
        ("NetworkPowerPort", {"model": "gude8031", "host": "10.0.0.7", "index": 1}, None),
        ("NetworkPowerPort", {"model": "rest", "host": "http://pi/{index}", "index": 1}, None),
        ("NetworkPowerPort", {"model": "simplerest", "host": "http://me:secret@pi/{index}/{value}", "index": 1}, None),
        ("NetworkPowerPort", {"model": "simplerest", "host": "http://pi/{index.__class__}/{value}", "index": 1}, None),
        ("NetworkPowerPort", {"model": "shelly_gen2", "host": "http://pi", "index": 1}, "shelf"),
        ("NetworkUSBPowerPort", {"host": "shelf", "busnum": 1}, None),
        ("NetworkSysfsGPIO", {"host": "shelf", "index": 13}, None),
    ],
)
def test_switches_that_labgrid_drives(cls: str, params: dict[str, Any], proxy: str | None) -> None:
    power = translate(place((cls, params), proxy=proxy), CONTROL).power
    assert isinstance(power, CommandSwitch)
    assert power.on == [*CONTROL, "power", "--name", cls, "on"]
    assert power.state is not None
    assert power.state[4:] == [*CONTROL, "power", "--name", cls, "get"]
    assert "secret" not in repr(power)


def test_gpio_is_power_only_if_nothing_else_is() -> None:
    both = place(("NetworkSysfsGPIO", {"host": "shelf"}), ("PDUDaemonPort", {"host": "a", "pdu": "b", "index": 1}))
    assert isinstance(translate(both, CONTROL).power, PdudaemonSwitch)


@pytest.mark.parametrize(
    ("wrong", "message", "hint"),
    [
        (parse_show(SHOW), "exporter of shelf/rock/NetworkSerialPort/console has gone", "start the exporter"),
        (
            place(RAW, RAW),
            "2 resources that could be its console",
            "add-named-match shelf/rock/NetworkSerialPort/0 con",
        ),
        (place(RAW, available=False), "is not available", "unplugged"),
        (place(RAW, proxy="shelf"), "only through an SSH proxy on shelf", "run panthorlab on shelf"),
        (place(("NetworkSerialPort", {"host": "shelf", "port": None})), "make no sense", "exporter's configuration"),
        (place(("NetworkService", {"address": "rock"})), "make no sense: KeyError", "exporter's configuration"),
    ],
)
def test_place_that_is_no_use(wrong: Place, message: str, hint: str) -> None:
    with pytest.raises(LabError, match=message) as error:
        translate(wrong, CONTROL)
    assert hint in str(error.value.hint)


def test_of_two_consoles_the_one_called_so() -> None:
    two = place(RAW, ("NetworkSerialPort", {"host": "shelf", "port": 1, "protocol": "raw"}))
    named = replace(two, resources=(two.resources[0], replace(two.resources[1], name="console")))
    chosen = translate(named, CONTROL).console
    assert chosen == TcpConsole(transport="tcp", host="shelf", port=1)


BOARD = {
    "type": "real", "boot": {"methods": ["kexec"], "console": "ttyS2", "root": "root=/dev/sda"},
    "labgrid": {"place": "rock"},
}  # fmt: skip


def test_places_sections_replace_the_board_files() -> None:
    file = RealFile.model_validate(
        {**BOARD, "power": {"driver": "manual"}, "ssh": {"host": "old", "key_file": "/key", "work_dir": "/w"}}
    )
    merged = translate(place(RAW, SERVICE), CONTROL).onto(file)
    assert merged.console == TcpConsole(transport="tcp", host="shelf", port=4001)
    assert merged.power == file.power
    assert merged.ssh is not None
    assert (merged.ssh.host, merged.ssh.key_file, merged.ssh.work_dir) == ("rock.lab", "/key", "/w")


def test_section_that_neither_has() -> None:
    with pytest.raises(LabError, match="no resource for: power"):
        translate(place(RAW, SERVICE), CONTROL).onto(RealFile.model_validate(BOARD))

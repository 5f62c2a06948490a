# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.virtual_lab.relay import Fault, Relay


class Board:
    """Something to switch."""

    def __init__(self) -> None:
        self.power = False
        self.resets = 0

    def power_on(self) -> None:
        self.power = True

    def power_off(self) -> None:
        self.power = False

    def has_power(self) -> bool:
        return self.power

    def reset(self) -> None:
        self.resets += 1


@pytest.fixture
def boards() -> list[Board]:
    return [Board(), Board()]


@pytest.fixture
def relay(boards: list[Board]) -> Iterator[Relay]:
    made = Relay(boards)
    yield made
    made.close()


def get(relay: Relay, path: str) -> requests.Response:
    return requests.get(f"http://127.0.0.1:{relay.port}{path}", timeout=60)


def test_each_outlet_switches_its_board(relay: Relay, boards: list[Board]) -> None:
    assert get(relay, "/2/on").text == "on\n"
    assert (boards[0].power, boards[1].power) == (False, True)
    assert get(relay, "/2/state").text == "on\n"
    assert get(relay, "/3/on").status_code == 404
    assert get(relay, "/cm?cmnd=Power2").json() == {"POWER2": "ON"}
    assert get(relay, "/cm?cmnd=Power2%20Off").json() == {"POWER2": "OFF"}
    assert not boards[1].power


def test_lies_last_until_it_is_healed(relay: Relay, boards: list[Board]) -> None:
    relay.misbehave(Fault.LIES, None)
    assert get(relay, "/1/on").text == get(relay, "/1/state").text == "on\n"
    assert not boards[0].power
    relay.heal()
    assert get(relay, "/1/state").text == "off\n"


def test_a_fault_for_a_number_of_requests(relay: Relay, boards: list[Board]) -> None:
    relay.misbehave(Fault.ERROR, 2)
    assert [get(relay, "/1/on").status_code for _ in range(3)] == [500, 500, 200]
    assert boards[0].power


def test_the_dead_rise_at_the_same_port(relay: Relay) -> None:
    port = relay.port
    relay.misbehave(Fault.DEAD, None)
    with pytest.raises(requests.ConnectionError):
        get(relay, "/1/on")
    relay.heal()
    assert relay.port == port
    assert get(relay, "/1/on").ok


def test_a_request_that_hangs_ends_without_an_answer(relay: Relay, boards: list[Board]) -> None:
    relay.misbehave(Fault.TIMEOUT, 1)
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"http://127.0.0.1:{relay.port}/1/on", timeout=0.2)
    assert not boards[0].power
    assert get(relay, "/1/on").ok


def test_reset_line(relay: Relay, boards: list[Board]) -> None:
    assert get(relay, "/2/reset").status_code == 404, "there is nothing to reset without power"
    get(relay, "/2/on")
    assert get(relay, "/2/reset").text == "reset\n"
    assert [board.resets for board in boards] == [0, 1]
    assert get(relay, "/3/reset").status_code == 404


def test_one_outlet_misbehaves(relay: Relay, boards: list[Board]) -> None:
    relay.misbehave(Fault.ERROR, None, outlet=2)
    assert [get(relay, f"/{outlet}/on").status_code for outlet in (1, 2)] == [200, 500]
    assert [get(relay, f"/cm?cmnd=Power{outlet} On").status_code for outlet in (1, 2)] == [200, 500]
    assert get(relay, "/cm?cmnd=Power").status_code == 200
    assert [board.power for board in boards] == [True, False]
    relay.heal()
    assert get(relay, "/2/on").status_code == 200

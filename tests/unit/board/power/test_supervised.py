# SPDX-License-Identifier: GPL-2.0-or-later
"""The care taken around a switch, on a real HTTP relay and with real processes that are interrupted and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from panthorlab.board.power import open_power, supervised, web
from panthorlab.board.power.file import PowerSection
from panthorlab.board.power.memory import OffMemory
from panthorlab.board.power.supervised import SupervisedPower
from panthorlab.errors import LabError

from .conftest import Relay

Opened = Callable[..., SupervisedPower]
OFF_TIME = 0.1


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "BACKOFF", 0.01)
    monkeypatch.setattr(supervised, "POLL", 0.02)


@pytest.fixture
def steps() -> list[str]:
    return []


@pytest.fixture
def opened(relay: Relay, tmp_path: Path, steps: list[str]) -> Opened:
    def make(**keys: Any) -> SupervisedPower:
        section: PowerSection = TypeAdapter(PowerSection).validate_python(
            {
                "driver": "http",
                "on_url": f"{relay.url}/on",
                "off_url": f"{relay.url}/off",
                "off_time": OFF_TIME,
                "state_url": f"{relay.url}/state",
                "state_on": "=ON$",
                "settle": 0.05,
                "timeout": 10,
                "retries": 1,
                **keys,
            }
        )
        return open_power(section, board="rock", state_dir=tmp_path / "lab", progress=steps.append)

    return make


def test_boards_do_not_share_what_is_remembered(opened: Opened, tmp_path: Path) -> None:
    opened().off()
    section: PowerSection = TypeAdapter(PowerSection).validate_python({"driver": "manual"})
    assert not open_power(section, board="other", state_dir=tmp_path / "lab", progress=print).left_off


def off_spans(relay: Relay) -> list[float]:
    """How long the relay was off, each time."""
    spans, since = [], None
    for moment, on in relay.switched:
        if not on and since is None:
            since = moment
        elif on and since is not None:
            spans.append(moment - since)
            since = None
    return spans


def test_opening_switches_nothing(opened: Opened, relay: Relay) -> None:
    opened()
    assert relay.requests == []


def test_cycle_keeps_the_off_time(opened: Opened, relay: Relay, tmp_path: Path) -> None:
    power = opened()
    power.cycle()
    assert power.state() is True
    assert not power.left_off
    assert list((tmp_path / "lab").iterdir()) == []
    [span] = off_spans(relay)
    assert span >= OFF_TIME


def test_off_time_holds_across_processes(opened: Opened, relay: Relay) -> None:
    first = opened()
    first.off()
    first._disarm()  # as if killed
    second = opened()
    assert second.left_off
    second.on()
    assert not second.left_off
    assert off_spans(relay)[0] >= OFF_TIME


def test_a_switch_that_is_late_is_waited_for(opened: Opened, relay: Relay) -> None:
    relay.late = {True: 0.1, False: 0.1}
    opened(settle=30).cycle()
    assert relay.on
    assert len([request for request in relay.requests if request == "GET /off"]) == 1
    assert off_spans(relay)[0] >= OFF_TIME


def test_off_time_counts_from_when_power_is_really_off(opened: Opened, relay: Relay) -> None:
    relay.late = {False: 2 * OFF_TIME}
    opened(settle=30).cycle()
    assert off_spans(relay)[0] >= OFF_TIME


def test_a_relay_that_lies_once_is_told_again(opened: Opened, relay: Relay, steps: list[str]) -> None:
    relay.stuck = 1
    opened().off()
    assert not relay.on
    assert any("still reads on" in step for step in steps)


def test_a_relay_that_keeps_lying_is_an_error(opened: Opened, relay: Relay) -> None:
    relay.stuck = 99
    with pytest.raises(
        LabError,
        match=r"rock: power is not off: HTTP switch .*/on was told to switch off and still "
        r"reads on after 0\.05 s",
    ) as caught:
        opened().off()
    assert "outlet" in str(caught.value.hint)


def test_a_lost_answer_is_no_error_when_the_state_is_right(opened: Opened, relay: Relay, tmp_path: Path) -> None:
    relay.failures = [500, 500]
    relay.on = False  # e.g. it did act, and failed while it answered
    opened(retries=1).off()
    assert not relay.on


def test_a_relay_without_state_is_believed(opened: Opened, relay: Relay) -> None:
    relay.stuck = 1
    power = opened(state_url=None, state_on=None)
    power.off()
    assert power.state() is None


def test_without_state_a_lost_answer_is_an_error(opened: Opened, relay: Relay) -> None:
    relay.failures = [500] * 4
    with pytest.raises(LabError, match=r"power is not off: .*answered 500"):
        opened(state_url=None, state_on=None).off()


def test_a_state_that_cannot_be_read_is_no_success(opened: Opened, relay: Relay) -> None:
    with pytest.raises(LabError, match=r"its state cannot be read: .*answered 404"):
        opened(state_url=f"{relay.url}/nowhere").off()


def test_cycle_switches_on_when_off_failed(opened: Opened, relay: Relay) -> None:
    power = opened(state_url=None, state_on=None, retries=0)
    relay.failures = [500, 500]  # both rounds of off
    relay.on = False  # and yet it is off
    with pytest.raises(LabError, match="power is not off"):
        power.cycle()
    assert relay.on
    assert not power.left_off


def test_cycle_tells_both_failures(opened: Opened, relay: Relay) -> None:
    power = opened()
    relay.die()
    with pytest.raises(LabError, match=r"power is not off: .*refused.*; and then: rock: power is not on: .*refused"):
        power.cycle()
    assert power.left_off  # for whoever takes over


def test_leaving_the_context_switches_on(opened: Opened, relay: Relay) -> None:
    with opened() as power:
        power.off()
        assert not relay.on
    assert relay.on


def test_leaving_the_context_leaves_alone_what_was_not_switched(opened: Opened, relay: Relay) -> None:
    with opened():
        pass
    assert relay.requests == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"off_at": "x", "boot_id": 1}',
        '{"off_at": 1e400}',
        "\xff",
        json.dumps({"off_at": 0, "boot_id": "another boot"}),
    ],
)
def test_a_damaged_memory_means_the_whole_off_time(tmp_path: Path, content: str) -> None:
    file = tmp_path / "power.json"
    file.write_text(content, "latin-1")
    assert OffMemory(file).remaining(7.0) == 7.0


def test_memory(tmp_path: Path) -> None:
    memory = OffMemory(tmp_path / "new" / "power.json")
    assert memory.remaining(7.0) == 0.0
    memory.switched_off()
    assert 0 < memory.remaining(1000.0) <= 1000.0
    assert memory.off
    assert (tmp_path / "new" / "power.json").stat().st_mode & 0o077 == 0
    memory.switched_on()
    memory.switched_on()
    assert not memory.off


def test_a_memory_that_cannot_be_written_keeps_power_on(opened: Opened, relay: Relay, tmp_path: Path) -> None:
    (tmp_path / "lab").write_text("a file where a directory should be")
    with pytest.raises(LabError, match="cannot be written"):
        opened().off()
    assert relay.requests == []


def test_unverified_drivers_say_so(tmp_path: Path, steps: list[str]) -> None:
    section: PowerSection = TypeAdapter(PowerSection).validate_python({"driver": "shelly", "host": "h"})
    open_power(section, board="rock", state_dir=tmp_path, progress=steps.append)
    assert "unverified" in steps[0]


CHILD = """
import json, sys
from pathlib import Path
from pydantic import TypeAdapter
from panthorlab.board.power import open_power
from panthorlab.board.power.file import PowerSection
section = TypeAdapter(PowerSection).validate_python(json.loads(sys.argv[1]))
def progress(step):
    print(step, flush=True)
    if "stays off" in step:
        sys.stdin.readline()
power = open_power(section, board="rock", state_dir=Path(sys.argv[2]), progress=progress)
"""
"""The time off waits for the end of its input."""


def child(
    relay: Relay, tmp_path: Path, code: str, stdin: int = subprocess.DEVNULL, **keys: Any
) -> subprocess.Popen[str]:
    section = {
        "driver": "http",
        "on_url": f"{relay.url}/on",
        "off_url": f"{relay.url}/off",
        "off_time": OFF_TIME,
        "state_url": f"{relay.url}/state",
        "state_on": "=ON$",
        **keys,
    }
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + code, json.dumps(section), str(tmp_path / "lab")],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"ended without saying {text!r}")


@pytest.mark.parametrize(
    "code",
    [
        "power.off(); print('IS OFF', flush=True); __import__('time').sleep(60)",
        "power.off(); sys.exit(3)",
        "power.off(); 1 / 0",
    ],
)
def test_a_process_that_ends_switches_on_again(relay: Relay, tmp_path: Path, code: str) -> None:
    process = child(relay, tmp_path, code)
    if "IS OFF" in code:
        until(process, "IS OFF")
        assert not relay.on
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert relay.on
    assert off_spans(relay)[0] >= OFF_TIME


@pytest.mark.parametrize(("number", "times"), [(signal.SIGINT, 5), (signal.SIGTERM, 1)])
def test_an_interrupted_cycle_ends_with_power(relay: Relay, tmp_path: Path, number: signal.Signals, times: int) -> None:
    process = child(relay, tmp_path, "power.cycle(); print('NOT', 'INTERRUPTED')", stdin=subprocess.PIPE, off_time=0.5)
    until(process, "stays off")
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.02)  # apart: signals of one kind do not queue
    out, _ = process.communicate(timeout=30)
    assert process.returncode == -number
    assert "NOT INTERRUPTED" not in out
    assert relay.on
    assert off_spans(relay)[0] >= 0.5


def test_after_kill_9_the_next_process_knows(relay: Relay, tmp_path: Path, opened: Opened) -> None:
    process = child(relay, tmp_path, "power.cycle()", off_time=60)
    until(process, "stays off")
    process.kill()
    process.communicate(timeout=30)
    assert not relay.on
    power = opened()
    assert power.left_off
    power.on()
    assert relay.on
    assert off_spans(relay)[0] >= OFF_TIME


def test_cycle_in_a_thread(opened: Opened, relay: Relay) -> None:
    thread = threading.Thread(target=opened().cycle)
    thread.start()
    thread.join(30)
    assert relay.on
    assert off_spans(relay)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # it is what is tested
def test_a_forked_child_does_not_switch(opened: Opened, relay: Relay) -> None:
    power = opened()
    power.off()
    if (pid := os.fork()) == 0:
        try:
            power.close()
            power._at_exit()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert not relay.on
    power.close()
    assert relay.on
